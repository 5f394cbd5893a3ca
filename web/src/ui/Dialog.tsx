import { X } from 'lucide-react';
import { Dialog as Radix } from 'radix-ui';
import type { ReactNode } from 'react';
import { IconButton } from './Button';
import { cx } from './cx';

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  /** The title is only read out. */
  bare?: boolean;
  wide?: boolean;
  testId?: string;
  children: ReactNode;
}

export function Dialog({ open, onClose, title, description, bare, wide, testId, children }: DialogProps) {
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 animate-fade bg-black/35 backdrop-blur-[1.5px]" />
        <Radix.Content
          data-testid={testId}
          aria-describedby={undefined}
          className={cx(
            'fixed left-1/2 z-50 flex w-[calc(100vw-2rem)] -translate-x-1/2 animate-rise flex-col overflow-hidden',
            'quiet-focus rounded-2xl border border-line bg-paper text-ink shadow-float',
            wide ? 'max-w-3xl' : 'max-w-md',
            bare ? 'top-[12vh] max-h-[70vh]' : 'top-1/2 max-h-[85vh] -translate-y-1/2',
          )}
        >
          <div className={bare ? 'sr-only' : 'flex items-start justify-between gap-4 px-5 pt-4 pb-3'}>
            <div>
              <Radix.Title className="font-display font-semibold text-lg leading-tight">{title}</Radix.Title>
              {description && <p className="mt-1 text-ink-soft text-sm">{description}</p>}
            </div>
            {!bare && (
              <Radix.Close asChild>
                <IconButton label="Close" tone="faint" className="-mt-0.5 -mr-2">
                  <X size={18} />
                </IconButton>
              </Radix.Close>
            )}
          </div>
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
