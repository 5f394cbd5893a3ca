/** What stands beside the conversation of a room. */
import { X } from 'lucide-react';
import type { ReactNode } from 'react';
import { IconButton } from '../../ui/Button';

interface PanelProps {
  title: string;
  testId: string;
  onClose: () => void;
  children: ReactNode;
}

export function Panel({ title, testId, onClose, children }: PanelProps) {
  return (
    <aside
      aria-label={title}
      data-testid={testId}
      className="flex w-72 shrink-0 flex-col border-line border-l bg-paper max-lg:absolute max-lg:inset-y-0 max-lg:right-0 max-lg:z-20 max-lg:shadow-float"
    >
      <div className="flex h-14 shrink-0 items-center justify-between border-line border-b pr-3 pl-5">
        <h3 className="font-display font-semibold text-[15px]">{title}</h3>
        <IconButton label={`Hide ${title.toLowerCase()}`} onClick={onClose}>
          <X size={17} />
        </IconButton>
      </div>
      {children}
    </aside>
  );
}
