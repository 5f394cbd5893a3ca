/** What somebody can do with the files of rooms, as calls. */
import type { Call } from '../api/client';
import { FileService, type Usage as WireUsage } from '../api/gen/loquat/file/v1/file_service_pb';
import * as decode from '../model/decode';
import { type Usage, whyRefused } from '../model/files';
import type { FileInfo } from '../model/types';
import type { Page } from './loading';

export interface FileFilter {
  /** Words that are in its name or in what is known of it. */
  readonly query: string;
  /** Such as `image/*`; empty for any. */
  readonly contentType: string;
}

export interface UserUsage {
  readonly userId: string;
  readonly bytes: number;
}

export interface Files {
  list(roomId: string, filter: FileFilter, from?: string): Promise<Page<FileInfo, string>>;
  remove(fileId: string): Promise<void>;
  usage(): Promise<Usage>;
  usageByUser(from?: string): Promise<Page<UserUsage, string> & { readonly usage: Usage }>;
  /** Why a file would be refused; empty when it would not, or when that cannot be told. */
  refused(file: { size: number; type: string }): Promise<string>;
}

function usage(from: WireUsage | undefined): Usage {
  return {
    mine: Number(from?.userBytes ?? 0),
    mineLimit: Number(from?.userLimit ?? 0),
    all: Number(from?.workspaceBytes ?? 0),
    allLimit: Number(from?.workspaceLimit ?? 0),
  };
}

export function filesOver(call: Call): Files {
  const { listFiles, deleteFile, getUsage, listUsage, getUploadLimits } = FileService.method;
  return {
    async list(roomId, { query, contentType }, from) {
      const { files, nextPageToken } = await call(listFiles, { roomId, query, contentType, pageToken: from });
      return { items: files.map(decode.file), next: nextPageToken || undefined };
    },
    async remove(fileId) {
      await call(deleteFile, { fileId });
    },
    async usage() {
      return usage((await call(getUsage, {})).usage);
    },
    async usageByUser(from) {
      const answer = await call(listUsage, { pageToken: from });
      const items = answer.users.map(({ userId, bytes }) => ({ userId, bytes: Number(bytes) }));
      return { items, next: answer.nextPageToken || undefined, usage: usage(answer.usage) };
    },
    async refused(file) {
      try {
        const { maxBytes, refusedTypes } = await call(getUploadLimits, {});
        return whyRefused(file, { maxBytes: Number(maxBytes), refusedTypes });
      } catch {
        // The upload itself will tell.
        return '';
      }
    },
  };
}
