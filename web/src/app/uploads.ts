/** Files on their way to a room. They go on while another room is open, and after the page was loaded anew. */
import { ApiError, describeError } from '../api/errors';
import { PAUSE, type Uploaded, type UploadOptions } from '../api/files';
import { unknownFile } from '../model/messages';
import type { Attachment, FileInfo } from '../model/types';
import { newOpId } from './chat';
import { cell } from './store';
import type { UploadRecord, UploadStore } from './upload_storage';

export const MOST_FILES = 10;
/** More at a time would only share the same line. */
const MOST_AT_ONCE = 3;

/** `missing`: the page was loaded anew, and the file has to be chosen again. */
export type UploadStatus = 'waiting' | 'uploading' | 'paused' | 'failed' | 'missing' | 'done';

export interface UploadItem {
  readonly id: string;
  readonly roomId: string;
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly file?: File;
  /** Of a picture; taken back when the item goes. */
  readonly preview: string;
  readonly share: number;
  readonly status: UploadStatus;
  readonly url: string;
  readonly at: number;
  readonly attachment?: Attachment;
  readonly error: string;
  /** Whether trying again may help without any change. */
  readonly passing: boolean;
}

export interface UploadDeps {
  readonly userId: string;
  readonly tab: string;
  readonly token: () => Promise<string>;
  readonly upload: (options: UploadOptions) => Promise<Uploaded>;
  readonly store: UploadStore;
  /** Why a file would be refused; empty when it would not, or when that is not known. */
  readonly refused: (file: File) => Promise<string>;
}

function described(id: string, { roomId, name, type: contentType, size }: UploadItem): FileInfo {
  return { ...unknownFile(id, roomId), name, contentType, size, state: 'processing' };
}

function previewOf(file: File | undefined): string {
  return file?.type.startsWith('image/') ? URL.createObjectURL(file) : '';
}

export class Uploads {
  readonly items = cell<readonly UploadItem[]>([]);
  private readonly running = new Map<string, AbortController>();

  constructor(private readonly deps: UploadDeps) {}

  /** How many did not fit. */
  add(roomId: string, files: readonly File[]): number {
    const room = MOST_FILES - this.items.get().filter((item) => item.roomId === roomId).length;
    const taken = files.slice(0, Math.max(0, room)).map((file): UploadItem => {
      const { name, type, size } = file;
      const state = { share: 0, status: 'waiting', url: '', error: '', passing: false } as const;
      return { id: newOpId(), roomId, name, type, size, file, preview: previewOf(file), at: Date.now(), ...state };
    });
    this.items.set([...this.items.get(), ...taken]);
    for (const item of taken) this.keep(item, item.file);
    this.pump();
    return files.length - taken.length;
  }

  /** Goes on with what this tab had begun before the page was loaded anew. */
  async restore(): Promise<void> {
    const records = await this.deps.store.all().catch(() => []);
    const known = new Set(this.items.get().map((item) => item.id));
    const restored = records.filter(({ id }) => !known.has(id)).map((record) => this.restored(record));
    const items = await Promise.all(restored);
    this.items.set([...items, ...this.items.get()]);
    this.pump();
  }

  private async restored({ paused, ...record }: UploadRecord): Promise<UploadItem> {
    const { id, roomId, name, type, size, url, at } = record;
    const file = await this.deps.store.file(id).catch(() => undefined);
    const status = file ? (paused ? 'paused' : 'waiting') : 'missing';
    const state = { share: 0, status, error: '', passing: false } as const;
    return { id, roomId, name, type, size, url, at, file, preview: previewOf(file), ...state };
  }

  /** A file that goes with no message; answers its id. */
  async once(roomId: string, file: File): Promise<string> {
    const refused = await this.deps.refused(file);
    if (refused) throw new ApiError('failed_precondition', refused);
    const { token } = this.deps;
    const { signal } = new AbortController();
    return (await this.deps.upload({ file, roomId, opId: newOpId(), token, onProgress: () => {}, signal })).id;
  }

  pause(id: string): void {
    const item = this.item(id);
    if (item?.status !== 'waiting' && item?.status !== 'uploading') return;
    this.running.get(id)?.abort(PAUSE);
    this.keep(this.change(id, { status: 'paused' }));
    this.pump();
  }

