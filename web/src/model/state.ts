/** Everything the app knows, and everything that can happen to it. */
import type { Messages, Page } from './messages';
import type { FeedEvent, FileInfo, Member, Membership, Message, OutboxEntry, Room, Snapshot } from './types';

/** The latest that is known of somebody in a room: the number of the event, and their standing if they are in. */
export interface MemberFact {
  readonly seq: number;
  readonly member?: Member;
}

/** Who of a room is online. */
export interface Presence {
  /** The first 200, also when more are. */
  readonly userIds: ReadonlySet<string>;
  readonly count: number;
}

export interface RoomState {
  readonly room: Room;
  readonly membership: Membership;
  readonly members: Readonly<Record<string, MemberFact>>;
  readonly messages: Messages;
}

export interface State {
  /** The signed-in user, whose own feed has this id. */
  readonly me: string;
  readonly epoch: string;
  /** Whether the stream has reached what was there when it started. */
  readonly caughtUp: boolean;
  readonly cursors: Readonly<Record<string, number>>;
  readonly rooms: Readonly<Record<string, RoomState>>;
  /** Rooms that were left, and the number of the event by which. */
  readonly gone: Readonly<Record<string, number>>;
  /** How far was read, and the number of the own feed's event that said so. */
  readonly reads: Readonly<Record<string, { readonly seq: number; readonly ordinal: number; readonly at: number }>>;
  readonly files: Readonly<Record<string, FileInfo>>;
  /** Room, user, and until when they count as typing. */
  readonly typing: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Who is online in the rooms that are looked at, as the server said it last. */
  readonly presence: Readonly<Record<string, Presence>>;
  readonly outbox: readonly OutboxEntry[];
  /** Feeds where an event was missing, and the cursor at that time. */
  readonly holes: Readonly<Record<string, number>>;
  /** A hole was found: the stream has to be asked for again. */
  readonly stale: boolean;
  /** How many times messages were started anew. */
  readonly generation: number;
}

export type ResetReason = 'epoch-changed' | 'cursor-ahead' | 'not-found';

/** What the stream brings. */
export type StreamAction =
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly type: 'event'; readonly event: FeedEvent }
  | { readonly type: 'typing'; readonly roomId: string; readonly userId: string; readonly now: number }
  | { readonly type: 'presence'; readonly roomId: string; readonly userIds: readonly string[]; readonly count: number }
  | { readonly type: 'caught_up'; readonly epoch: string }
  | { readonly type: 'reset'; readonly reason: ResetReason; readonly feedId: string };

export type Action =
  | StreamAction
  /** The stream was asked for anew, from the cursors held. */
  | { readonly type: 'subscribed' }
  /** These rooms are looked at from now on, and no others. */
  | { readonly type: 'looked_at'; readonly roomIds: readonly string[] }
  | { readonly type: 'page'; readonly roomId: string; readonly page: Page }
  | { readonly type: 'members'; readonly roomId: string; readonly members: readonly Member[] }
  /** A call answered with a message as it is now. */
  | { readonly type: 'message'; readonly message: Message }
  | { readonly type: 'outbox_restored'; readonly entries: readonly OutboxEntry[] }
  | { readonly type: 'outbox_queued'; readonly entry: OutboxEntry }
  | { readonly type: 'outbox_sending'; readonly opId: string }
  | { readonly type: 'outbox_requeued'; readonly opId: string }
  | { readonly type: 'outbox_failed'; readonly opId: string; readonly error: string }
  | { readonly type: 'outbox_dropped'; readonly opId: string }
  | { readonly type: 'tick'; readonly now: number };

export function initialState(me: string): State {
  return {
    me,
    epoch: '',
    caughtUp: false,
    cursors: {},
    rooms: {},
    gone: {},
    reads: {},
    files: {},
    typing: {},
    presence: {},
    outbox: [],
    holes: {},
    stale: false,
    generation: 0,
  };
}

export function without<T>(record: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> {
  if (!(key in record)) return record;
  const { [key]: _, ...rest } = record;
  return rest;
}
