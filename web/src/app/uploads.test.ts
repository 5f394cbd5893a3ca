import { describe, expect, it } from 'vitest';
import { ApiError, unavailable } from '../api/errors';
import { PAUSE, type Uploaded, type UploadOptions } from '../api/files';
import type { UploadRecord, UploadStore } from './upload_storage';
import { MOST_FILES, Uploads } from './uploads';

/** A disk that outlives the page. */
class Disk implements UploadStore {
  readonly records = new Map<string, UploadRecord>();
  readonly files = new Map<string, File>();
  full = false;

  async all() {
    return [...this.records.values()];
  }

  async put(record: UploadRecord, file?: File) {
    this.records.set(record.id, record);
    if (file && !this.full) this.files.set(record.id, file);
  }

  async file(id: string) {
    return this.files.get(id);
  }

  async remove(id: string) {
    this.records.delete(id);
    this.files.delete(id);
  }
}

interface Running {
  readonly options: UploadOptions;
  readonly done: (uploaded: Uploaded) => void;
  readonly fail: (cause: ApiError) => void;
}

/** A server that answers when the test says so. */
function page(disk = new Disk(), refused: (file: File) => string = () => '') {
  const running: Running[] = [];
  const upload = (options: UploadOptions) =>
    new Promise<Uploaded>((done, fail) => {
      running.push({ options, done, fail });
      options.signal.addEventListener('abort', () => fail(new ApiError('canceled', String(options.signal.reason))));
    });
  const deps = { userId: 'me', tab: 't', token: async () => 'token', store: disk };
  const uploads = new Uploads({ ...deps, upload, refused: async (file) => refused(file) });
  const states = () => uploads.items.get().map(({ status }) => status);
  return { uploads, running, disk, states };
}

function files(...names: string[]): File[] {
  return names.map((name) => new File([name], name, { type: 'text/plain' }));
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

describe('uploads', () => {
  it('are a few at a time, the next when one is done', async () => {
    const { uploads, running, states } = page();
    uploads.add('r', files('a', 'b', 'c', 'd'));
    await turn();
    expect(states()).toEqual(['uploading', 'uploading', 'uploading', 'waiting']);
    running[1]?.done({ id: 'f', reference: 'proof' });
    await turn();
    expect(states()).toEqual(['uploading', 'done', 'uploading', 'uploading']);
    expect(uploads.take('r').map(({ reference }) => reference)).toEqual(['proof']);
    expect(uploads.items.get()).toHaveLength(3);
  });

  it('are at most so many a message, room by room', async () => {
    const { uploads } = page();
    const many = files(...Array.from({ length: MOST_FILES + 2 }, (_, index) => `f${index}`));
    expect(uploads.add('r', many)).toBe(2);
    expect(uploads.add('other', many.slice(0, 1))).toBe(0);
  });

  it('keep what has arrived while they are paused, and go on from there', async () => {
    const { uploads, running, states } = page();
    uploads.add('r', files('a'));
    await turn();
    running[0]?.options.onUrl?.('/files/1');
    uploads.pause(running[0]?.options.opId ?? '');
    await turn();
    expect(running[0]?.options.signal.reason).toBe(PAUSE);
    expect(states()).toEqual(['paused']);
    uploads.retry(running[0]?.options.opId ?? '');
    await turn();
    expect(running[1]?.options).toMatchObject({ url: '/files/1', opId: running[0]?.options.opId });
    expect(states()).toEqual(['uploading']);
  });

  it('go on after the page was loaded anew, except those that were paused', async () => {
    const before = page();
    before.uploads.add('r', files('a', 'b'));
    await turn();
    before.running[0]?.options.onUrl?.('/files/1');
    before.uploads.pause(before.running[1]?.options.opId ?? '');
    await turn();
    const after = page(before.disk);
    await after.uploads.restore();
    await turn();
    expect(after.states()).toEqual(['uploading', 'paused']);
    expect(after.running[0]?.options).toMatchObject({ url: '/files/1' });
    after.uploads.remove(after.running[0]?.options.opId ?? '');
    expect(before.disk.records.size).toBe(1);
    after.uploads.forget();
    expect(before.disk.records.size).toBe(0);
  });

  it('ask for the file again when it could not be kept, and take no other', async () => {
    const disk = new Disk();
    disk.full = true;
    page(disk).uploads.add('r', files('a'));
    await turn();
    const { uploads, states } = page(disk);
    await uploads.restore();
    expect(states()).toEqual(['missing']);
    const id = uploads.items.get()[0]?.id ?? '';
    expect(uploads.supply(id, files('b')[0] as File)).toContain('a');
    expect(uploads.supply(id, files('a')[0] as File)).toBe('');
    await turn();
    expect(states()).toEqual(['uploading']);
  });

  it('that broke off with the connection go on with it; others wait for somebody', async () => {
    const { uploads, running, states } = page();
    uploads.add('r', files('a', 'b'));
    await turn();
    running[0]?.fail(unavailable('away'));
    running[1]?.fail(new ApiError('resource_exhausted', 'There is no space left for you.', 'USER_QUOTA_EXCEEDED'));
    await turn();
    expect(states()).toEqual(['failed', 'failed']);
    expect(uploads.items.get()[1]?.error).toBe('There is no space left for you.');
    uploads.connected();
    await turn();
    expect(states()).toEqual(['uploading', 'failed']);
  });

  it('that would be refused send nothing', async () => {
    const { uploads, running, states } = page(new Disk(), () => 'It is too large.');
    uploads.add('r', files('a'));
    await turn();
    expect(states()).toEqual(['failed']);
    expect(running).toHaveLength(0);
    await expect(uploads.once('r', files('b')[0] as File)).rejects.toThrow('too large');
  });
});