  /** After a pause, or after something went wrong. */
  retry(id: string): void {
    const item = this.item(id);
    if (item?.status !== 'paused' && item?.status !== 'failed') return;
    this.keep(this.change(id, { status: 'waiting', error: '' }));
    this.pump();
  }

  /** The file of an upload that lost it. Says why when it is another one. */
  supply(id: string, file: File): string {
    const item = this.item(id);
    if (item?.status !== 'missing') return '';
    if (file.name !== item.name || file.size !== item.size) return `That is another file: choose ${item.name} again.`;
    this.keep(this.change(id, { file, preview: previewOf(file), status: 'waiting' }), file);
    this.pump();
    return '';
  }

  /** The connection is there again: what broke off because of it goes on. */
  connected(): void {
    for (const item of this.items.get()) if (item.status === 'failed' && item.passing) this.retry(item.id);
  }

  remove(id: string): void {
    this.running.get(id)?.abort();
    this.drop((item) => item.id === id);
    this.pump();
  }

  /** Hands the finished ones over to a message. */
  take(roomId: string): Attachment[] {
    const done = this.items.get().filter((item) => item.roomId === roomId && item.attachment);
    this.drop((item) => done.includes(item));
    return done.flatMap((item) => item.attachment ?? []);
  }

  /** Whoever signs in next does not see them. */
  forget(): void {
    for (const { id } of this.items.get()) this.remove(id);
  }

  /** The page goes, or the session: what has arrived is kept. */
  stop(): void {
    for (const controller of this.running.values()) controller.abort(PAUSE);
  }

  private item(id: string): UploadItem | undefined {
    return this.items.get().find((candidate) => candidate.id === id);
  }

  private drop(matches: (item: UploadItem) => boolean): void {
    const gone = this.items.get().filter(matches);
    for (const item of gone) {
      if (item.preview) URL.revokeObjectURL(item.preview);
      void this.deps.store.remove(item.id).catch(() => {});
    }
    this.items.set(this.items.get().filter((item) => !gone.includes(item)));
  }

  private change(id: string, fields: Partial<UploadItem>): UploadItem | undefined {
    this.items.set(this.items.get().map((item) => (item.id === id ? { ...item, ...fields } : item)));
    return this.item(id);
  }

  private keep(item: UploadItem | undefined, file?: File): void {
    if (!item) return;
    const { id, roomId, name, type, size, url, at } = item;
    const { userId, tab } = this.deps;
    const record = { id, userId, tab, roomId, name, type, size, url, at, paused: item.status === 'paused' };
    void this.deps.store.put(record, file).catch(() => {});
  }

  private pump(): void {
    for (const item of this.items.get()) {
      if (this.running.size >= MOST_AT_ONCE) return;
      if (item.status !== 'waiting' || this.running.has(item.id) || !item.file) continue;
      void this.run(item, item.file);
    }
  }

  /** A second try has the same op id, and goes on where the first one ended. */
  private async run(item: UploadItem, file: File): Promise<void> {
    const { id, roomId, url } = item;
    const { token } = this.deps;
    const controller = new AbortController();
    this.running.set(id, controller);
    this.change(id, { status: 'uploading' });
    try {
      const refused = url ? '' : await this.deps.refused(file);
      if (refused) throw new ApiError('failed_precondition', refused);
      const onProgress = (share: number) => this.change(id, { share });
      const onUrl = (next: string) => this.item(id)?.url !== next && this.keep(this.change(id, { url: next }));
      const options = { file, roomId, opId: id, url: url || undefined, token, onUrl, onProgress };
      const done = await this.deps.upload({ ...options, signal: controller.signal });
      const attachment = { reference: done.reference, file: described(done.id, item) };
      this.change(id, { share: 1, status: 'done', attachment });
    } catch (cause) {
      if (!controller.signal.aborted) this.failed(id, cause);
    } finally {
      this.running.delete(id);
      this.pump();
    }
  }

  private failed(id: string, cause: unknown): void {
    // What is lacking is space or a permission: that does not pass by itself.
    const passing = cause instanceof ApiError && cause.code !== 'resource_exhausted' && cause.passing;
    this.change(id, { status: 'failed', error: describeError(cause), passing });
  }
}
