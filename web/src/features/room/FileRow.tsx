import { Download, FileText, Film, Music, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { fileUrl } from '../../api/files';
import { durationText, kindOf, sizeText, titleText } from '../../model/files';
import type { FileInfo } from '../../model/types';
import { IconButton } from '../../ui/Button';
import { NameOf } from '../shared/Person';
import { When } from '../shared/When';
import { Player } from '../timeline/Player';

interface FileRowProps {
  file: FileInfo;
  /** Looks at a picture. */
  onOpen?: () => void;
  onDelete?: () => void;
}

export function FileRow({ file, onOpen, onDelete }: FileRowProps) {
  const [playing, setPlaying] = useState(false);
  const kind = kindOf(file);
  const playable = file.state === 'ready' && (kind === 'sound' || kind === 'film');
  const open = onOpen ?? (playable ? () => setPlaying(!playing) : undefined);
  return (
    <li
      data-testid="file-row"
      data-file-id={file.id}
      data-state={file.state}
      className="group/file rounded-lg px-2 py-1.5 focus-within:bg-sunken hover:bg-sunken"
    >
      <div className="flex items-center gap-2.5">
        <Picture file={file} />
        <div className="min-w-0 flex-1 leading-tight">
          {open ? (
            <button
              type="button"
              data-testid="file-open"
              aria-expanded={playable ? playing : undefined}
              onClick={open}
              title={file.name}
              className="block w-full truncate text-left font-medium text-[13.5px] underline-offset-2 hover:underline"
            >
              {file.name}
            </button>
          ) : (
            <span title={file.name} className="block truncate font-medium text-[13.5px]">
              {file.name}
            </span>
          )}
          <Facts file={file} />
        </div>
        {file.state !== 'failed' && (
          <a
            href={fileUrl(file.id)}
            download={file.name}
            aria-label={`Download ${file.name}`}
            title="Download"
            className="inline-flex size-7 shrink-0 items-center justify-center rounded-lg text-ink-faint hover:bg-paper hover:text-ink"
          >
            <Download size={15} />
          </a>
        )}
        {onDelete && (
          <IconButton
            label={`Delete ${file.name}`}
            data-testid="file-delete"
            tone="danger"
            size="small"
            className="opacity-0 focus-visible:opacity-100 group-hover/file:opacity-100 pointer-coarse:opacity-100"
            onClick={onDelete}
          >
            <Trash2 size={15} />
          </IconButton>
        )}
      </div>
      {playing && (
        <div className="mt-2">
          <Player file={file} film={kind === 'film'} />
        </div>
      )}
    </li>
  );
}

const ICONS = { sound: Music, film: Film, picture: FileText, other: FileText } as const;

function Picture({ file }: { file: FileInfo }) {
  const small = file.thumbnails[0];
  if (small) {
    return (
      <img
        src={fileUrl(file.id, small.variant)}
        alt=""
        loading="lazy"
        className="size-10 shrink-0 rounded-lg border border-line object-cover"
      />
    );
  }
  const Icon = ICONS[kindOf(file)];
  return (
    <span className="inline-flex size-10 shrink-0 items-center justify-center rounded-lg bg-loquat-soft text-loquat-ink">
      <Icon size={18} />
    </span>
  );
}

function Facts({ file }: { file: FileInfo }) {
  if (file.state === 'failed') {
    return <span className="block text-[12px] text-danger">{file.failure || 'The file is not usable.'}</span>;
  }
  const title = titleText(file);
  const facts = [title, durationText(file.durationMs), sizeText(file.size)].filter(Boolean).join(' · ');
  return (
    <>
      <span className="block truncate text-[12px] text-ink-faint">
        {file.state === 'ready' ? facts : 'Being checked…'}
      </span>
      <span className="block truncate text-[12px] text-ink-faint">
        <NameOf id={file.uploaderId} /> · <When at={file.createdAt} />
      </span>
      {file.previewFailure && (
        <span className="block truncate text-[12px] text-ink-faint" title={file.previewFailure}>
          No preview: {file.previewFailure}
        </span>
      )}
    </>
  );
}
