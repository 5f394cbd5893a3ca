/**
 * The one way in which state changes. Live, replay and reset pass through here alike: an event counts only when it is the
 * next of its feed, one that was seen is skipped, and a hole is never stepped over but marks the stream as stale.
 */
import { putPage, withFiles } from './messages';
import { dropDelivered, reduceOutbox } from './outbox';
import {
  applyEvent,
  applyRoomSnapshot,
  applyUserSnapshot,
  changeRoom,
  learnMessage,
  putMembers,
  removeRoom,
} from './rooms';
import { type Action, type ResetReason, type State, without } from './state';
import type { FeedEvent, Snapshot } from './types';

/** How long somebody counts as typing. */
export const TYPING_MS = 5000;

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'event':
      return reduceEvent(state, action.event);
    case 'snapshot':
      return reduceSnapshot(state, action.snapshot);
    case 'reset':
      return reduceReset(state, action.reason, action.feedId);
    case 'caught_up':
      return { ...state, epoch: action.epoch, caughtUp: true };
    case 'subscribed':
      // Who came and went meanwhile is told again.
      return { ...state, stale: false, caughtUp: false, presence: {} };
    case 'typing':
      return reduceTyping(state, action.roomId, action.userId, action.now);
    case 'presence':
      return reducePresence(state, action);
    case 'looked_at':
      return reduceLookedAt(state, action.roomIds);
    case 'page':
      return reducePage(state, action);
    case 'members':
      return changeRoom(state, action.roomId, (room) => putMembers(room, action.members));
    case 'message':
      return learnMessage(state, action.message);
    case 'tick':
      return reduceTick(state, action.now);
    default:
      return reduceOutbox(state, action);
  }
}

function reduceEvent(state: State, event: FeedEvent): State {
  const { feedId, seq } = event;
  const cursor = state.cursors[feedId];
  if (cursor === undefined) return seq <= (state.gone[feedId] ?? 0) ? state : { ...state, stale: true };
  if (seq <= cursor) return state;
  if (seq > cursor + 1) return reduceHole(state, feedId, cursor);
  const moved = {
    ...state,
    cursors: { ...state.cursors, [feedId]: seq },
    holes: without(state.holes, feedId),
  };
  return applyEvent(moved, event);
}

/**
 * The first time, the stream is asked for again from the cursor. When the same hole is there again, the log does not
 * show what is in it (it lies before a later joining): the feed starts from a snapshot.
 */
function reduceHole(state: State, feedId: string, cursor: number): State {
  if (state.stale) return state;
  if (state.holes[feedId] !== cursor) return { ...state, stale: true, holes: { ...state.holes, [feedId]: cursor } };
  return { ...state, stale: true, cursors: without(state.cursors, feedId), holes: without(state.holes, feedId) };
}

function reduceSnapshot(state: State, snapshot: Snapshot): State {
  const { feedId, head } = snapshot;
  const cursor = state.cursors[feedId];
  if (cursor !== undefined && head <= cursor) return state;
  if (snapshot.type === 'user') return applyUserSnapshot(state, snapshot);
  return head <= (state.gone[feedId] ?? -1) ? state : applyRoomSnapshot(state, snapshot);
}

function reduceReset(state: State, reason: ResetReason, feedId: string): State {
  if (reason === 'not-found') {
    return feedId ? removeRoom(state, feedId, state.cursors[feedId] ?? 0) : state;
  }
  if (feedId === '') return { ...state, cursors: {}, gone: {}, reads: {}, files: {}, holes: {} };
  // Where rooms were read up to comes with their snapshots.
  if (feedId === state.me) return { ...state, cursors: {}, reads: {}, stale: true };
  const reads = without(state.reads, feedId);
  return { ...state, reads, cursors: without(state.cursors, feedId), gone: without(state.gone, feedId) };
}

function reducePage(state: State, { roomId, page }: Extract<Action, { type: 'page' }>): State {
  const full = { ...page, messages: page.messages.map((message) => withFiles(message, state.files)) };
  const changed = changeRoom(state, roomId, (room) => {
    const messages = putPage(room.messages, full);
    const head = Math.max(room.membership.headOrdinal, ...page.messages.map((message) => message.ordinal));
    return { ...room, messages, membership: { ...room.membership, headOrdinal: head } };
  });
  return page.messages.reduce(dropDelivered, changed);
}

function reduceTyping(state: State, roomId: string, userId: string, now: number): State {
  if (userId === state.me || !state.rooms[roomId]) return state;
  return { ...state, typing: { ...state.typing, [roomId]: { ...state.typing[roomId], [userId]: now + TYPING_MS } } };
}

/** Each digest is complete. One that was on its way when a room was left is of no use. */
function reducePresence(state: State, { roomId, userIds, count }: Extract<Action, { type: 'presence' }>): State {
  if (!state.rooms[roomId]) return state;
  return { ...state, presence: { ...state.presence, [roomId]: { userIds: new Set(userIds), count } } };
}

function reduceLookedAt(state: State, roomIds: readonly string[]): State {
  const kept = Object.entries(state.presence).filter(([roomId]) => roomIds.includes(roomId));
  if (kept.length === Object.keys(state.presence).length) return state;
  return { ...state, presence: Object.fromEntries(kept) };
}

function reduceTick(state: State, now: number): State {
  const rooms = Object.entries(state.typing).map(([roomId, users]) => {
    const still = Object.entries(users).filter(([, until]) => until > now);
    return [roomId, still.length === Object.keys(users).length ? users : Object.fromEntries(still)] as const;
  });
  const changed = rooms.some(([roomId, users]) => users !== state.typing[roomId]);
  if (!changed) return state;
  return { ...state, typing: Object.fromEntries(rooms.filter(([, users]) => Object.keys(users).length > 0)) };
}
