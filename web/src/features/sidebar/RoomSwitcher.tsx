/** Ctrl+K: type a part of a name, Enter. */
import { type KeyboardEvent, useMemo, useState } from 'react';
import { useModel } from '../../app/hooks';
import { roomsByName, unread } from '../../model/selectors';
import type { State } from '../../model/state';
import { cx } from '../../ui/cx';
import { Dialog } from '../../ui/Dialog';
import { RoomIcon } from './RoomItem';

interface RoomSwitcherProps {
  open: boolean;
  onClose: () => void;
  onOpen: (roomId: string) => void;
}

export function RoomSwitcher({ open, onClose, onOpen }: RoomSwitcherProps) {
  return (
    <Dialog open={open} onClose={onClose} title="Jump to a room" bare testId="switcher">
      <Choices onOpen={onOpen} />
    </Dialog>
  );
}

/** Unread rooms first, then those whose name begins with what was typed. */
function find(state: State, query: string) {
  const wanted = query.trim().toLocaleLowerCase();
  const named = roomsByName(state).filter(({ room }) => room.name.toLocaleLowerCase().includes(wanted));
  const rank = (id: string, name: string) =>
    (unread(state, id) > 0 ? 0 : 2) + (name.toLocaleLowerCase().startsWith(wanted) ? 0 : 1);
  return named.sort((a, b) => rank(a.room.id, a.room.name) - rank(b.room.id, b.room.name)).slice(0, 50);
}

function Choices({ onOpen }: { onOpen: (roomId: string) => void }) {
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(0);
  const state = useModel((whole) => whole);
  const found = useMemo(() => find(state, query), [state, query]);
  const chosen = Math.min(at, found.length - 1);
  const press = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setAt((chosen + step + found.length) % Math.max(1, found.length));
    } else if (event.key === 'Enter') {
      const room = found[chosen];
      if (room) onOpen(room.room.id);
    }
  };
  return (
    <>
      <input
        data-testid="switcher-input"
        role="combobox"
        aria-label="Room"
        aria-expanded="true"
        aria-controls="switcher-list"
        aria-activedescendant={found[chosen] ? `switch-${found[chosen].room.id}` : undefined}
        autoComplete="off"
        placeholder="Jump to a room…"
        value={query}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
        }}
        onKeyDown={press}
        className="quiet-focus h-13 border-line border-b bg-transparent px-5 text-base placeholder:text-ink-faint"
      />
      <div id="switcher-list" role="listbox" aria-label="Rooms" className="overflow-y-auto p-2">
        {found.map(({ room }, index) => (
          <div
            key={room.id}
            id={`switch-${room.id}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === chosen}
            ref={(element) => {
              if (index === chosen) element?.scrollIntoView({ block: 'nearest' });
            }}
            onMouseMove={() => setAt(index)}
            onClick={() => onOpen(room.id)}
            onKeyDown={press}
            className={cx(
              'flex h-10 cursor-pointer items-center gap-2.5 rounded-lg px-3 text-[15px]',
              index === chosen && 'bg-loquat-soft',
            )}
          >
            <span className="text-ink-faint">
              <RoomIcon room={room} />
            </span>
            <span className="truncate">{room.name}</span>
            {unread(state, room.id) > 0 && <span className="ml-auto size-2 rounded-full bg-loquat" />}
          </div>
        ))}
        {found.length === 0 && <p className="px-3 py-6 text-center text-ink-faint text-sm">No room has that name.</p>}
      </div>
    </>
  );
}
