/** Unary calls over the socket: numbered, bounded, each with a deadline, kept for a while when there is no connection. */
import { ApiError, unavailable } from './errors';

/** The server allows 64. */
const MOST_UNANSWERED = 60;
const DEADLINE_MS = 15_000;
const KEPT_MS = 10_000;

export interface CallOptions {
  /** False: fail at once without a connection, and when it breaks before the answer. */
  readonly keep?: boolean;
}

interface Waiting {
  readonly id: bigint;
  readonly method: string;
  readonly payload: Uint8Array;
  readonly keep: boolean;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (cause: ApiError) => void;
  timer: ReturnType<typeof setTimeout> | undefined;
  sent: boolean;
}

type Send = (id: bigint, method: string, payload: Uint8Array) => void;

export class Calls {
  private readonly waiting = new Map<bigint, Waiting>();
  private unanswered = 0;
  private nextId = 1n;
  private send: Send | undefined;

  call(method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const keep = options.keep ?? true;
    if (!this.send && !keep) return Promise.reject(unavailable('There is no connection.'));
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      const entry: Waiting = { id, method, payload, keep, resolve, reject, timer: undefined, sent: false };
      this.waiting.set(id, entry);
      this.arm(entry, this.send ? DEADLINE_MS : KEPT_MS);
      this.flush();
    });
  }

  /** A connection is there. */
  opened(send: Send): void {
    this.send = send;
    this.flush();
  }

  /** It is gone. Kept calls are made again: each carries an op id or only reads, so that repeating is safe. */
  closed(): void {
    this.send = undefined;
    this.unanswered = 0;
    for (const entry of [...this.waiting.values()]) {
      if (!entry.keep) this.settle(entry.id)?.reject(unavailable('The connection broke.'));
      else if (entry.sent) this.arm(entry, KEPT_MS);
      entry.sent = false;
    }
  }

  /** No connection will come any more. */
  ended(cause: ApiError): void {
    this.closed();
    for (const id of [...this.waiting.keys()]) this.settle(id)?.reject(cause);
  }

  answer(id: bigint, payload: Uint8Array): void {
    this.settle(id)?.resolve(payload);
    this.flush();
  }

  fail(id: bigint, cause: ApiError): void {
    this.settle(id)?.reject(cause);
    this.flush();
  }

  private arm(entry: Waiting, after: number): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.expire(entry), after);
  }

  private expire(entry: Waiting): void {
    const text = entry.sent ? 'The server took too long to answer.' : 'There is no connection to the server.';
    this.settle(entry.id)?.reject(new ApiError(entry.sent ? 'deadline_exceeded' : 'unavailable', text));
    this.flush();
  }

  private settle(id: bigint): Waiting | undefined {
    const entry = this.waiting.get(id);
    if (!entry) return undefined;
    clearTimeout(entry.timer);
    this.waiting.delete(id);
    if (entry.sent) this.unanswered -= 1;
    return entry;
  }

  private flush(): void {
    for (const entry of this.waiting.values()) {
      if (!this.send || this.unanswered >= MOST_UNANSWERED) return;
      if (entry.sent) continue;
      entry.sent = true;
      this.unanswered += 1;
      this.arm(entry, DEADLINE_MS);
      this.send(entry.id, entry.method, entry.payload);
    }
  }
}
