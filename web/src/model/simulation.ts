/** A small server and an unreliable network, for the tests of the reducer: seeded, so that a failure can be repeated. */
import { mergeMessage, unknownFile } from './messages';
import { reduce } from './reducer';
import { type Action, initialState, type State } from './state';
import type { EventBody, FeedEvent, FileInfo, Message, Room, RoomSnapshot, UserSnapshot } from './types';

export const ME = 'user-me';
export const ROOM = 'room-1';

/** Mulberry32. */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function file(id: string, state: FileInfo['state'] = 'processing'): FileInfo {
  const size = state === 'ready' ? 100 : 0;
  const thumbnails = state === 'ready' ? [{ variant: 'w320', width: 320, height: 200 }] : [];
  const rest = { contentType: 'image/png', width: size, height: size, thumbnails };
  return { ...unknownFile(id, ROOM), name: `${id}.png`, size: 1, state, ...rest };
}

export function message(seq: number, fields: Partial<Message> = {}): Message {
  const base = { id: `m${seq}`, roomId: ROOM, seq, ordinal: seq, authorId: ME, text: `text ${seq}`, createdAt: seq };
  return {
    ...base,
    webhook: '',
    editedAt: 0,
    editedSeq: 0,
    deletedAt: 0,
    files: [],
    previews: [],
    previewsSeq: 0,
    opId: `op${seq}`,
    ...fields,
  };
}

/** A room as somebody just made it. */
export function room(name: string): Room {
  const role = 'member' as const;
  const permissions = {
    post: role,
    addMembers: role,
    removeMembers: 'admin',
    editRoom: 'admin',
    deleteMessages: 'moderator',
  } as const;
  const rest = { topic: '', history: 'all', createdBy: ME, archivedAt: 0, retentionDays: 0 } as const;
  return { id: ROOM, name, kind: 'public', permissions, ...rest };
}

export function event(seq: number, body: EventBody, feedId = ROOM): FeedEvent {
  return { feedId, seq, at: seq, actorId: ME, body };
}

/** One room and one user, as a server holds them. */
/** The message whose content an event holds. */
function contentOf(body: EventBody): string {
  if ('message' in body) return body.message.id;
  return body.type === 'links_previewed' ? body.messageId : '';
}

export class Server {
  readonly log: FeedEvent[] = [];
  readonly userLog: FeedEvent[] = [];
  messages: Message[] = [];
  members: Record<string, number> = {};
  ready: Record<string, FileInfo> = {};
  name = 'first';
  read = { seq: 0, ordinal: 0 };
  ordinal = 0;
  /** What was posted up to here is gone. */
  expired = { seq: 0, ordinal: 0 };

  private append(body: EventBody): void {
    this.log.push(event(this.log.length + 1, body));
  }

  step(random: () => number): void {
    const kinds = [
      this.post,
      this.post,
      this.post,
      this.edit,
      this.preview,
      this.preview,
      this.remove,
      this.come,
      this.finish,
      this.mark,
      this.unmark,
      this.rename,
      ...(random() < 0.3 ? [this.expire] : []),
    ];
    kinds[Math.floor(random() * kinds.length)]?.call(this, random);
  }

  private post(random: () => number): void {
    const seq = this.log.length + 1;
    const files = random() < 0.4 ? [file(`f${seq}`)] : [];
    this.ordinal += 1;
    const posted = message(seq, { ordinal: this.ordinal, files, authorId: random() < 0.5 ? ME : 'user-2' });
    this.messages.push(posted);
    this.append({ type: 'message_posted', message: posted });
  }

  private pick(random: () => number): Message | undefined {
    const alive = this.messages.filter((candidate) => candidate.deletedAt === 0);
    return alive[Math.floor(random() * alive.length)];
  }

  private edit(random: () => number): void {
    const old = this.pick(random);
    if (!old) return;
    const seq = this.log.length + 1;
    const edited = { ...old, text: `edited ${seq}`, editedSeq: seq, editedAt: seq, previews: [], previewsSeq: 0 };
    this.replace(edited);
    this.append({ type: 'message_edited', message: edited });
  }

  /** Pages that are read, or previews that somebody removes. */
  private preview(random: () => number): void {
    const old = this.pick(random);
    if (!old) return;
    const seq = this.log.length + 1;
    const page = { url: `https://example.org/${seq}`, title: `page ${seq}`, description: '', siteName: '' };
    const previews = random() < 0.7 ? [page] : [];
    this.replace({ ...old, previews, previewsSeq: seq });
    this.append({ type: 'links_previewed', messageId: old.id, messageSeq: old.seq, previews });
  }

  /** As the server does: the content is taken out of the log as well. */
  private remove(random: () => number): void {
    const old = this.pick(random);
    if (!old) return;
    const seq = this.log.length + 1;
    this.replace(mergeMessage(old, { ...old, deletedAt: seq }));
    this.redact(({ body }) => contentOf(body) === old.id);
    const { id: messageId, seq: messageSeq, authorId, ordinal, createdAt } = old;
    this.append({ type: 'message_deleted', messageId, messageSeq, authorId, ordinal, createdAt });
  }

  private redact(gone: (past: FeedEvent) => boolean): void {
    for (const [index, past] of this.log.entries()) {
      if (gone(past)) this.log[index] = event(past.seq, { type: 'other' });
    }
  }

