/** A file that is only there to be saved, or what became of it. */
import { Download, FileText, TriangleAlert } from 'lucide-react';
import { fileUrl } from '../../api/files';
import { sizeText } from '../../model/files';
import type { FileInfo } from '../../model/types';

export function FileChip({ file }: { file: FileInfo }) {
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
        <span className="block text-[12.5px] text-ink-faint">
          {file.state === 'processing' ? 'Being checked…' : sizeText(file.size)}
        </span>
      </span>
      <Download size={16} className="ml-1 shrink-0 text-ink-faint group-hover/chip:text-ink" aria-label="Download" />
    </a>
  );
}
