/** The files of a message: pictures as thumbnails, everything else as a chip. */
import { Download, FileText, TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import { fileUrl } from '../../api/files';
import type { FileInfo } from '../../model/types';
import { Lightbox } from './Lightbox';

const MOST_WIDTH = 320;
const MOST_HEIGHT = 280;
const SMALL_BYTES = 512 * 1024;

export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const power = bytes > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)) : 0;
  const value = bytes / 1024 ** power;
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/** What the browser can be shown without harm; the server sends anything else as a download. */
function isPicture(file: FileInfo): boolean {
  return /^image\/(png|jpeg|gif|webp)$/.test(file.contentType) && file.state !== 'failed' && file.state !== 'removed';
}

/** The space a picture takes before it is there, so that nothing jumps. */
function box(file: FileInfo): { width: number; height: number } {
  if (!file.width || !file.height) return { width: 240, height: 180 };
  const scale = Math.min(1, MOST_WIDTH / file.width, MOST_HEIGHT / file.height);
  return { width: Math.max(48, Math.round(file.width * scale)), height: Math.max(48, Math.round(file.height * scale)) };
}

/** The smallest that is sharp enough here; the picture itself where that costs little. */
function sourceOf(file: FileInfo): string {
  const wanted = box(file).width * Math.min(2, devicePixelRatio || 1);
  const sharp = file.thumbnails.find((thumbnail) => thumbnail.width >= wanted);
  const small = file.size <= SMALL_BYTES ? undefined : file.thumbnails.at(-1);
  return fileUrl(file.id, (sharp ?? small)?.variant);
}

export function Attachments({ files }: { files: readonly FileInfo[] }) {
  const [open, setOpen] = useState<FileInfo>();
  const pictures = files.filter(isPicture);
  const others = files.filter((file) => !isPicture(file));
  return (
    <div className="mt-1.5 flex flex-col gap-2">
      {pictures.length > 0 && (
        <div className="flex flex-wrap gap-2">
          {pictures.map((file) => (
            <Picture key={file.id} file={file} onOpen={() => setOpen(file)} />
          ))}
        </div>
      )}
      {others.map((file) => (
        <FileChip key={file.id} file={file} />
      ))}
      {open && <Lightbox files={pictures} start={open} onClose={() => setOpen(undefined)} />}
    </div>
  );
}

function Picture({ file, onOpen }: { file: FileInfo; onOpen: () => void }) {
  const size = box(file);
  const ready = file.state === 'ready';
  return (
    <button
      type="button"
      onClick={onOpen}
      data-testid="message-image"
      data-state={file.state}
      aria-label={`Open ${file.name}`}
      style={{ width: size.width, aspectRatio: `${size.width} / ${size.height}` }}
      className="max-w-full overflow-hidden rounded-xl border border-line bg-sunken transition-opacity hover:opacity-95"
    >
      {ready ? (
        <img
          src={sourceOf(file)}
          alt={file.name}
          width={size.width}
          height={size.height}
          className="size-full object-cover"
        />
      ) : (
        <span className="flex size-full animate-pulse items-center justify-center text-[13px] text-ink-faint">
          Preparing the picture…
        </span>
      )}
    </button>
  );
}

function FileChip({ file }: { file: FileInfo }) {
  if (file.state === 'removed') {
    return (
      <p data-testid="message-file" data-state="removed" className="text-ink-faint text-sm italic">
        {file.name || 'A file'} was taken out of the room.
      </p>
    );
  }
  if (file.state === 'failed') {
    return (
      <div className="flex max-w-sm items-center gap-2.5 rounded-xl border border-line px-3 py-2 text-danger text-sm">
        <TriangleAlert size={18} className="shrink-0" />
        <span className="min-w-0">
          <span className="block truncate font-medium">{file.name}</span>
          <span className="block text-[13px]">{file.failure || 'The file is not usable.'}</span>
        </span>
      </div>
    );
  }
  return (
    <a
      href={fileUrl(file.id)}
      download={file.name}
      data-testid="message-file"
      data-state={file.state}
      className="group/chip flex w-fit max-w-full items-center gap-3 rounded-xl border border-line bg-raised py-2 pr-3 pl-2.5 transition-colors hover:bg-sunken"
    >
      <span className="inline-flex size-9 shrink-0 items-center justify-center rounded-lg bg-loquat-soft text-loquat-ink">
        <FileText size={18} />
      </span>
      <span className="min-w-0 leading-snug">
        <span className="block max-w-72 truncate font-medium text-sm">{file.name}</span>
        <span className="block text-[12.5px] text-ink-faint">{sizeText(file.size)}</span>
      </span>
      <Download size={16} className="ml-1 shrink-0 text-ink-faint group-hover/chip:text-ink" aria-label="Download" />
    </a>
  );
}