  /** Old messages are gone from pages, and what was said and brought with them from the log. */
  private expire(random: () => number): void {
    const last = this.messages[Math.floor((random() * this.messages.length) / 2)];
    if (!last) return;
    this.expired = { seq: last.seq, ordinal: last.ordinal };
    const gone = new Set(this.messages.filter((old) => old.seq <= last.seq).map((old) => old.id));
    this.messages = this.messages.filter((kept) => !gone.has(kept.id));
    this.redact(({ seq, body }) => {
      if (body.type === 'file_ready') return seq <= last.seq;
      return gone.has(contentOf(body));
    });
    this.append({ type: 'messages_expired', throughSeq: last.seq, throughOrdinal: last.ordinal });
  }

  private replace(changed: Message): void {
    this.messages = this.messages.map((candidate) => (candidate.id === changed.id ? changed : candidate));
  }

  private come(random: () => number): void {
    const userId = `user-${2 + Math.floor(random() * 4)}`;
    const seq = this.log.length + 1;
    if (this.members[userId]) {
      delete this.members[userId];
      this.append({ type: 'member_left', userId });
    } else {
      this.members[userId] = seq;
      this.append({ type: 'member_joined', member: { userId, role: 'member', joinedSeq: seq } });
    }
  }

  private finish(random: () => number): void {
    const waiting = this.messages
      .flatMap((candidate) => candidate.files)
      .filter((candidate) => !this.ready[candidate.id]);
    const chosen = waiting[Math.floor(random() * waiting.length)];
    if (!chosen) return;
    const done = file(chosen.id, 'ready');
    this.ready[chosen.id] = done;
    this.append({ type: 'file_ready', file: done });
  }

  private mark(random: () => number): void {
    const upTo = this.messages[Math.floor(random() * this.messages.length)];
    if (!upTo || upTo.seq <= this.read.seq) return;
    this.setRead({ seq: upTo.seq, ordinal: upTo.ordinal });
  }

  /** Sets the marker back, so that something is unread again. */
  private unmark(random: () => number): void {
    const first = this.messages[Math.floor(random() * this.messages.length)];
    if (first && first.seq <= this.read.seq) this.setRead({ seq: first.seq - 1, ordinal: first.ordinal - 1 });
  }

  private setRead(read: Server['read']): void {
    this.read = read;
    this.userLog.push(event(this.userLog.length + 1, { type: 'read', roomId: ROOM, ...read }, ME));
  }

  private rename(): void {
    this.name = `name ${this.log.length + 1}`;
    this.append({ type: 'room_updated', room: room(this.name) });
  }

  roomSnapshot(): RoomSnapshot {
    const membership = {
      role: 'member',
      firstVisibleSeq: 1,
      headOrdinal: this.ordinal,
      readSeq: Math.max(this.read.seq, this.expired.seq),
      readOrdinal: Math.max(this.read.ordinal, this.expired.ordinal),
      memberCount: Object.keys(this.members).length,
      expiredSeq: this.expired.seq,
      expiredOrdinal: this.expired.ordinal,
    } as const;
    const standing = { room: room(this.name), membership, userHead: this.userLog.length };
    return { type: 'room', feedId: ROOM, head: this.log.length, ...standing };
  }

  userSnapshot(): UserSnapshot {
    return { type: 'user', feedId: ME, head: this.userLog.length, roomIds: [ROOM] };
  }

  /** `ListMessages`; deleted ones are in it, and files as they are now. */
  page(beforeSeq: number, generation: number, size = 5): Action {
    const below = this.messages.filter((candidate) => beforeSeq === 0 || candidate.seq < beforeSeq);
    const messages = below.slice(-size).map((found) => ({
      ...found,
      files: found.files.map((attached) => this.ready[attached.id] ?? attached),
    }));
    return { type: 'page', roomId: ROOM, page: { generation, beforeSeq, messages, more: below.length > size } };
  }

  memberPage(): Action {
    const members = Object.entries(this.members).map(
      ([userId, joinedSeq]) => ({ userId, role: 'member', joinedSeq }) as const,
    );
    return { type: 'members', roomId: ROOM, members };
  }

  /** What `subscribe` with these cursors sends. */
  replay(cursors: State['cursors']): Action[] {
    const user = cursors[ME];
    const room = cursors[ROOM];
    const events = (log: FeedEvent[], after: number): Action[] =>
      log.slice(after).map((next) => ({ type: 'event', event: next }));
    return [
      ...(user === undefined
        ? [{ type: 'snapshot', snapshot: this.userSnapshot() } as const]
        : events(this.userLog, user)),
      ...(room === undefined ? [{ type: 'snapshot', snapshot: this.roomSnapshot() } as const] : events(this.log, room)),
      { type: 'caught_up', epoch: 'e1' },
    ];
  }
}

/** A client that gets everything at once, in order and at the end. */
export function freshClient(server: Server): State {
  let state = server.replay({}).reduce(reduce, initialState(ME));
  state = fullHistory(server, state);
  return reduce(state, server.memberPage());
}

/** Scrolls up to the beginning. */
export function fullHistory(server: Server, start: State): State {
  let state = start;
  for (let guard = 0; guard < 1000; guard += 1) {
    const held = state.rooms[ROOM]?.messages;
    if (!held || held.from === 0) return state;
    const before = Number.isFinite(held.from) ? held.from : 0;
    state = reduce(state, server.page(before, held.generation));
  }
  throw new Error('the beginning was not reached');
}
