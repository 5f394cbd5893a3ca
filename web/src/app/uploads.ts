/** Files on their way to a room. They go on while another room is open. */
import { describeError } from '../api/errors';
import { upload } from '../api/files';
import { unknownFile } from '../model/messages';
import type { Attachment, FileInfo } from '../model/types';
import { newOpId } from './chat';
import { cell } from './store';

export const MOST_FILES = 10;

export interface UploadItem {
  readonly id: string;
  readonly roomId: string;
  readonly file: File;
  /** Of a picture; taken back when the item goes. */
  readonly preview: string;
  readonly share: number;
  readonly attachment?: Attachment;
  readonly error?: string;
}

function described(id: string, item: UploadItem): FileInfo {
  const { name, type: contentType, size } = item.file;
  return { ...unknownFile(id, item.roomId), name, contentType, size, state: 'processing' };
}

export class Uploads {
  readonly items = cell<readonly UploadItem[]>([]);
  private readonly running = new Map<string, AbortController>();

  constructor(private readonly token: () => Promise<string>) {}

  /** How many did not fit. */
  add(roomId: string, files: readonly File[]): number {
    const room = MOST_FILES - this.items.get().filter((item) => item.roomId === roomId).length;
    const taken = files.slice(0, Math.max(0, room)).map((file): UploadItem => {
      const preview = file.type.startsWith('image/') ? URL.createObjectURL(file) : '';
      return { id: newOpId(), roomId, file, preview, share: 0 };
    });
    this.items.set([...this.items.get(), ...taken]);
    for (const item of taken) void this.run(item);
    return files.length - taken.length;
  }

  /** A file that goes with no message; answers its id. */
  async once(roomId: string, file: File): Promise<string> {
    const { token } = this;
    const { signal } = new AbortController();
    return (await upload({ file, roomId, opId: newOpId(), token, onProgress: () => {}, signal })).id;
  }

  retry(id: string): void {
    const item = this.items.get().find((candidate) => candidate.id === id);
    if (!item?.error) return;
    this.change(id, { error: undefined, share: 0 });
    void this.run(item);
  }

  remove(id: string): void {
    this.running.get(id)?.abort();
    this.drop((item) => item.id === id);
  }

  /** Hands the finished ones over to a message. */
  take(roomId: string): Attachment[] {
    const done = this.items.get().filter((item) => item.roomId === roomId && item.attachment);
    this.drop((item) => done.includes(item));
    return done.flatMap((item) => item.attachment ?? []);
  }

  private drop(matches: (item: UploadItem) => boolean): void {
    const items = this.items.get();
    for (const item of items) if (item.preview && matches(item)) URL.revokeObjectURL(item.preview);
    this.items.set(items.filter((item) => !matches(item)));
  }

  private change(id: string, fields: Partial<UploadItem>): void {
    this.items.set(this.items.get().map((item) => (item.id === id ? { ...item, ...fields } : item)));
  }

  /** A second try has the same op id, and goes on where the first one ended. */
  private async run(item: UploadItem): Promise<void> {
    const { id, roomId, file } = item;
    const controller = new AbortController();
    this.running.set(id, controller);
    try {
      const { token } = this;
      const onProgress = (share: number) => this.change(id, { share });
      const done = await upload({ file, roomId, opId: id, token, onProgress, signal: controller.signal });
      this.change(id, { share: 1, attachment: { reference: done.reference, file: described(done.id, item) } });
    } catch (cause) {
      this.change(id, { error: describeError(cause) });
    } finally {
      this.running.delete(id);
    }
  }
}
