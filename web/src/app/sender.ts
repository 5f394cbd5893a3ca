/** Sends what is in the outbox: in order within a room, with the same op id until the server says yes or a final no. */
import type { Call } from '../api/client';
import { ApiError, describeError } from '../api/errors';
import { MessageService } from '../api/gen/loquat/chat/v1/message_service_pb';
import * as decode from '../model/decode';
import { nextToSend } from '../model/outbox';
import type { Action, State } from '../model/state';
import type { OutboxEntry } from '../model/types';

const RETRY_MS = 1500;

export class Sender {
  private connected = false;
  private pausedUntil = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly call: Call,
    private readonly state: () => State,
    private readonly dispatch: (action: Action) => void,
  ) {}

  connection(connected: boolean): void {
    this.connected = connected;
    if (connected) this.pausedUntil = 0;
    this.run();
  }

  run(): void {
    clearTimeout(this.timer);
    if (!this.connected) return;
    const wait = this.pausedUntil - Date.now();
    if (wait > 0) {
      this.timer = setTimeout(() => this.run(), wait);
      return;
    }
    for (let next = nextToSend(this.state().outbox); next; next = nextToSend(this.state().outbox)) {
      this.dispatch({ type: 'outbox_sending', opId: next.opId });
      void this.send(next);
    }
  }

  private async send(entry: OutboxEntry): Promise<void> {
    const { roomId, text, opId } = entry;
    const fileIds = entry.attachments.map((attachment) => attachment.reference);
    try {
      const request = { roomId, text, opId, fileIds };
      const { message } = await this.call(MessageService.method.sendMessage, request, { keep: false });
      if (message) this.dispatch({ type: 'message', message: decode.message(message) });
      this.dispatch({ type: 'outbox_dropped', opId });
    } catch (cause) {
      this.failed(opId, cause);
    }
    this.run();
  }

  private failed(opId: string, cause: unknown): void {
    const passing = cause instanceof ApiError && (cause.passing || cause.code === 'unauthenticated');
    if (!passing) return this.dispatch({ type: 'outbox_failed', opId, error: describeError(cause) });
    this.pausedUntil = Date.now() + Math.max(RETRY_MS, cause.retryAfterMs);
    this.dispatch({ type: 'outbox_requeued', opId });
  }
}
