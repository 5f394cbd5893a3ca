/** Messages that the server has not acknowledged. They keep their op id for as long as they live. */
import type { Action, State } from './state';
import type { Message, OutboxEntry } from './types';

/** The entry goes as soon as its message is heard of, whether by the reply, an event or a page. */
export function dropDelivered(state: State, message: Message): State {
  if (message.authorId !== state.me || !message.opId) return state;
  const outbox = state.outbox.filter((entry) => entry.opId !== message.opId);
  return outbox.length === state.outbox.length ? state : { ...state, outbox };
}

function change(state: State, opId: string, fields: Partial<OutboxEntry>): State {
  const outbox = state.outbox.map((entry) => (entry.opId === opId ? { ...entry, ...fields } : entry));
  return { ...state, outbox };
}

function add(state: State, entries: readonly OutboxEntry[]): State {
  const known = new Set(state.outbox.map((entry) => entry.opId));
  const fresh = entries.filter((entry) => !known.has(entry.opId));
  if (fresh.length === 0) return state;
  const outbox = [...state.outbox, ...fresh].sort((a, b) => a.createdAt - b.createdAt);
  return { ...state, outbox };
}

type OutboxAction = Extract<Action, { type: `outbox_${string}` }>;

export function reduceOutbox(state: State, action: OutboxAction): State {
  switch (action.type) {
    case 'outbox_restored':
      return add(state, action.entries);
    case 'outbox_queued':
      return add(state, [action.entry]);
    case 'outbox_sending':
      return change(state, action.opId, { status: 'sending', error: '' });
    case 'outbox_requeued':
      return change(state, action.opId, { status: 'queued', error: '' });
    case 'outbox_failed':
      return change(state, action.opId, { status: 'failed', error: action.error });
    case 'outbox_dropped':
      return { ...state, outbox: state.outbox.filter((entry) => entry.opId !== action.opId) };
  }
}

/** The next to send: order within a room is kept, and a failed one holds nothing up. */
export function nextToSend(outbox: readonly OutboxEntry[]): OutboxEntry | undefined {
  const busy = new Set(outbox.filter((entry) => entry.status === 'sending').map((entry) => entry.roomId));
  return outbox.find((entry) => entry.status === 'queued' && !busy.has(entry.roomId));
}
