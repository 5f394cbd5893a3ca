import { useEffect, useState } from 'react';
import { useEngine, useModel } from '../../app/hooks';
import { telling } from '../../app/toasts';
import type { Room } from '../../model/types';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Tag } from '../../ui/Table';
import { RoomIcon } from './RoomItem';

interface BrowseRoomsProps {
  open: boolean;
  onClose: () => void;
  onJoined: (roomId: string) => void;
}

export function BrowseRooms({ open, onClose, onJoined }: BrowseRoomsProps) {
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title="Browse rooms"
      description="Public rooms that anybody here may join."
      testId="browse-rooms-dialog"
    >
      <PublicRooms onJoined={onJoined} />
    </Dialog>
  );
}

function PublicRooms({ onJoined }: Pick<BrowseRoomsProps, 'onJoined'>) {
  const { chat } = useEngine();
  const [rooms, setRooms] = useState<readonly Room[]>();
  const [query, setQuery] = useState('');
  useEffect(() => {
    void telling(chat.listRooms()).then((all) => setRooms(all?.filter((room) => room.kind === 'public') ?? []));
  }, [chat]);
  const wanted = query.trim().toLocaleLowerCase();
  const shown = rooms?.filter((room) => room.name.toLocaleLowerCase().includes(wanted)) ?? [];
  return (
    <>
      <div className="px-5 pb-3">
        <input
          type="search"
          aria-label="Search rooms"
          placeholder="Search rooms"
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          className="h-9 w-full rounded-lg border border-line bg-raised px-3 text-sm placeholder:text-ink-faint"
        />
      </div>
      <ul className="min-h-40 overflow-y-auto border-line border-t px-3 py-2">
        {shown.map((room) => (
          <PublicRoom key={room.id} room={room} onJoined={onJoined} />
        ))}
        {rooms && shown.length === 0 && (
          <li className="px-2 py-8 text-center text-ink-faint text-sm">
            {rooms.length === 0 ? 'There is no public room yet.' : 'No room has that name.'}
          </li>
        )}
      </ul>
    </>
  );
}

function PublicRoom({ room, onJoined }: { room: Room; onJoined: (roomId: string) => void }) {
  const { chat } = useEngine();
  const [busy, setBusy] = useState(false);
  const inside = useModel((state) => room.id in state.rooms);
  const join = async () => {
    setBusy(true);
    const joined = await telling(chat.join(room.id).then(() => true));
    setBusy(false);
    if (joined) onJoined(room.id);
  };
  return (
    <li data-testid="public-room" className="flex items-center gap-3 rounded-lg px-2 py-2 hover:bg-sunken">
      <span className="text-ink-faint">
        <RoomIcon room={room} />
      </span>
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium text-sm">{room.name}</span>
        {room.topic && <span className="block truncate text-[13px] text-ink-soft">{room.topic}</span>}
      </span>
      {room.archivedAt > 0 && !inside ? (
        <Tag>Archived</Tag>
      ) : inside ? (
        <Button tone="quiet" size="small" onClick={() => onJoined(room.id)}>
          Open
        </Button>
      ) : (
        <Button size="small" busy={busy} data-testid="join-room" onClick={join}>
          Join
        </Button>
      )}
    </li>
  );
}
