/** Turns what the wire carries into the model's plain data. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type User as WireUser, WorkspaceRole as WireWorkspaceRole } from '../api/gen/loquat/auth/v1/user_pb';
import type { Event, Snapshot as WireSnapshot } from '../api/gen/loquat/chat/v1/event_pb';
import type { Message as WireMessage, LinkPreview as WirePreviewOfLink } from '../api/gen/loquat/chat/v1/message_pb';
import {
  RoomHistory as WireHistory,
  RoomKind as WireKind,
  type Member as WireMember,
  type Membership as WireMembership,
  type RoomPermissions as WirePermissions,
  RoomRole as WireRole,
  type Room as WireRoom,
} from '../api/gen/loquat/chat/v1/room_pb';
import {
  type File as WireFile,
  FileState as WireFileState,
  PreviewState as WirePreview,
} from '../api/gen/loquat/file/v1/file_pb';
import type {
  EventBody,
  FeedEvent,
  FileInfo,
  FileState,
  LinkPreview,
  Member,
  Membership,
  Message,
  Room,
  RoomPermissions,
  RoomRole,
  Snapshot,
  User,
  WorkspaceRole,
} from './types';

export function millis(at: Timestamp | undefined): number {
  return at ? Number(at.seconds) * 1000 + Math.floor(at.nanos / 1e6) : 0;
}

const ROLES: Partial<Record<WireRole, RoomRole>> = {
  [WireRole.OWNER]: 'owner',
  [WireRole.ADMIN]: 'admin',
  [WireRole.MODERATOR]: 'moderator',
  [WireRole.MEMBER]: 'member',
};

const WORKSPACE_ROLES: Partial<Record<WireWorkspaceRole, WorkspaceRole>> = {
  [WireWorkspaceRole.OWNER]: 'owner',
  [WireWorkspaceRole.ADMIN]: 'admin',
  [WireWorkspaceRole.GUEST]: 'guest',
};

const FILE_STATES: Partial<Record<WireFileState, FileState>> = {
  [WireFileState.PROCESSING]: 'processing',
  [WireFileState.READY]: 'ready',
  [WireFileState.FAILED]: 'failed',
};

export function user(from: WireUser): User {
  const { id, username, displayName, bot, disabled, title, about, avatarFileId } = from;
  const role = workspaceRole(from.role);
  return { id, username, displayName: displayName || username, role, bot, disabled, title, about, avatarFileId };
}

export function workspaceRole(from: WireWorkspaceRole): WorkspaceRole {
  return WORKSPACE_ROLES[from] ?? 'member';
}

export function room(from: WireRoom): Room {
  const kind = from.kind === WireKind.PUBLIC ? 'public' : 'private';
  return {
    id: from.id,
    name: from.name,
    kind,
    topic: from.topic,
    history: from.history === WireHistory.SINCE_JOINED ? 'since-joined' : 'all',
    createdBy: from.createdBy,
    permissions: permissions(from.permissions, kind),
    archivedAt: millis(from.archivedAt),
    retentionDays: from.retentionDays,
  };
}

/** What is not said means what it means in a new room. */
function permissions(from: WirePermissions | undefined, kind: Room['kind']): RoomPermissions {
  const role = (wire: WireRole | undefined, first: RoomRole) => ROLES[wire ?? WireRole.UNSPECIFIED] ?? first;
  return {
    post: role(from?.post, 'member'),
    addMembers: role(from?.addMembers, kind === 'public' ? 'member' : 'admin'),
    removeMembers: role(from?.removeMembers, 'admin'),
    editRoom: role(from?.editRoom, 'admin'),
    deleteMessages: role(from?.deleteMessages, 'moderator'),
  };
}

export function membership(from: WireMembership): Membership {
  return {
    role: ROLES[from.role] ?? 'member',
    firstVisibleSeq: Number(from.firstVisibleSeq),
    headOrdinal: Number(from.headOrdinal),
    readSeq: Number(from.readSeq),
    readOrdinal: Number(from.readOrdinal),
    memberCount: from.memberCount,
    expiredSeq: Number(from.expiredSeq),
    expiredOrdinal: Number(from.expiredOrdinal),
  };
}

export function member(from: WireMember): Member {
  return { userId: from.userId, role: ROLES[from.role] ?? 'member', joinedSeq: Number(from.joinedSeq) };
}

