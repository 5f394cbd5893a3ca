/** The pictures of a room, side by side. */
import { fileUrl } from '../../api/files';
import type { FileInfo } from '../../model/types';

export function Gallery({ files, onOpen }: { files: readonly FileInfo[]; onOpen: (file: FileInfo) => void }) {
  return (
    <ul data-testid="gallery" className="grid grid-cols-3 gap-1.5 p-3">
      {files.map((file) => (
        <li key={file.id} data-testid="file-row" data-file-id={file.id} data-state={file.state}>
          <button
            type="button"
            data-testid="file-open"
            title={file.name}
            onClick={() => onOpen(file)}
            className="block aspect-square w-full overflow-hidden rounded-lg border border-line bg-sunken transition-opacity hover:opacity-90"
          >
            {file.state === 'ready' && (
              <img
                src={fileUrl(file.id, file.thumbnails[0]?.variant)}
                alt=""
                loading="lazy"
                className="size-full object-cover"
              />
            )}
            <span className="sr-only">Open {file.name}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
