/** The outbox on disk: one entry a key, so that windows of one browser do not overwrite each other's. */
import type { OutboxEntry } from '../model/types';

function prefix(userId: string): string {
  return `loquat.outbox.${userId}.`;
}

function parse(text: string | null): OutboxEntry | undefined {
  try {
    const entry = JSON.parse(text ?? '') as OutboxEntry;
    // Whatever was on its way when the page went is sent again under the same op id.
    return entry.status === 'failed' ? entry : { ...entry, status: 'queued' };
  } catch {
    return undefined;
  }
}

export function restore(userId: string, storage: Storage = localStorage): OutboxEntry[] {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '');
  const own = keys.filter((key) => key.startsWith(prefix(userId)));
  return own.flatMap((key) => parse(storage.getItem(key)) ?? []);
}

/** Writes what changed. */
export function save(
  userId: string,
  before: readonly OutboxEntry[],
  after: readonly OutboxEntry[],
  storage: Storage = localStorage,
): void {
  const kept = new Set(after.map((entry) => entry.opId));
  for (const entry of before) if (!kept.has(entry.opId)) storage.removeItem(prefix(userId) + entry.opId);
  for (const entry of after) {
    if (before.includes(entry)) continue;
    try {
      storage.setItem(prefix(userId) + entry.opId, JSON.stringify(entry));
    } catch {
      // The disk is full: the message is still kept for as long as the page lives.
    }
  }
}
