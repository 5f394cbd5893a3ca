/** What a person can do in rooms, as calls. Each change carries an op id, so that a repeated call happens once. */
import type { Call } from '../api/client';
import { UserService } from '../api/gen/loquat/auth/v1/user_service_pb';
import { MessageService } from '../api/gen/loquat/chat/v1/message_service_pb';
import {
  RoomHistory as WireHistory,
  RoomKind as WireKind,
  RoomRole as WireRole,
} from '../api/gen/loquat/chat/v1/room_pb';
import { RoomService } from '../api/gen/loquat/chat/v1/room_service_pb';
import * as decode from '../model/decode';
import type { Action, State } from '../model/state';
import type { Room, RoomHistory, RoomKind, RoomPermissions, RoomRole, User } from '../model/types';

const WIRE_ROLES: Readonly<Record<RoomRole, WireRole>> = {
  owner: WireRole.OWNER,
  admin: WireRole.ADMIN,
  moderator: WireRole.MODERATOR,
  member: WireRole.MEMBER,
};
const WIRE_HISTORIES: Readonly<Record<RoomHistory, WireHistory>> = {
  all: WireHistory.ALL,
  'since-joined': WireHistory.SINCE_JOINED,
};
const PAGE = 50;
const TYPING_EVERY_MS = 3000;

export interface RoomWish {
  readonly name: string;
  readonly kind: RoomKind;
  readonly topic: string;
  /** Only those who run the room post in it. */
  readonly announcements: boolean;
}

/** A field that is not there stays as it is. */
export interface RoomChange {
  readonly name?: string;
  readonly topic?: string;
  readonly history?: RoomHistory;
  readonly permissions?: Partial<RoomPermissions>;
  /** 0 for what holds in every room. */
  readonly retentionDays?: number;
}

export interface Chat {
  createRoom(wish: RoomWish): Promise<string>;
  /** Public rooms and those one is in. */
  listRooms(): Promise<readonly Room[]>;
  join(roomId: string): Promise<void>;
  leave(roomId: string): Promise<void>;
  update(roomId: string, change: RoomChange): Promise<void>;
  /** Days that messages are kept in rooms that say nothing of it themselves; 0 for ever. */
  workspaceRetention(roomId: string): Promise<number>;
  setArchived(roomId: string, archived: boolean): Promise<void>;
  addMember(roomId: string, userId: string): Promise<void>;
  removeMember(roomId: string, userId: string): Promise<void>;
  setRole(roomId: string, userId: string, role: RoomRole): Promise<void>;
  loadMembers(roomId: string): Promise<void>;
  /** The newest page, or the one before what is held. */
  loadMessages(roomId: string): Promise<void>;
  edit(roomId: string, messageId: string, text: string): Promise<void>;
  remove(roomId: string, messageId: string): Promise<void>;
  /** Takes the previews of a message's links away, for everybody. */
  removePreviews(roomId: string, messageId: string): Promise<void>;
  markRead(roomId: string, seq: number): Promise<void>;
  typing(roomId: string): void;
  searchUsers(query: string): Promise<readonly User[]>;
}

export function newOpId(): string {
  // `randomUUID` is only there on https and localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function chatOver(call: Call, state: () => State, dispatch: (action: Action) => void): Chat {
  const rooms = RoomService.method;
  const messages = MessageService.method;
  const loading = new Map<string, Promise<void>>();
  let typedAt = { roomId: '', at: 0 };

  async function loadPage(roomId: string): Promise<void> {
    const held = state().rooms[roomId]?.messages;
    if (!held || held.from === 0) return;
    const before = Number.isFinite(held.from) ? held.from : 0;
    const answer = await call(messages.listMessages, { roomId, beforeSeq: BigInt(before), pageSize: PAGE });
    const page = { generation: held.generation, beforeSeq: before, more: answer.more };
    dispatch({ type: 'page', roomId, page: { ...page, messages: answer.messages.map(decode.message) } });
  }

  return {
    async createRoom({ name, kind, topic, announcements }) {
      const wire = kind === 'public' ? WireKind.PUBLIC : WireKind.PRIVATE;
      const permissions = announcements ? { post: WireRole.MODERATOR } : undefined;
      const { room } = await call(rooms.createRoom, { name, kind: wire, topic, permissions, opId: newOpId() });
      return room?.id ?? '';
    },
    async listRooms() {
      const all: Room[] = [];
      let pageToken = '';
      do {
        const page = await call(rooms.listRooms, { pageToken });
        all.push(...page.rooms.map(decode.room));
        pageToken = page.nextPageToken;
      } while (pageToken);
      return all;
    },
    async join(roomId) {
      await call(rooms.joinRoom, { roomId, opId: newOpId() });
    },
    async leave(roomId) {
      await call(rooms.leaveRoom, { roomId, opId: newOpId() });
    },
    async update(roomId, { name, topic, history, permissions, retentionDays }) {
      const roles = Object.entries(permissions ?? {}).map(([permission, role]) => [permission, WIRE_ROLES[role]]);
      const wire = history && WIRE_HISTORIES[history];
      const request = { roomId, name, topic, history: wire, retentionDays, opId: newOpId() };
      const changed = roles.length > 0 ? { ...request, permissions: Object.fromEntries(roles) } : request;
      await call(rooms.updateRoom, changed);
    },
    async workspaceRetention(roomId) {
      return (await call(rooms.getRoom, { roomId })).workspaceRetentionDays;
    },
    async setArchived(roomId, archived) {
      const request = { roomId, opId: newOpId() };
      if (archived) await call(rooms.archiveRoom, request);
      else await call(rooms.unarchiveRoom, request);
    },
    async addMember(roomId, userId) {
      await call(rooms.addMember, { roomId, userId, opId: newOpId() });
    },
    async setRole(roomId, userId, role) {
      await call(rooms.setMemberRole, { roomId, userId, role: WIRE_ROLES[role], opId: newOpId() });
    },
    async removeMember(roomId, userId) {
      await call(rooms.removeMember, { roomId, userId, opId: newOpId() });
    },
    async loadMembers(roomId) {
      let pageToken = '';
      do {
        const page = await call(rooms.listMembers, { roomId, pageSize: 1000, pageToken });
        dispatch({ type: 'members', roomId, members: page.members.map(decode.member) });
        pageToken = page.nextPageToken;
      } while (pageToken);
    },
    loadMessages(roomId) {
      const running = loading.get(roomId) ?? loadPage(roomId).finally(() => loading.delete(roomId));
      loading.set(roomId, running);
      return running;
    },
    async edit(roomId, messageId, text) {
      const { message } = await call(messages.editMessage, { roomId, messageId, text, opId: newOpId() });
      if (message) dispatch({ type: 'message', message: decode.message(message) });
    },
    async remove(roomId, messageId) {
      await call(messages.deleteMessage, { roomId, messageId, opId: newOpId() });
    },
    async removePreviews(roomId, messageId) {
      await call(messages.removePreviews, { roomId, messageId, opId: newOpId() });
    },
    async markRead(roomId, seq) {
      await call(rooms.markRead, { roomId, seq: BigInt(seq) });
    },
    typing(roomId) {
      const now = Date.now();
      if (typedAt.roomId === roomId && now - typedAt.at < TYPING_EVERY_MS) return;
      typedAt = { roomId, at: now };
      // Nobody misses it when it is lost.
      call(rooms.setTyping, { roomId }, { keep: false }).catch(() => {});
    },
    async searchUsers(query) {
      const { users } = await call(UserService.method.searchUsers, { query, pageSize: 20 });
      return users.map(decode.user);
    },
  };
}
