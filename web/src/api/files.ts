/** Files over HTTP: resumable upload, and the addresses that pictures and links use. */
import type { Upload } from 'tus-js-client';
import { ApiError, fromBody, unavailable } from './errors';

/** Beside the rest and not when it is needed: the server may have been updated by then, and the old file be gone. */
const tus = import('tus-js-client');
tus.catch(() => {});

export function fileUrl(id: string, variant = ''): string {
  return variant ? `/files/${id}?variant=${encodeURIComponent(variant)}` : `/files/${id}`;
}

/** Where somebody's picture is: a small one, else the picture itself; nothing when there is none. */
export function avatarUrls(fileId: string | undefined): readonly string[] {
  return fileId ? [fileUrl(fileId, 'w320'), fileUrl(fileId)] : [];
}

export interface UploadOptions {
  readonly file: File;
  readonly roomId: string;
  readonly opId: string;
  /** Where an earlier try went; it is gone on from there. */
  readonly url?: string;
  readonly token: () => Promise<string>;
  readonly onUrl?: (url: string) => void;
  /** From 0 to 1. */
  readonly onProgress: (share: number) => void;
  /** With the reason `PAUSE` what has arrived is kept, otherwise it is given up. */
  readonly signal: AbortSignal;
}

export interface Uploaded {
  readonly id: string;
  readonly reference: string;
}

export const PAUSE = 'pause';

const RETRY_DELAYS_MS = [500, 1000, 3000, 5000, 10_000, 20_000];

/** Goes on from where it broke off; resolves with the proof that a message may carry the file. */
export async function upload(options: UploadOptions): Promise<Uploaded> {
  const { Upload, DetailedError } = await tus;
  const { file, roomId, opId, signal } = options;
  let uploaded: Uploaded | undefined;
  await new Promise<void>((resolve, reject) => {
    const running: Upload = new Upload(file, {
      endpoint: '/files',
      uploadUrl: options.url,
      metadata: { filename: file.name, filetype: file.type, room_id: roomId, op_id: opId },
      retryDelays: RETRY_DELAYS_MS,
      storeFingerprintForResuming: false,
      onBeforeRequest: async (request) => {
        request.setHeader('Authorization', `Bearer ${await options.token()}`);
      },
      onAfterResponse: (_, response) => {
        const id = response.getHeader('Loquat-File-Id');
        const reference = response.getHeader('Loquat-File-Reference');
        if (id && reference) uploaded = { id, reference };
      },
      onUploadUrlAvailable: () => running.url && options.onUrl?.(running.url),
      onProgress: (sent, total) => options.onProgress(total > 0 ? sent / total : 1),
      onSuccess: () => resolve(),
      onError: (cause) => {
        const response = cause instanceof DetailedError ? cause.originalResponse : undefined;
        if (response) reject(fromBody(response.getBody(), response.getStatus()));
        else reject(unavailable('The upload broke off.'));
      },
    });
    const stop = () => {
      const paused = signal.reason === PAUSE;
      void running.abort(!paused).catch(() => {});
      reject(new ApiError('canceled', paused ? 'The upload is paused.' : 'The upload was given up.'));
    };
    if (signal.aborted) return stop();
    signal.addEventListener('abort', stop, { once: true });
    running.start();
  });
  if (!uploaded) throw new ApiError('internal', 'The server did not describe the file.');
  return uploaded;
}
