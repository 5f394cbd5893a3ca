/** The plain data that the app works with. Numbers of feeds fit a double; times are milliseconds since 1970. */

export type RoomKind = 'public' | 'private';
/** In falling order of what they may. */
export const ROOM_ROLES = ['owner', 'admin', 'moderator', 'member'] as const;
export type RoomRole = (typeof ROOM_ROLES)[number];
export type RoomHistory = 'all' | 'since-joined';
export type WorkspaceRole = 'owner' | 'admin' | 'member' | 'guest';

export interface User {
  readonly id: string;
  readonly username: string;
  readonly displayName: string;
  readonly role: WorkspaceRole;
  readonly bot: boolean;
  readonly disabled: boolean;
  readonly title: string;
  readonly about: string;
  /** Of their picture; empty when there is none. */
  readonly avatarFileId: string;
}

/** What needs which role: the lowest that may. */
export interface RoomPermissions {
  readonly post: RoomRole;
  readonly addMembers: RoomRole;
  readonly removeMembers: RoomRole;
  readonly editRoom: RoomRole;
  readonly deleteMessages: RoomRole;
}

export interface Room {
  readonly id: string;
  readonly name: string;
  readonly kind: RoomKind;
  readonly topic: string;
  readonly history: RoomHistory;
  readonly createdBy: string;
  readonly permissions: RoomPermissions;
  /** Since when it can be read and left and nothing else; 0 when it is not archived. */
  readonly archivedAt: number;
  /** Days that messages are kept; 0 for what holds in every room. */
  readonly retentionDays: number;
}

/** The caller's own standing in a room. */
export interface Membership {
  readonly role: RoomRole;
  readonly firstVisibleSeq: number;
  readonly headOrdinal: number;
  readonly readSeq: number;
  readonly readOrdinal: number;
  readonly memberCount: number;
  /** Messages up to this number, and the ordinal of the newest of them, are gone by retention. */
  readonly expiredSeq: number;
  readonly expiredOrdinal: number;
}

export interface Member {
  readonly userId: string;
  readonly role: RoomRole;
  readonly joinedSeq: number;
}

/** `removed` is final: taken out of the room. */
export type FileState = 'receiving' | 'processing' | 'ready' | 'failed' | 'removed';

export interface Thumbnail {
  readonly variant: string;
  readonly width: number;
  readonly height: number;
}

export interface FileInfo {
  readonly id: string;
  readonly roomId: string;
  readonly name: string;
  readonly contentType: string;
  readonly size: number;
  readonly state: FileState;
  readonly failure: string;
  readonly width: number;
  readonly height: number;
  readonly thumbnails: readonly Thumbnail[];
  readonly uploaderId: string;
  /** 0 while it is not complete. */
  readonly createdAt: number;
  /** Of a sound or film; 0 if unknown. */
  readonly durationMs: number;
  /** What its bytes and its uploader say of it. */
  readonly facts: Readonly<Record<string, string>>;
  /** Why there are no smaller pictures; empty unless making them failed. */
  readonly previewFailure: string;
}

/** What a page says of itself that a message links to. */
export interface LinkPreview {
  readonly url: string;
  readonly title: string;
  /** May be empty. */
  readonly description: string;
  readonly siteName: string;
}

export interface Message {
  readonly id: string;
  readonly roomId: string;
  readonly seq: number;
  readonly ordinal: number;
  /** Somebody, or the webhook. */
  readonly authorId: string;
  /** What a webhook calls itself; empty for what somebody wrote. */
  readonly webhook: string;
  readonly text: string;
  readonly createdAt: number;
  readonly editedAt: number;
  readonly editedSeq: number;
  /** 0 when it was not deleted. */
  readonly deletedAt: number;
  readonly files: readonly FileInfo[];
  readonly previews: readonly LinkPreview[];
  /** Of the event that `previews` are of; 0 when there never was one. */
  readonly previewsSeq: number;
  readonly opId: string;
}

/** What an event says; `other` is one that this client does not know, whose number still counts. */
export type EventBody =
  | { readonly type: 'message_posted'; readonly message: Message }
  | { readonly type: 'message_edited'; readonly message: Message }
  | {
      readonly type: 'message_deleted';
      readonly messageId: string;
      readonly messageSeq: number;
      readonly authorId: string;
      readonly ordinal: number;
      readonly createdAt: number;
    }
  | { readonly type: 'messages_expired'; readonly throughSeq: number; readonly throughOrdinal: number }
  | {
      readonly type: 'links_previewed';
      readonly messageId: string;
      readonly messageSeq: number;
      readonly previews: readonly LinkPreview[];
    }
  | { readonly type: 'room_updated'; readonly room: Room }
  | { readonly type: 'member_joined'; readonly member: Member }
  | { readonly type: 'member_left'; readonly userId: string }
  | { readonly type: 'member_role_changed'; readonly member: Member }
  | { readonly type: 'file_ready'; readonly file: FileInfo }
  | { readonly type: 'file_removed'; readonly fileId: string }
  | { readonly type: 'room_joined'; readonly room: Room; readonly joinedSeq: number }
  | { readonly type: 'room_left'; readonly roomId: string; readonly leftSeq: number }
  | { readonly type: 'read'; readonly roomId: string; readonly seq: number; readonly ordinal: number }
  | { readonly type: 'other' };

export interface FeedEvent {
  readonly feedId: string;
  readonly seq: number;
  readonly at: number;
  readonly actorId: string;
  readonly body: EventBody;
}

export interface RoomSnapshot {
  readonly type: 'room';
  readonly feedId: string;
  readonly head: number;
  readonly room: Room;
  readonly membership: Membership;
  /** The newest number of the own feed that it knows of. */
  readonly userHead: number;
}

export interface UserSnapshot {
  readonly type: 'user';
  readonly feedId: string;
  readonly head: number;
  readonly roomIds: readonly string[];
}

export type Snapshot = RoomSnapshot | UserSnapshot;

/** A file that was uploaded, with the proof that lets a message carry it. */
export interface Attachment {
  readonly reference: string;
  readonly file: FileInfo;
}

export type OutboxStatus = 'queued' | 'sending' | 'failed';

/** A message that the server has not acknowledged. */
export interface OutboxEntry {
  readonly opId: string;
  readonly roomId: string;
  readonly text: string;
  readonly attachments: readonly Attachment[];
  readonly createdAt: number;
  readonly status: OutboxStatus;
  /** Why it failed for good; empty otherwise. */
  readonly error: string;
}
