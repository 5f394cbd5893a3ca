import { describe, expect, it } from 'vitest';
import { message } from '../../model/simulation';
import type { OutboxEntry } from '../../model/types';
import { rowsOf } from './rows';

const NOON = new Date(2026, 4, 4, 12).getTime();
const MINUTE = 60_000;

function said(seq: number, authorId: string, minutes: number) {
  return message(seq, { authorId, createdAt: NOON + minutes * MINUTE });
}

function shape(rows: ReturnType<typeof rowsOf>): string[] {
  return rows.map((row) => {
    if (row.kind === 'message') return `${row.message.seq}${row.first ? '*' : ''}`;
    return row.kind === 'pending' ? `${row.entry.text}${row.first ? '*' : ''}` : row.kind;
  });
}

describe('the rows of a timeline', () => {
  it('begin each day, and group what one person says in a row', () => {
    const messages = [said(1, 'a', 0), said(2, 'a', 4), said(3, 'a', 10), said(4, 'b', 11), said(5, 'b', 12 * 60 + 5)];
    expect(shape(rowsOf(messages, [], 'me', undefined))).toEqual(['day', '1*', '2', '3*', '4*', 'day', '5*']);
  });

  it('keep apart what one webhook says under several names', () => {
    const posted = (seq: number, webhook: string) => ({ ...said(seq, 'hook', seq), webhook });
    const messages = [posted(1, 'Build'), posted(2, 'Build'), posted(3, 'Deploy')];
    expect(shape(rowsOf(messages, [], 'me', undefined))).toEqual(['day', '1*', '2', '3*']);
  });

  it('have one line above the first new message of others', () => {
    const messages = [said(1, 'a', 0), said(2, 'me', 1), said(3, 'a', 2), said(4, 'a', 3)];
    expect(shape(rowsOf(messages, [], 'me', 1))).toEqual(['day', '1*', '2*', 'new', '3*', '4']);
    expect(shape(rowsOf(messages, [], 'me', 4))).not.toContain('new');
  });

  it('end with what waits to be sent, under a key that the sent message keeps', () => {
    const entry: OutboxEntry = {
      opId: 'op7',
      roomId: 'r',
      text: 'soon',
      attachments: [],
      createdAt: NOON + 2 * MINUTE,
      status: 'queued',
      error: '',
    };
    const waiting = rowsOf([said(1, 'me', 1)], [entry], 'me', undefined);
    expect(shape(waiting)).toEqual(['day', '1*', 'soon']);
    const sent = message(2, { opId: 'op7', authorId: 'me', createdAt: NOON + 2 * MINUTE });
    expect(rowsOf([said(1, 'me', 1), sent], [], 'me', undefined).at(-1)?.key).toBe(waiting.at(-1)?.key);
  });
});
