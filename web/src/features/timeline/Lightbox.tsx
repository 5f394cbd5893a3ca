import { ChevronLeft, ChevronRight, Download, X } from 'lucide-react';
import { Dialog } from 'radix-ui';
import { useState } from 'react';
import { fileUrl } from '../../api/files';
import type { FileInfo } from '../../model/types';
import { IconButton } from '../../ui/Button';

interface LightboxProps {
  files: readonly FileInfo[];
  start: FileInfo;
  onClose: () => void;
}

export function Lightbox({ files, start, onClose }: LightboxProps) {
  const [at, setAt] = useState(() =>
    Math.max(
      0,
      files.findIndex((file) => file.id === start.id),
    ),
  );
  const file = files[at] ?? start;
  const step = (by: number) => setAt((at + by + files.length) % files.length);
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-50 animate-fade bg-black/85" />
        <Dialog.Content
          data-testid="lightbox"
          aria-describedby={undefined}
          onKeyDown={(event) => {
            if (event.key === 'ArrowRight') step(1);
            if (event.key === 'ArrowLeft') step(-1);
          }}
          className="quiet-focus fixed inset-0 z-50 flex flex-col"
        >
          <div className="flex items-center gap-2 px-4 py-3 text-white">
            <Dialog.Title className="min-w-0 flex-1 truncate font-medium text-sm">{file.name}</Dialog.Title>
            {files.length > 1 && (
              <>
                <span className="text-sm text-white/60">
                  {at + 1} of {files.length}
                </span>
                <IconButton label="Previous picture" tone="dark" onClick={() => step(-1)}>
                  <ChevronLeft size={20} />
                </IconButton>
                <IconButton label="Next picture" tone="dark" onClick={() => step(1)}>
                  <ChevronRight size={20} />
                </IconButton>
              </>
            )}
            <a
              href={fileUrl(file.id)}
              download={file.name}
              aria-label="Download"
              title="Download"
              className="inline-flex size-8 items-center justify-center rounded-lg text-white/80 transition-colors hover:bg-white/15 hover:text-white"
            >
              <Download size={18} />
            </a>
            <Dialog.Close asChild>
              <IconButton label="Close" tone="dark">
                <X size={20} />
              </IconButton>
            </Dialog.Close>
          </div>
          <button type="button" tabIndex={-1} aria-label="Close" onClick={onClose} className="min-h-0 flex-1 px-4 pb-4">
            <img src={fileUrl(file.id)} alt={file.name} className="mx-auto size-full object-contain" />
          </button>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
