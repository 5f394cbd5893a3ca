/** A sound or a film, played in place. The browser asks the server for the parts that it needs, so that one can seek. */
import { Download } from 'lucide-react';
import { useState } from 'react';
import { fileUrl } from '../../api/files';
import { durationText, sizeText, titleText } from '../../model/files';
import type { FileInfo } from '../../model/types';
import { FileChip } from './FileChip';

const MOST_WIDTH = 420;
const MOST_HEIGHT = 320;

export function Player({ file, film }: { file: FileInfo; film: boolean }) {
  // A container that is known may hold what this browser cannot play: then it is a file like others.
  const [failed, setFailed] = useState(false);
  if (failed) return <FileChip file={file} />;
  const shared = {
    controls: true,
    preload: 'metadata',
    src: fileUrl(file.id),
    'aria-label': file.name,
    onError: () => setFailed(true),
  } as const;
  return (
    <figure
      data-testid={film ? 'message-video' : 'message-audio'}
      className="w-fit max-w-full overflow-hidden rounded-xl border border-line bg-raised"
    >
      {film ? <Film file={file} shared={shared} /> : <audio {...shared} className="w-[340px] max-w-full p-1.5" />}
      <figcaption className="flex items-center gap-2 px-3 py-1.5 text-[12.5px] text-ink-faint">
        <span className="min-w-0 flex-1 truncate">
          <span className="font-medium text-ink-soft">{titleText(file) || file.name}</span>
          {file.durationMs > 0 && ` · ${durationText(file.durationMs)}`} · {sizeText(file.size)}
        </span>
        <a
          href={fileUrl(file.id)}
          download={file.name}
          aria-label={`Download ${file.name}`}
          title="Download"
          className="inline-flex size-7 items-center justify-center rounded-lg hover:bg-sunken hover:text-ink"
        >
          <Download size={15} />
        </a>
      </figcaption>
    </figure>
  );
}

interface FilmProps {
  file: FileInfo;
  shared: React.MediaHTMLAttributes<HTMLVideoElement>;
}

/** Has its size before it is there, so that nothing jumps. */
function Film({ file, shared }: FilmProps) {
  const { width, height } = file;
  const scale = width && height ? Math.min(1, MOST_WIDTH / width, MOST_HEIGHT / height) : 1;
  const shown =
    width && height ? { width: Math.max(240, width * scale), aspectRatio: `${width} / ${height}` } : { width: 360 };
  return <video {...shared} playsInline style={shown} className="max-w-full bg-black" />;
}
