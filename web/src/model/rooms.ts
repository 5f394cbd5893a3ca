/** What the numbered events of a feed change. Whoever calls has checked that the event is the next one. */
import {
  deleted,
  expireMessages,
  mergeFile,
  noMessages,
  previewLinks,
  putFile,
  putMessage,
  unknownFile,
  withFiles,
} from './messages';
import { dropDelivered } from './outbox';
import { type MemberFact, type RoomState, type State, without } from './state';
import type { FeedEvent, FileInfo, Member, Membership, Message, RoomSnapshot, UserSnapshot } from './types';

export function changeRoom(state: State, roomId: string, change: (room: RoomState) => RoomState): State {
  const room = state.rooms[roomId];
  if (!room) return state;
  const changed = change(room);
  return changed === room ? state : { ...state, rooms: { ...state.rooms, [roomId]: changed } };
}

/** A message as it was heard of, by whatever way. */
export function learnMessage(state: State, message: Message): State {
  const full = withFiles(message, state.files);
  const changed = changeRoom(state, message.roomId, (room) => ({
    ...room,
    messages: putMessage(room.messages, full),
    membership: atLeast(room.membership, message.ordinal),
  }));
  return dropDelivered(changed, message);
}

function atLeast(membership: Membership, ordinal: number): Membership {
  return ordinal > membership.headOrdinal ? { ...membership, headOrdinal: ordinal } : membership;
}

function expire(room: RoomState, throughSeq: number, throughOrdinal: number): RoomState {
  const known = atLeast(room.membership, throughOrdinal);
  const membership = {
    ...known,
    expiredSeq: Math.max(known.expiredSeq, throughSeq),
    expiredOrdinal: Math.max(known.expiredOrdinal, throughOrdinal),
  };
  return { ...room, membership, messages: expireMessages(room.messages, throughSeq) };
}

/** The room, its cursor and everything that belongs to it. */
export function removeRoom(state: State, roomId: string, seq: number): State {
  return {
    ...state,
    rooms: without(state.rooms, roomId),
    cursors: without(state.cursors, roomId),
    typing: without(state.typing, roomId),
    presence: without(state.presence, roomId),
    reads: without(state.reads, roomId),
    holes: without(state.holes, roomId),
    gone: { ...state.gone, [roomId]: Math.max(seq, state.gone[roomId] ?? 0) },
  };
}

/** The later fact about somebody holds. */
export function putMember(
  members: Readonly<Record<string, MemberFact>>,
  userId: string,
  fact: MemberFact,
): Readonly<Record<string, MemberFact>> {
  const known = members[userId];
  return known && known.seq >= fact.seq ? members : { ...members, [userId]: fact };
}

export function putMembers(room: RoomState, members: readonly Member[]): RoomState {
  const put = (all: RoomState['members'], member: Member) =>
    putMember(all, member.userId, { seq: member.joinedSeq, member });
  return { ...room, members: members.reduce(put, room.members) };
}

function countMembers(room: RoomState, difference: number, userId: string, fact: MemberFact): RoomState {
  const memberCount = Math.max(0, room.membership.memberCount + difference);
  return {
    ...room,
    membership: { ...room.membership, memberCount },
    members: putMember(room.members, userId, fact),
  };
}

function changeRole(room: RoomState, member: Member, seq: number, me: string): RoomState {
  const mine = member.userId === me;
  return {
    ...room,
    membership: mine ? { ...room.membership, role: member.role } : room.membership,
    members: putMember(room.members, member.userId, { seq, member }),
  };
}

function learnFile(state: State, file: FileInfo): State {
  const known = state.files[file.id];
  const merged = known ? mergeFile(known, file) : file;
  if (merged === known) return state;
  const changed = { ...state, files: { ...state.files, [file.id]: merged } };
  return changeRoom(changed, file.roomId, (room) => ({ ...room, messages: putFile(room.messages, merged) }));
}