export function file(from: WireFile): FileInfo {
  return {
    id: from.id,
    roomId: from.roomId,
    name: from.name,
    contentType: from.contentType,
    size: Number(from.size),
    state: FILE_STATES[from.state] ?? 'receiving',
    failure: from.failure,
    width: from.width,
    height: from.height,
    thumbnails: from.thumbnails.map(({ variant, width, height }) => ({ variant, width, height })),
    uploaderId: from.uploaderId,
    createdAt: millis(from.createdAt),
    durationMs: Number(from.durationMs),
    facts: { ...from.found, ...from.attributes },
    previewFailure: from.preview === WirePreview.FAILED ? from.previewFailure : '',
  };
}

function linkPreview({ url, title, description, siteName }: WirePreviewOfLink): LinkPreview {
  return { url, title, description, siteName };
}

export function message(from: WireMessage): Message {
  return {
    id: from.id,
    roomId: from.roomId,
    seq: Number(from.seq),
    ordinal: Number(from.ordinal),
    authorId: from.authorId,
    webhook: from.webhook?.name ?? '',
    text: from.text,
    createdAt: millis(from.createdAt),
    editedAt: millis(from.editedAt),
    editedSeq: Number(from.editedSeq),
    deletedAt: millis(from.deletedAt),
    files: from.files.map(file),
    previews: from.previews.map(linkPreview),
    previewsSeq: Number(from.previewsSeq),
    opId: from.opId,
  };
}

function body(from: Event['body']): EventBody {
  switch (from.case) {
    case 'messagePosted':
      return from.value.message ? { type: 'message_posted', message: message(from.value.message) } : { type: 'other' };
    case 'messageEdited':
      return from.value.message ? { type: 'message_edited', message: message(from.value.message) } : { type: 'other' };
    case 'messageDeleted':
      return {
        type: 'message_deleted',
        messageId: from.value.messageId,
        messageSeq: Number(from.value.messageSeq),
        authorId: from.value.authorId,
        ordinal: Number(from.value.ordinal),
        createdAt: millis(from.value.createdAt),
      };
    case 'messagesExpired':
      return {
        type: 'messages_expired',
        throughSeq: Number(from.value.throughSeq),
        throughOrdinal: Number(from.value.throughOrdinal),
      };
    case 'linksPreviewed':
      return {
        type: 'links_previewed',
        messageId: from.value.messageId,
        messageSeq: Number(from.value.messageSeq),
        previews: from.value.previews.map(linkPreview),
      };
    case 'roomCreated':
    case 'roomUpdated':
    case 'roomArchived':
    case 'roomUnarchived':
      return from.value.room ? { type: 'room_updated', room: room(from.value.room) } : { type: 'other' };
    case 'memberJoined':
      return from.value.member ? { type: 'member_joined', member: member(from.value.member) } : { type: 'other' };
    case 'memberLeft':
      return { type: 'member_left', userId: from.value.userId };
    case 'memberRoleChanged':
      return from.value.member ? { type: 'member_role_changed', member: member(from.value.member) } : { type: 'other' };
    case 'fileReady':
      return from.value.file ? { type: 'file_ready', file: file(from.value.file) } : { type: 'other' };
    case 'fileRemoved':
      return { type: 'file_removed', fileId: from.value.fileId };
    case 'roomJoined':
      if (!from.value.room) return { type: 'other' };
      return { type: 'room_joined', room: room(from.value.room), joinedSeq: Number(from.value.joinedSeq) };
    case 'roomLeft':
      return { type: 'room_left', roomId: from.value.roomId, leftSeq: Number(from.value.leftSeq) };
    case 'read':
      return {
        type: 'read',
        roomId: from.value.roomId,
        seq: Number(from.value.seq),
        ordinal: Number(from.value.ordinal),
      };
    default:
      return { type: 'other' };
  }
}

export function event(from: Event): FeedEvent {
  return {
    feedId: from.feedId,
    seq: Number(from.seq),
    at: millis(from.at),
    actorId: from.actorId,
    body: body(from.body),
  };
}

/** Nothing for a snapshot of a kind that this client does not know. */
export function snapshot(from: WireSnapshot): Snapshot | undefined {
  const { feedId, head } = from;
  if (from.body.case === 'user') {
    return { type: 'user', feedId, head: Number(head), roomIds: from.body.value.roomIds };
  }
  const value = from.body.case === 'room' ? from.body.value : undefined;
  if (!value?.room || !value.membership) return undefined;
  const standing = { room: room(value.room), membership: membership(value.membership) };
  return { type: 'room', feedId, head: Number(head), ...standing, userHead: Number(value.userHead) };
}
