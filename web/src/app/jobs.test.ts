import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/errors';
import type { Watched } from '../model/jobs';
import { type Listen, watching } from './jobs';

function watched(at: number): Watched {
  return { at, queues: [], jobs: [], available: true, problem: '' };
}

/** A server whose streams are as the test says, one after the other. */
function world(streams: (() => AsyncGenerator<Watched>)[]) {
  const seen: number[] = [];
  const troubles: string[] = [];
  const stop = new AbortController();
  let asked = 0;
  const listen: Listen = () => {
    asked += 1;
    return (streams.shift() ?? never)();
  };
  const listener = {
    onWatched: ({ at }: Watched) => seen.push(at),
    onTrouble: (cause: ApiError | undefined) => cause && troubles.push(cause.code),
  };
  const over = watching(listen, listener, stop.signal);
  return { seen, troubles, stop, over, asked: () => asked };
}

async function* never(): AsyncGenerator<Watched> {
  yield* [];
  await new Promise(() => {});
}

describe('watching queues', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('comes back when the stream breaks or ends', async () => {
    const { seen, troubles, asked } = world([
      async function* () {
        yield watched(1);
        throw new ApiError('unavailable', 'going away');
      },
      async function* () {
        yield watched(2);
      },
      async function* () {
        yield watched(3);
        yield* never();
      },
    ]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual([1, 2, 3]);
    expect(troubles).toEqual(['unavailable', 'unavailable']);
    expect(asked()).toBe(3);
  });

  it('gives up when it is refused', async () => {
    const { over, asked, troubles } = world([
      async function* () {
        yield* [];
        throw new ApiError('permission_denied', 'no');
      },
    ]);
    await over;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked()).toBe(1);
    expect(troubles).toEqual(['permission_denied']);
  });

  it('ends when nobody looks any more, also while it waits', async () => {
    const { over, stop, asked } = world([
      async function* () {
        yield* [];
        throw new ApiError('unavailable', 'away');
      },
    ]);
    await vi.advanceTimersByTimeAsync(1);
    stop.abort();
    await over;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked()).toBe(1);
  });
});
