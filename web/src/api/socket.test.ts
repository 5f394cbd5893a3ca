import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from './errors';
import { ClientFrameSchema, type ServerFrame, ServerFrameSchema } from './gen/loquat/edge/v1/frame_pb';
import { type Connection, type Position, Socket } from './socket';

/** The other side of the wire, in the test's hands. */
class FakeWebSocket {
  static all: FakeWebSocket[] = [];
  static get last(): FakeWebSocket {
    const last = FakeWebSocket.all.at(-1);
    if (!last) throw new Error('nothing was opened');
    return last;
  }

  onopen?: () => void;
  onmessage?: (event: { data: ArrayBuffer }) => void;
  onclose?: (event: { code: number }) => void;
  readonly sent: Uint8Array[] = [];
  closed = false;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    FakeWebSocket.all.push(this);
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }

  close(): void {
    this.closed = true;
  }

  get frames() {
    return this.sent.map((bytes) => fromBinary(ClientFrameSchema, bytes).frame);
  }

  says(frame: ServerFrame['frame']): void {
    const message = create(ServerFrameSchema);
    message.frame = frame;
    this.onmessage?.({ data: toBinary(ServerFrameSchema, message).slice().buffer });
  }

  catchesUp(): void {
    this.says({ case: 'caughtUp', value: { $typeName: 'loquat.edge.v1.CaughtUp', epoch: 'e1' } });
  }

  answers(id: bigint, text: string): void {
    const payload = new TextEncoder().encode(text);
    this.says({ case: 'reply', value: { $typeName: 'loquat.edge.v1.Reply', id, payload } });
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

function opened(overrides: { position?: Position; renew?: () => Promise<void> } = {}) {
  const connections: Connection[] = [];
  const socket = new Socket({
    url: 'ws://loquat.test/ws',
    position: () => overrides.position ?? { cursors: { room: 7 }, epoch: 'e1' },
    onFrame: () => {},
    onSubscribed: () => {},
    onConnection: (connection) => connections.push(connection),
    renew: overrides.renew ?? (() => Promise.resolve()),
    random: () => 0,
  });
  socket.start();
  return { socket, connections, phase: () => connections.at(-1)?.phase };
}

beforeEach(() => {
  FakeWebSocket.all = [];
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeWebSocket);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the stream', () => {
  it('is asked for from the cursors held, and anew after a break', async () => {
    const { phase } = opened();
    expect(FakeWebSocket.last.protocol).toBe('loquat.v1');
    FakeWebSocket.last.onopen?.();
    expect(FakeWebSocket.last.frames[0]).toMatchObject({
      case: 'subscribe',
      value: { cursors: [{ feedId: 'room', seq: 7n }], epoch: 'e1', onlyListed: false },
    });
    expect(phase()).toBe('catching-up');
    FakeWebSocket.last.catchesUp();
    expect(phase()).toBe('live');
    FakeWebSocket.last.onclose?.({ code: 1006 });
    expect(phase()).toBe('waiting');
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeWebSocket.all).toHaveLength(2);
    FakeWebSocket.last.onopen?.();
    expect(FakeWebSocket.last.frames[0]?.case).toBe('subscribe');
  });

  it('looks at the same rooms after a break', async () => {
    const { socket } = opened();
    socket.look(['room']);
    FakeWebSocket.last.onopen?.();
    expect(FakeWebSocket.last.frames).toMatchObject([{ case: 'subscribe', value: { lookAt: ['room'] } }]);
    socket.look(['other']);
    expect(FakeWebSocket.last.frames[1]).toMatchObject({ case: 'look', value: { roomIds: ['other'] } });
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    FakeWebSocket.last.onopen?.();
    expect(FakeWebSocket.last.frames[0]).toMatchObject({ case: 'subscribe', value: { lookAt: ['other'] } });
  });

  it('waits as long as a server that goes away asks for', async () => {
    opened();
    FakeWebSocket.last.onopen?.();
    FakeWebSocket.last.says({ case: 'goAway', value: { $typeName: 'loquat.edge.v1.GoAway', afterMs: 2500 } });
    FakeWebSocket.last.onclose?.({ code: 1001 });
    await vi.advanceTimersByTimeAsync(2499);
    expect(FakeWebSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  it('renews the session before coming back when rights have changed', async () => {
    const renew = vi.fn(() => Promise.resolve());
    opened({ renew });
    FakeWebSocket.last.onopen?.();
    FakeWebSocket.last.catchesUp();
    FakeWebSocket.last.onclose?.({ code: 4403 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(renew).toHaveBeenCalledOnce();
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  it('ends with the session', async () => {
    const { phase } = opened();
    FakeWebSocket.last.onopen?.();
    FakeWebSocket.last.onclose?.({ code: 4401 });
    expect(phase()).toBe('ended');
    await vi.advanceTimersByTimeAsync(120_000);
    expect(FakeWebSocket.all).toHaveLength(1);
  });

  it('asks after the session when an upgrade is refused', async () => {
    const renew = vi.fn(() => Promise.reject(new ApiError('unauthenticated', 'over')));
    const { phase } = opened({ renew });
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    expect(renew).toHaveBeenCalledOnce();
    expect(phase()).toBe('ended');
  });

  it('keeps trying while the session cannot be asked after', async () => {
    const renew = vi.fn(() => Promise.reject(new ApiError('unavailable', 'no network')));
    const { phase } = opened({ renew });
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    expect(phase()).toBe('waiting');
    renew.mockResolvedValue(undefined as never);
    await vi.advanceTimersByTimeAsync(500);
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  it('is given up after two missed pongs', async () => {
    const { phase } = opened();
    FakeWebSocket.last.onopen?.();
    FakeWebSocket.last.catchesUp();
    await vi.advanceTimersByTimeAsync(74_000);
    expect(phase()).toBe('live');
    await vi.advanceTimersByTimeAsync(1000);
    expect(phase()).toBe('waiting');
    expect(FakeWebSocket.last.closed).toBe(true);
  });
});

describe('calls', () => {
  it('are answered by number, in any order', async () => {
    const { socket } = opened();
    FakeWebSocket.last.onopen?.();
    const first = socket.call('/a', bytes('1'));
    const second = socket.call('/b', bytes('2'));
    FakeWebSocket.last.answers(2n, 'two');
    FakeWebSocket.last.answers(1n, 'one');
    expect(new TextDecoder().decode(await first)).toBe('one');
    expect(new TextDecoder().decode(await second)).toBe('two');
  });

  it('wait for a connection, and are made again when it breaks before the answer', async () => {
    const { socket } = opened();
    const call = socket.call('/a', bytes('1'));
    FakeWebSocket.last.onopen?.();
    expect(FakeWebSocket.last.frames.map((frame) => frame.case)).toEqual(['subscribe', 'call']);
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(500);
    FakeWebSocket.last.onopen?.();
    FakeWebSocket.last.answers(1n, 'late');
    expect(new TextDecoder().decode(await call)).toBe('late');
  });

  it('fail after ten seconds without a connection', async () => {
    const { socket } = opened();
    const call = expect(socket.call('/a', bytes('1'))).rejects.toMatchObject({ code: 'unavailable' });
    await vi.advanceTimersByTimeAsync(10_000);
    await call;
  });

  it('fail ten seconds after the connection broke before the answer', async () => {
    const { socket } = opened({ renew: () => new Promise(() => {}) });
    FakeWebSocket.last.onopen?.();
    let failed = false;
    socket.call('/a', bytes('1')).catch(() => {
      failed = true;
    });
    await vi.advanceTimersByTimeAsync(14_000);
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await vi.advanceTimersByTimeAsync(9_999);
    expect(failed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(failed).toBe(true);
  });

  it('that are not to be kept fail with the connection', async () => {
    const { socket } = opened();
    await expect(socket.call('/a', bytes('1'), { keep: false })).rejects.toMatchObject({ passing: true });
    FakeWebSocket.last.onopen?.();
    const call = expect(socket.call('/a', bytes('1'), { keep: false })).rejects.toMatchObject({ passing: true });
    FakeWebSocket.last.onclose?.({ code: 1006 });
    await call;
  });

  it('are at most sixty at a time', () => {
    const { socket } = opened();
    FakeWebSocket.last.onopen?.();
    for (let i = 0; i < 70; i += 1) socket.call('/a', bytes('1')).catch(() => {});
    expect(FakeWebSocket.last.frames.filter((frame) => frame.case === 'call')).toHaveLength(60);
    for (let id = 1n; id <= 10n; id += 1n) FakeWebSocket.last.answers(id, '');
    expect(FakeWebSocket.last.frames.filter((frame) => frame.case === 'call')).toHaveLength(70);
  });
});
