/** Rooms, and the way to everything else. */
import { Compass, Plus, Search } from 'lucide-react';
import { useMemo } from 'react';
import { useMe, useModel } from '../../app/hooks';
import { roomsByName } from '../../model/selectors';
import { Logo } from '../../ui/Logo';
import { AccountMenu } from './AccountMenu';
import { RoomItem } from './RoomItem';

interface SidebarProps {
  openRoomId: string | undefined;
  onOpen: (roomId: string) => void;
  onSwitch: () => void;
  onCreate: () => void;
  onBrowse: () => void;
  onSignOut: () => void;
}

const ON_LEAF = 'text-leaf-ink-soft hover:bg-leaf-hover hover:text-leaf-ink';

export function Sidebar({ openRoomId, onOpen, onSwitch, onCreate, onBrowse, onSignOut }: SidebarProps) {
  const guest = useMe().role === 'guest';
  return (
    <nav aria-label="Rooms" className="flex h-full w-full flex-col bg-leaf text-leaf-ink">
      <div className="flex h-14 items-center gap-2.5 px-4">
        <Logo size={26} />
        <span className="font-bold font-display text-[19px] tracking-tight">Loquat</span>
      </div>
      <div className="px-3 pb-3">
        <button
          type="button"
          onClick={onSwitch}
          data-testid="open-switcher"
          className="flex h-9 w-full items-center gap-2.5 rounded-lg bg-leaf-hover px-2.5 text-leaf-ink-soft text-sm transition-colors hover:bg-leaf-active hover:text-leaf-ink"
        >
          <Search size={15} />
          Jump to a room
          <kbd className="ml-auto font-sans text-[11px] opacity-80">{isMac() ? '⌘K' : 'Ctrl K'}</kbd>
        </button>
      </div>
      <RoomList openRoomId={openRoomId} onOpen={onOpen} />
      {!guest && (
        <div className="flex flex-col gap-0.5 px-3 pt-2 pb-2">
          <SidebarAction icon={<Plus size={16} />} label="New room" testId="create-room" onClick={onCreate} />
          <SidebarAction icon={<Compass size={16} />} label="Browse rooms" testId="browse-rooms" onClick={onBrowse} />
        </div>
      )}
      <AccountMenu onSignOut={onSignOut} />
    </nav>
  );
}

function isMac(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.platform);
}

function RoomList({ openRoomId, onOpen }: Pick<SidebarProps, 'openRoomId' | 'onOpen'>) {
  const rooms = useModel((state) => state.rooms);
  const caughtUp = useModel((state) => state.caughtUp);
  const sorted = useMemo(() => roomsByName({ rooms }), [rooms]);
  return (
    <div className="min-h-0 flex-1 overflow-y-auto px-3">
      <h2 className="px-2.5 pb-1 font-medium text-[12px] text-leaf-ink-soft">Rooms</h2>
      <ul data-testid="room-list" className="flex flex-col gap-px">
        {sorted.map(({ room }) => (
          <RoomItem key={room.id} room={room} open={room.id === openRoomId} onOpen={onOpen} />
        ))}
      </ul>
      {sorted.length === 0 && caughtUp && <p className="px-2.5 py-1 text-leaf-ink-soft text-sm">None yet</p>}
    </div>
  );
}

interface SidebarActionProps {
  icon: React.ReactNode;
  label: string;
  testId: string;
  onClick: () => void;
}

function SidebarAction({ icon, label, testId, onClick }: SidebarActionProps) {
  return (
    <button
      type="button"
      data-testid={testId}
      onClick={onClick}
      className={`flex h-8 items-center gap-2.5 rounded-lg px-2.5 text-sm transition-colors ${ON_LEAF}`}
    >
      {icon}
      {label}
    </button>
  );
}
