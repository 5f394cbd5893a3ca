/**
 * The one WebSocket: connects, notices when the other side is dead, comes back, and resumes the stream from the cursors
 * held. It knows frames, not what they mean.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { backoff } from './backoff';
import { type CallOptions, Calls } from './calls';
import { ApiError, fromStatus } from './errors';
import {
  CallSchema,
  type ClientFrame,
  ClientFrameSchema,
  LookSchema,
  PingSchema,
  RenewSchema,
  type ServerFrame,
  ServerFrameSchema,
  SubscribeRequestSchema,
} from './gen/loquat/edge/v1/frame_pb';

const PING_MS = 25_000;
const MISSED_PONGS = 2;
const OPEN_MS = 15_000;
/** The server's close code for a session that has ended. */
const SESSION_ENDED = 4401;
/** And the one for an account that may do more or less than its token says. */
const RIGHTS_CHANGED = 4403;

export type Connection =
  | { readonly phase: 'connecting' }
  /** Open; the stream has not reached the present yet. */
  | { readonly phase: 'catching-up' }
  | { readonly phase: 'live' }
  | { readonly phase: 'waiting'; readonly retryAt: number }
  | { readonly phase: 'ended' };

export interface Position {
  readonly cursors: Readonly<Record<string, number>>;
  readonly epoch: string;
}

export interface SocketOptions {
  readonly url: string;
  /** Where to resume. */
  readonly position: () => Position;
  readonly onFrame: (frame: ServerFrame['frame']) => void;
  readonly onConnection: (connection: Connection) => void;
  /** The stream was asked for from `position`. */
  readonly onSubscribed: () => void;
  /** Called before coming back after an upgrade was refused or rights changed: resolves when the session is good, rejects when it ended. */
  readonly renew: () => Promise<void>;
  readonly random?: () => number;
}

type Frame = ClientFrame['frame'];

export class Socket {
  private readonly calls = new Calls();
  private socket: WebSocket | undefined;
  private attempt = 0;
  private goAwayMs = 0;
  private looks: readonly string[] = [];
  private missed = 0;
  private opened = false;
  private renewFirst = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private connection: Connection = { phase: 'connecting' };

  constructor(private readonly options: SocketOptions) {}

  start(): void {
    this.connect();
  }

  /** For good. */
  stop(cause = new ApiError('canceled', 'Signed out.')): void {
    clearTimeout(this.timer);
    this.drop();
    this.calls.ended(cause);
    this.change({ phase: 'ended' });
  }

  /** Comes back at once, if it is waiting to. */
  retryNow(): void {
    if (this.connection.phase !== 'waiting') return;
    clearTimeout(this.timer);
    this.reconnect();
  }

  /** The network went or came: what is open now may be dead without knowing it. */
  probe(online: boolean): void {
    if (online) return this.retryNow();
    if (this.socket) this.lost(0);
  }

  call(method: string, payload: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return this.calls.call(method, payload, options);
  }

  /** Asks for the stream anew, from the cursors held. */
  subscribe(): void {
    if (!this.opened) return;
    this.askForStream();
    this.change({ phase: 'catching-up' });
  }

  private askForStream(): void {
    const { cursors, epoch } = this.options.position();
    const list = Object.entries(cursors).map(([feedId, seq]) => ({ feedId, seq: BigInt(seq) }));
    this.options.onSubscribed();
    this.send({
      case: 'subscribe',
      value: create(SubscribeRequestSchema, { cursors: list, epoch, lookAt: [...this.looks] }),
    });
  }

  /** Says which rooms are looked at, now and whenever the stream is asked for. */
  look(roomIds: readonly string[]): void {
    this.looks = roomIds;
    if (this.opened) this.send({ case: 'look', value: create(LookSchema, { roomIds: [...roomIds] }) });
  }

  renewToken(accessToken: string): void {
    if (this.opened) this.send({ case: 'renew', value: create(RenewSchema, { accessToken }) });
  }

  private connect(): void {
    this.opened = false;
    this.change({ phase: 'connecting' });
    const socket = new WebSocket(this.options.url, 'loquat.v1');
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.timer = setTimeout(() => this.lost(0), OPEN_MS);
    // Events of a socket that was given up are nobody's.
    socket.onopen = () => this.socket === socket && this.open();
    socket.onmessage = (event) => this.socket === socket && this.receive(new Uint8Array(event.data as ArrayBuffer));
    socket.onclose = (event) => this.socket === socket && this.lost(event.code);
  }

  private open(): void {
    clearTimeout(this.timer);
    this.opened = true;
    this.missed = 0;
    this.goAwayMs = 0;
    this.heartbeat = setInterval(() => this.beat(), PING_MS);
    this.askForStream();
    this.calls.opened((id, method, payload) =>
      this.send({ case: 'call', value: create(CallSchema, { id, method, payload }) }),
    );
    this.change({ phase: 'catching-up' });
  }

  private beat(): void {
    if (this.missed >= MISSED_PONGS) return this.lost(0);
    this.missed += 1;
    this.send({ case: 'ping', value: create(PingSchema, { nonce: BigInt(this.missed) }) });
  }

  private receive(bytes: Uint8Array): void {
    this.missed = 0;
    const { frame } = fromBinary(ServerFrameSchema, bytes);
    switch (frame.case) {
      case 'reply':
        return this.calls.answer(frame.value.id, frame.value.payload);
      case 'error':
        return this.calls.fail(frame.value.id, fromStatus(frame.value.status));
      case 'goAway':
        this.goAwayMs = Math.max(1, frame.value.afterMs);
        return;
      case 'pong':
        return;
      default:
        this.options.onFrame(frame);
    }
    if (frame.case === 'caughtUp') {
      this.attempt = 0;
      this.change({ phase: 'live' });
    }
  }

  private lost(code: number): void {
    const wasOpen = this.opened;
    this.drop();
    this.calls.closed();
    if (code === SESSION_ENDED) return this.stop(new ApiError('unauthenticated', 'The session has ended.'));
    // A browser does not tell why an upgrade was refused; the session is what may be wrong with it.
    this.renewFirst = !wasOpen || code === RIGHTS_CHANGED;
    const after = this.goAwayMs || backoff(this.attempt, this.options.random ?? Math.random);
    this.goAwayMs = 0;
    this.attempt += 1;
    this.change({ phase: 'waiting', retryAt: Date.now() + after });
    this.timer = setTimeout(() => this.reconnect(), after);
  }

  private reconnect(): void {
    this.change({ phase: 'connecting' });
    if (!this.renewFirst) return this.connect();
    this.options.renew().then(
      () => this.connection.phase === 'connecting' && this.connect(),
      (cause: unknown) => {
        if (this.connection.phase !== 'connecting') return;
        if (cause instanceof ApiError && cause.code === 'unauthenticated') this.stop(cause);
        else this.lost(0);
      },
    );
  }

  private drop(): void {
    clearTimeout(this.timer);
    clearInterval(this.heartbeat);
    const socket = this.socket;
    this.socket = undefined;
    this.opened = false;
    socket?.close();
  }

  private send(frame: Frame): void {
    const message = create(ClientFrameSchema);
    message.frame = frame;
    this.socket?.send(toBinary(ClientFrameSchema, message));
  }

  private change(connection: Connection): void {
    this.connection = connection;
    this.options.onConnection(connection);
  }
}
