/** What the timeline draws, row by row: days, the line above what is new, messages by author, and what waits to be sent. */
import type { Message, OutboxEntry } from '../../model/types';

export type Row =
  | { readonly kind: 'day'; readonly key: string; readonly at: number }
  | { readonly kind: 'new'; readonly key: 'new' }
  | { readonly kind: 'message'; readonly key: string; readonly message: Message; readonly first: boolean }
  | { readonly kind: 'pending'; readonly key: string; readonly entry: OutboxEntry; readonly first: boolean };

/** Further messages of one author follow without their name for so long. */
const GROUP_MS = 5 * 60_000;

function day(at: number): string {
  return new Date(at).toDateString();
}

interface Author {
  readonly id: string;
  readonly at: number;
}

/** `newAfter` is the number up to which everything was read when the room was opened. */
export function rowsOf(
  messages: readonly Message[],
  outbox: readonly OutboxEntry[],
  me: string,
  newAfter: number | undefined,
): Row[] {
  const rows: Row[] = [];
  let last: Author | undefined;
  let today = '';
  let divided = newAfter === undefined;
  const startDay = (at: number) => {
    if (day(at) === today) return;
    today = day(at);
    last = undefined;
    rows.push({ kind: 'day', key: `day-${today}`, at });
  };
  const startsGroup = (id: string, at: number) => !last || last.id !== id || at - last.at > GROUP_MS;
  for (const message of messages) {
    const at = message.createdAt || message.deletedAt;
    startDay(at);
    if (!divided && message.seq > (newAfter ?? 0) && message.authorId !== me) {
      divided = true;
      last = undefined;
      rows.push({ kind: 'new', key: 'new' });
    }
    // One webhook may call itself this and that.
    const author = message.webhook ? `${message.authorId} ${message.webhook}` : message.authorId;
    const first = startsGroup(author, at);
    // The key outlives the sending, so that the row is not drawn anew.
    rows.push({ kind: 'message', key: message.opId || message.id, message, first });
    last = { id: author, at };
  }
  for (const entry of outbox) {
    startDay(entry.createdAt);
    rows.push({ kind: 'pending', key: entry.opId, entry, first: startsGroup(me, entry.createdAt) });
    last = { id: me, at: entry.createdAt };
  }
  return rows;
}
