/** Short notices, gone by themselves. */
import { describeError } from '../api/errors';
import { cell } from './store';

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly tone: 'error' | 'info';
}

const LASTS_MS = 7000;
const MOST = 4;
let nextId = 1;

export const toasts = cell<readonly Toast[]>([]);

export function dismiss(id: number): void {
  toasts.set(toasts.get().filter((toast) => toast.id !== id));
}

export function notify(text: string, tone: Toast['tone'] = 'info'): void {
  const id = nextId++;
  const others = toasts.get().filter((toast) => toast.text !== text);
  toasts.set([...others, { id, text, tone }].slice(-MOST));
  setTimeout(() => dismiss(id), LASTS_MS);
}

/** For actions that a person started: what went wrong is told in the server's words. */
export async function telling<T>(action: Promise<T>): Promise<T | undefined> {
  try {
    return await action;
  } catch (cause) {
    notify(describeError(cause), 'error');
    return undefined;
  }
}
