/** For tests: draws a screen with an engine that the test makes up. */
import { act, type ReactNode } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import type { Engine } from '../../app/engine';
import { EngineContext } from '../../app/hooks';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

export class Drawn {
  private readonly host = document.body.appendChild(document.createElement('div'));
  private readonly root: Root = createRoot(this.host);

  constructor(private readonly engine: Partial<Engine>) {}

  /** Draws, and waits for what was asked for meanwhile. */
  async draw(screen: ReactNode): Promise<void> {
    await act(async () => this.root.render(<EngineContext value={this.engine as Engine}>{screen}</EngineContext>));
  }

  /** By its test id; dialogs stand beside the screen. */
  get(testId: string): HTMLElement | null {
    return document.querySelector<HTMLElement>(`[data-testid="${testId}"]`);
  }

  all(testId: string): HTMLElement[] {
    return [...document.querySelectorAll<HTMLElement>(`[data-testid="${testId}"]`)];
  }

  text(testId: string): string {
    return this.get(testId)?.textContent ?? '';
  }

  async click(testId: string): Promise<void> {
    await act(async () => this.get(testId)?.click());
  }

  async run(what: () => void): Promise<void> {
    await act(async () => what());
  }

  async end(): Promise<void> {
    await act(async () => this.root.unmount());
    this.host.remove();
  }
}
