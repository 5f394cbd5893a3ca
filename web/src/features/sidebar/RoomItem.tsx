import { Archive, Hash, Lock } from 'lucide-react';
import { memo } from 'react';
import { focused } from '../../app/focus';
import { useCell, useModel } from '../../app/hooks';
import { unread } from '../../model/selectors';
import type { Room } from '../../model/types';
import { cx } from '../../ui/cx';

export function RoomIcon({ room, size = 15 }: { room: Room; size?: number }) {
  if (room.archivedAt > 0) return <Archive size={size} className="shrink-0" aria-label="Archived" />;
  const Icon = room.kind === 'public' ? Hash : Lock;
  return <Icon size={size} className="shrink-0" aria-label={room.kind === 'public' ? 'Public' : 'Private'} />;
}

interface RoomItemProps {
  room: Room;
  open: boolean;
  onOpen: (roomId: string) => void;
}

export const RoomItem = memo(function RoomItem({ room, open, onOpen }: RoomItemProps) {
  const reading = useCell(focused) && open;
  // What is on the screen is being read; a number would only flicker.
  const count = useModel((state) => (reading ? 0 : unread(state, room.id)));
  const waiting = useModel((state) => state.outbox.some((entry) => entry.roomId === room.id));
  return (
    <li>
      <a
        href={`/r/${room.id}`}
        data-testid="room-item"
        data-room-id={room.id}
        data-unread={count}
        aria-current={open ? 'page' : undefined}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          onOpen(room.id);
        }}
        className={cx(
          'relative flex h-8 items-center gap-2 rounded-lg px-2.5 text-[14.5px] transition-colors',
          open ? 'bg-leaf-active font-medium text-leaf-ink' : 'hover:bg-leaf-hover',
          !open && (count > 0 ? 'font-bold text-leaf-ink' : 'text-leaf-ink-soft'),
        )}
      >
        {open && <span className="absolute inset-y-1.5 -left-3 w-[3px] rounded-r-full bg-loquat" />}
        <RoomIcon room={room} />
        <span className="truncate">{room.name}</span>
        {waiting && (
          <span title="Something waits to be sent" className="ml-auto size-1.5 shrink-0 rounded-full bg-loquat" />
        )}
        {count > 0 && (
          <span
            data-testid="unread-badge"
            className="ml-auto min-w-5 shrink-0 rounded-full bg-loquat px-1.5 text-center font-bold text-[11px] text-on-loquat leading-[18px]"
          >
            {count > 99 ? '99+' : count}
            <span className="sr-only"> unread</span>
          </span>
        )}
      </a>
    </li>
  );
});
