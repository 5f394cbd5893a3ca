/** The files of a message: pictures as thumbnails, everything else as a chip. */
import { useState } from 'react';
import { fileUrl } from '../../api/files';
import { kindOf } from '../../model/files';
import type { FileInfo } from '../../model/types';
import { FileChip } from './FileChip';
import { Lightbox } from './Lightbox';
import { Player } from './Player';

const MOST_WIDTH = 320;
const MOST_HEIGHT = 280;
const SMALL_BYTES = 512 * 1024;

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
  const pictures = files.filter((file) => kindOf(file) === 'picture');
  const others = files.filter((file) => kindOf(file) !== 'picture');
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
        <OtherFile key={file.id} file={file} />
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

/** Sounds and films are played in place once they are checked. */
function OtherFile({ file }: { file: FileInfo }) {
  const kind = kindOf(file);
  const playable = file.state === 'ready' && (kind === 'sound' || kind === 'film');
  return playable ? <Player file={file} film={kind === 'film'} /> : <FileChip file={file} />;
}