/** A file that was taken out: what else is known of it stays, so that messages can name it. */
function removed(state: State, roomId: string, id: string): FileInfo {
  const messages = state.rooms[roomId]?.messages.all ?? [];
  const known = state.files[id] ?? messages.flatMap(({ files }) => files).find((file) => file.id === id);
  return { ...(known ?? unknownFile(id, roomId)), state: 'removed', thumbnails: [] };
}

export function stopTyping(state: State, roomId: string, userId: string): State {
  const room = state.typing[roomId];
  if (!room || !(userId in room)) return state;
  return { ...state, typing: { ...state.typing, [roomId]: without(room, userId) } };
}

export function applyEvent(state: State, event: FeedEvent): State {
  const { body, feedId, seq, at } = event;
  switch (body.type) {
    case 'message_posted':
      return stopTyping(learnMessage(state, body.message), feedId, body.message.authorId);
    case 'message_edited':
      return learnMessage(state, body.message);
    case 'message_deleted':
      // Whoever was away when it was posted finds a stub in its place, and it counts all the same.
      return learnMessage(state, deleted(feedId, body, at));
    case 'messages_expired':
      return changeRoom(state, feedId, (room) => expire(room, body.throughSeq, body.throughOrdinal));
    case 'links_previewed':
      return changeRoom(state, feedId, (room) => ({
        ...room,
        messages: previewLinks(room.messages, feedId, body, seq),
      }));
    case 'room_updated':
      return changeRoom(state, feedId, (room) => ({ ...room, room: body.room }));
    case 'member_joined':
      return changeRoom(state, feedId, (room) =>
        countMembers(room, 1, body.member.userId, { seq, member: body.member }),
      );
    case 'member_left':
      if (body.userId === state.me) return removeRoom(state, feedId, seq);
      return changeRoom(stopTyping(state, feedId, body.userId), feedId, (room) =>
        countMembers(room, -1, body.userId, { seq }),
      );
    case 'member_role_changed':
      return changeRoom(state, feedId, (room) => changeRole(room, body.member, seq, state.me));
    case 'file_ready':
      return learnFile(state, body.file);
    case 'file_removed':
      return learnFile(state, removed(state, feedId, body.fileId));
    case 'read':
      return { ...state, reads: { ...state.reads, [body.roomId]: { seq: body.seq, ordinal: body.ordinal, at: seq } } };
    case 'room_left':
      // The room may have told already, or have been joined again since.
      return (state.cursors[body.roomId] ?? 0) > body.leftSeq ? state : removeRoom(state, body.roomId, body.leftSeq);
    default:
      return state;
  }
}

export function applyRoomSnapshot(state: State, snapshot: RoomSnapshot): State {
  const { feedId, head, room, membership } = snapshot;
  const generation = state.generation + 1;
  const messages = noMessages(generation, membership.expiredSeq);
  const fresh: RoomState = { room, membership, members: {}, messages };
  // The own feed may have spoken of this room after the snapshot was taken: a marker can be set back as well.
  const older = (state.reads[feedId]?.at ?? 0) <= snapshot.userHead;
  return {
    ...state,
    generation,
    reads: older ? without(state.reads, feedId) : state.reads,
    rooms: { ...state.rooms, [feedId]: fresh },
    cursors: { ...state.cursors, [feedId]: head },
    gone: without(state.gone, feedId),
    holes: without(state.holes, feedId),
  };
}

/** Rooms that the user is no longer in are dropped; those new to us bring their own snapshots. */
export function applyUserSnapshot(state: State, snapshot: UserSnapshot): State {
  const kept = new Set(snapshot.roomIds);
  const left = Object.keys(state.rooms).filter((roomId) => !kept.has(roomId));
  const rest = left.reduce((next, roomId) => removeRoom(next, roomId, state.cursors[roomId] ?? 0), state);
  return { ...rest, cursors: { ...rest.cursors, [snapshot.feedId]: snapshot.head } };
}
