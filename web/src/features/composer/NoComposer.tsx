/** Where one would write, when one may not: why. */
import { Archive, Megaphone } from 'lucide-react';
import { useEngine } from '../../app/hooks';
import { telling } from '../../app/toasts';
import type { Room } from '../../model/types';
import { Button } from '../../ui/Button';

export function NoComposer({ room, why, mayUnarchive }: { room: Room; why: string; mayUnarchive: boolean }) {
  const { chat } = useEngine();
  const archived = room.archivedAt > 0;
  const Icon = archived ? Archive : Megaphone;
  return (
    <div
      role="note"
      data-testid="no-composer"
      data-reason={archived ? 'archived' : 'role'}
      className="mx-4 flex min-h-12 flex-wrap items-center justify-center gap-x-3 gap-y-1.5 rounded-2xl border border-line bg-sunken px-4 py-2 text-ink-soft text-sm"
    >
      <span className="flex items-center gap-2">
        <Icon size={16} className="shrink-0" aria-hidden="true" />
        {why}
      </span>
      {archived && mayUnarchive && (
        <Button
          size="small"
          data-testid="unarchive-here"
          onClick={() => void telling(chat.setArchived(room.id, false))}
        >
          Open it again
        </Button>
      )}
    </div>
  );
}
