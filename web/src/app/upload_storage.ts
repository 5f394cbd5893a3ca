/**
 * Uploads on disk, so that they are gone on with after the page was loaded anew. Each belongs to the tab that began it, as
 * drafts do: two windows never send the same file.
 */
import { newOpId } from './chat';

export interface UploadRecord {
  readonly id: string;
  readonly userId: string;
  readonly tab: string;
  readonly roomId: string;
  readonly name: string;
  readonly type: string;
  readonly size: number;
  /** Where it goes; empty before the server said so. */
  readonly url: string;
  readonly paused: boolean;
  readonly at: number;
}

export interface UploadStore {
  /** Of this tab. */
  all(): Promise<readonly UploadRecord[]>;
  /** The bytes are kept with the first call; they may be missing when there was no space for them. */
  put(record: UploadRecord, file?: File): Promise<void>;
  file(id: string): Promise<File | undefined>;
  remove(id: string): Promise<void>;
}

const NAME = 'loquat-uploads';
const TAB = 'loquat.tab';
/** The server drops an upload to which nothing is added long before. */
const KEPT_MS = 3 * 86_400_000;

/** Stays the same when the page is loaded anew. */
export function tabId(storage: Storage = sessionStorage): string {
  const known = storage.getItem(TAB);
  if (known) return known;
  const fresh = newOpId();
  storage.setItem(TAB, fresh);
  return fresh;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('records', { keyPath: 'id' });
    request.result.createObjectStore('files');
  };
  return settled(request);
}

/** In the browser's database. Where there is none, nothing is kept, and uploads end with the page. */
export class BrowserUploadStore implements UploadStore {
  private readonly database = open();

  constructor(
    private readonly userId: string,
    private readonly now: () => number = Date.now,
  ) {
    this.database.catch(() => {});
  }

  async all(): Promise<readonly UploadRecord[]> {
    const records: UploadRecord[] = await settled((await this.store('records')).getAll());
    const old = records.filter(({ at }) => at < this.now() - KEPT_MS);
    for (const { id } of old) await this.remove(id);
    const tab = tabId();
    const mine = records.filter(
      (record) => record.userId === this.userId && record.tab === tab && !old.includes(record),
    );
    return mine.sort((a, b) => a.at - b.at);
  }

  async put(record: UploadRecord, file?: File): Promise<void> {
    await settled((await this.store('records', 'readwrite')).put(record));
    // Without space for its bytes the file has to be chosen again later.
    if (file) await settled((await this.store('files', 'readwrite')).put(file, record.id)).catch(() => {});
  }

  async file(id: string): Promise<File | undefined> {
    return settled((await this.store('files')).get(id));
  }

  async remove(id: string): Promise<void> {
    await settled((await this.store('records', 'readwrite')).delete(id));
    await settled((await this.store('files', 'readwrite')).delete(id));
  }

  private async store(name: string, mode: IDBTransactionMode = 'readonly'): Promise<IDBObjectStore> {
    return (await this.database).transaction(name, mode).objectStore(name);
  }
}
