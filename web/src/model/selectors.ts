/** Questions that the screens ask of the state. */
import type { Presence, RoomState, State } from './state';
import type { Member, OutboxEntry } from './types';

/** How far the user has read: the own feed knows it as soon as it spoke of the room. What is gone counts as read. */
export function readMarker(state: State, roomId: string): { seq: number; ordinal: number } {
  const { readSeq = 0, readOrdinal = 0, expiredSeq = 0, expiredOrdinal = 0 } = state.rooms[roomId]?.membership ?? {};
  const { seq, ordinal } = state.reads[roomId] ?? { seq: readSeq, ordinal: readOrdinal };
  return { seq: Math.max(seq, expiredSeq), ordinal: Math.max(ordinal, expiredOrdinal) };
}

export function unread(state: State, roomId: string): number {
  const room = state.rooms[roomId];
  return room ? Math.max(0, room.membership.headOrdinal - readMarker(state, roomId).ordinal) : 0;
}

export function totalUnread(state: State): number {
  return Object.keys(state.rooms).reduce((sum, roomId) => sum + unread(state, roomId), 0);
}

/** Archived ones last. */
export function roomsByName(state: Pick<State, 'rooms'>): RoomState[] {
  const archived = ({ room }: RoomState) => Number(room.archivedAt > 0);
  return Object.values(state.rooms).sort(
    (a, b) => archived(a) - archived(b) || a.room.name.localeCompare(b.room.name) || a.room.id.localeCompare(b.room.id),
  );
}

export function members(room: RoomState): readonly Member[] {
  const present = Object.values(room.members).flatMap((fact) => (fact.member ? [fact.member] : []));
  return present.sort((a, b) => a.joinedSeq - b.joinedSeq);
}

export function outboxOf(state: Pick<State, 'outbox'>, roomId: string): readonly OutboxEntry[] {
  return state.outbox.filter((entry) => entry.roomId === roomId);
}

/** Nothing as long as the room is not looked at. */
export function presenceIn(state: State, roomId: string): Presence | undefined {
  return state.presence[roomId];
}

export function typingIn(state: State, roomId: string): readonly string[] {
  return Object.keys(state.typing[roomId] ?? {});
}
