/**
 * What is known of a room's messages. Every fact may come several times and in any order, from a page, an event or a
 * reply: merging is commutative and repeatable, so the order in which they arrive cannot be seen afterwards.
 */
import type { EventBody, FileInfo, LinkPreview, Message } from './types';

type Deletion = Extract<EventBody, { type: 'message_deleted' }>;

export interface Messages {
  /** By rising seq. May hold facts about messages below `from`; those are not shown. */
  readonly all: readonly Message[];
  /** Everything at and above this seq is known; Infinity before the first page. */
  readonly from: number;
  /** A page asked for in an earlier generation says nothing about this one. */
  readonly generation: number;
  /** What was posted up to this seq is gone, whoever speaks of it later. */
  readonly gone: number;
}

export interface Page {
  readonly generation: number;
  /** What was asked for: 0 for the newest page. */
  readonly beforeSeq: number;
  readonly messages: readonly Message[];
  readonly more: boolean;
}

/** What is left of a message, and what is known of one at first. */
const nothing = { text: '', files: [], previews: [], previewsSeq: 0, editedAt: 0, editedSeq: 0 } as const;

function unknownMessage(id: string, roomId: string, seq: number): Message {
  return { id, roomId, seq, ordinal: 0, authorId: '', webhook: '', createdAt: 0, opId: '', deletedAt: 0, ...nothing };
}

export function noMessages(generation: number, gone = 0): Messages {
  return { all: [], from: Number.POSITIVE_INFINITY, generation, gone };
}

/** Old messages are gone. Below them there is nothing left to be asked for. */
export function expireMessages(messages: Messages, through: number): Messages {
  if (through <= messages.gone) return messages;
  const from = messages.from <= through + 1 ? 0 : messages.from;
  return { ...messages, from, gone: through, all: messages.all.slice(position(messages.all, through + 1)) };
}

/**
 * Deleted is final; otherwise the later edit holds, and so do the later previews, unless they are of an earlier text. What a deletion or
 * previews alone do not tell is taken from the other.
 */
export function mergeMessage(a: Message, b: Message): Message {
  const deletedAt = Math.max(a.deletedAt, b.deletedAt);
  const named = a.authorId ? a : b;
  const newer = a.authorId && b.authorId && b.editedSeq > a.editedSeq ? b : named;
  if (deletedAt > 0) {
    const { id, roomId, seq, ordinal, authorId, createdAt } = named;
    const base = { id, roomId, seq, ordinal, authorId, createdAt, opId: '' };
    // What is left of a message in a page does not say it.
    const webhook = a.webhook || b.webhook;
    return { ...base, ...nothing, webhook, deletedAt };
  }
  // An edit carries its files as they were known then, which may be less than the older fact knows.
  const older = newer === a ? b : a;
  const full = withFiles(newer, Object.fromEntries(older.files.map((file) => [file.id, file])));
  if (older.previewsSeq <= full.previewsSeq || older.previewsSeq <= full.editedSeq) return full;
  return { ...full, previews: older.previews, previewsSeq: older.previewsSeq };
}

function position(all: readonly Message[], seq: number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function findBySeq(all: readonly Message[], seq: number): Message | undefined {
  const found = all[position(all, seq)];
  return found?.seq === seq ? found : undefined;
}

export function putMessage(messages: Messages, message: Message): Messages {
  const { all } = messages;
  if (message.seq <= messages.gone) return messages;
  const at = position(all, message.seq);
  const known = all[at];
  if (known?.seq !== message.seq) {
    return { ...messages, all: [...all.slice(0, at), message, ...all.slice(at)] };
  }
  const merged = mergeMessage(known, message);
  return merged === known ? messages : { ...messages, all: all.with(at, merged) };
}

/** What is left of a message, which may be heard of before the message itself. */
export function deleted(roomId: string, deletion: Deletion, at: number): Message {
  const { messageId: id, messageSeq: seq, ordinal, authorId, createdAt } = deletion;
  return { ...unknownMessage(id, roomId, seq), ordinal, authorId, createdAt, deletedAt: at };
}

/** What pages say of themselves, which may be heard of before the message itself. `at` is the number of the event. */
export function previewLinks(
  messages: Messages,
  roomId: string,
  { messageId, messageSeq, previews }: { messageId: string; messageSeq: number; previews: readonly LinkPreview[] },
  at: number,
): Messages {
  return putMessage(messages, { ...unknownMessage(messageId, roomId, messageSeq), previews, previewsSeq: at });
}

/** A page reaches down to its oldest message, or to the very beginning when there are no more. */
export function putPage(messages: Messages, page: Page): Messages {
  if (page.generation !== messages.generation) return messages;
  const merged = page.messages.reduce(putMessage, messages);
  const joins = page.beforeSeq === 0 || page.beforeSeq >= messages.from;
  const oldest = page.messages[0]?.seq;
  if (!joins || (page.more && oldest === undefined)) return merged;
  const from = page.more ? (oldest ?? 0) : 0;
  return from < merged.from ? { ...merged, from } : merged;
}

/** A file of which nothing else is known yet. */
export function unknownFile(id: string, roomId: string): FileInfo {
  const looks = { width: 0, height: 0, thumbnails: [], durationMs: 0, facts: {}, previewFailure: '' };
  const origin = { name: '', contentType: '', size: 0, uploaderId: '', createdAt: 0 };
  return { id, roomId, state: 'receiving', failure: '', ...origin, ...looks };
}

const FILE_PROGRESS = { receiving: 0, processing: 1, failed: 2, ready: 3, removed: 4 } as const;

/** A file only ever gets further. One that was heard of only by its removal takes its name from the other. */
export function mergeFile(a: FileInfo, b: FileInfo): FileInfo {
  const [further, other] = FILE_PROGRESS[b.state] > FILE_PROGRESS[a.state] ? [b, a] : [a, b];
  if (further.name || !other.name) return further;
  const { name, contentType, size, uploaderId, createdAt } = other;
  return { ...further, name, contentType, size, uploaderId, createdAt };
}

/** The message with what became known of its files since it was sent. */
export function withFiles(message: Message, files: Readonly<Record<string, FileInfo>>): Message {
  let changed = false;
  const merged = message.files.map((file) => {
    const known = files[file.id];
    const result = known ? mergeFile(file, known) : file;
    changed ||= result !== file;
    return result;
  });
  return changed ? { ...message, files: merged } : message;
}

export function putFile(messages: Messages, file: FileInfo): Messages {
  const known = { [file.id]: file };
  let changed = false;
  const all = messages.all.map((message) => {
    const result = message.files.length > 0 ? withFiles(message, known) : message;
    changed ||= result !== message;
    return result;
  });
  return changed ? { ...messages, all } : messages;
}

/** What may be shown: the unbroken run of messages up to the newest. */
export function visible(messages: Messages): readonly Message[] {
  const at = position(messages.all, messages.from);
  return at === 0 ? messages.all : messages.all.slice(at);
}
