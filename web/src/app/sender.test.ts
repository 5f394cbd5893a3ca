import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Call } from '../api/client';
import { ApiError } from '../api/errors';
import { MessageSchema } from '../api/gen/loquat/chat/v1/message_pb';
import { type SendMessageRequest, SendMessageResponseSchema } from '../api/gen/loquat/chat/v1/message_service_pb';
import { reduce } from '../model/reducer';
import { type Action, initialState } from '../model/state';
import type { OutboxEntry } from '../model/types';
import { restore, save } from './outbox_storage';
import { Sender } from './sender';

const ME = 'me';

function entry(opId: string, createdAt: number): OutboxEntry {
  return { opId, roomId: 'room', text: `text ${opId}`, attachments: [], createdAt, status: 'queued', error: '' };
}

/** A server that answers what the test says; a sender on the real reducer. */
function world(answer: (request: SendMessageRequest) => Promise<void>) {
  let state = initialState(ME);
  const sent: string[] = [];
  const call = (async (_: unknown, request: SendMessageRequest) => {
    sent.push(request.opId);
    await answer(request);
    const message = create(MessageSchema, { authorId: ME, opId: request.opId, roomId: 'room', seq: 1n });
    return create(SendMessageResponseSchema, { message });
  }) as unknown as Call;
  const dispatch = (action: Action) => {
    state = reduce(state, action);
  };
  const sender = new Sender(call, () => state, dispatch);
  return { sender, dispatch, sent, outbox: () => state.outbox };
}

describe('the sender', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('waits for a connection, then sends in order, one at a time', async () => {
    const { sender, dispatch, sent, outbox } = world(() => Promise.resolve());
    dispatch({ type: 'outbox_queued', entry: entry('b', 2) });
    dispatch({ type: 'outbox_queued', entry: entry('a', 1) });
    sender.run();
    expect(sent).toEqual([]);
    sender.connection(true);
    expect(sent).toEqual(['a']);
    await vi.runAllTimersAsync();
    expect(sent).toEqual(['a', 'b']);
    expect(outbox()).toEqual([]);
  });

  it('repeats with the same op id what did not get through', async () => {
    let failures = 2;
    const { sender, dispatch, sent, outbox } = world(() =>
      failures-- > 0 ? Promise.reject(new ApiError('unavailable', 'away')) : Promise.resolve(),
    );
    dispatch({ type: 'outbox_queued', entry: entry('a', 1) });
    sender.connection(true);
    await vi.runAllTimersAsync();
    expect(sent).toEqual(['a', 'a', 'a']);
    expect(outbox()).toEqual([]);
  });

  it('waits as long as the server asks for', async () => {
    const busy = new ApiError('resource_exhausted', 'slow down', 'TOO_MANY', [], 9000);
    const { sender, dispatch, sent } = world(() => Promise.reject(busy));
    dispatch({ type: 'outbox_queued', entry: entry('a', 1) });
    sender.connection(true);
    await vi.advanceTimersByTimeAsync(8999);
    expect(sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toHaveLength(2);
    sender.connection(false);
  });

  it('stops with a final no, and goes on with the next', async () => {
    const { sender, dispatch, sent, outbox } = world(({ opId }) =>
      opId === 'a' ? Promise.reject(new ApiError('invalid_argument', 'Text is too long.')) : Promise.resolve(),
    );
    dispatch({ type: 'outbox_queued', entry: entry('a', 1) });
    dispatch({ type: 'outbox_queued', entry: entry('b', 2) });
    sender.connection(true);
    await vi.runAllTimersAsync();
    expect(sent).toEqual(['a', 'b']);
    expect(outbox()).toMatchObject([{ opId: 'a', status: 'failed', error: 'Text is too long.' }]);
  });
});

describe('the outbox on disk', () => {
  it('comes back as it was, what was on its way as queued, and only to its owner', () => {
    const sending: OutboxEntry = { ...entry('a', 1), status: 'sending' };
    const failed: OutboxEntry = { ...entry('b', 2), status: 'failed', error: 'no' };
    localStorage.clear();
    localStorage.setItem(`loquat.outbox.${ME}.broken`, '{');
    save(ME, [], [sending, failed]);
    expect(restore('somebody else')).toEqual([]);
    const byId = restore(ME).sort((a, b) => a.opId.localeCompare(b.opId));
    expect(byId).toEqual([{ ...sending, status: 'queued' }, failed]);
    save(ME, [sending, failed], [failed]);
    expect(restore(ME)).toEqual([failed]);
  });
});
