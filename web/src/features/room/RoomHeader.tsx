import { Archive, ArchiveRestore, Ellipsis, Files, LogOut, Menu as MenuIcon, Settings2, Users } from 'lucide-react';
import { useState } from 'react';
import { useEngine, useModel } from '../../app/hooks';
import { telling } from '../../app/toasts';
import { presenceIn } from '../../model/selectors';
import type { RoomState } from '../../model/state';
import { IconButton } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { cx } from '../../ui/cx';
import { Menu, MenuItem, MenuSeparator } from '../../ui/Menu';
import { OnlineDot } from '../../ui/OnlineDot';
import { Tag } from '../../ui/Table';
import { RoomIcon } from '../sidebar/RoomItem';
import { RoomSettings } from './RoomSettings';
import type { RoomPanel } from './RoomView';
import { useRights } from './useRights';

interface RoomHeaderProps {
  roomState: RoomState;
  panel: RoomPanel | undefined;
  onPanel: (panel: RoomPanel) => void;
  onSidebar: () => void;
  onLeft: () => void;
}

export function RoomHeader({ roomState, panel, onPanel, onSidebar, onLeft }: RoomHeaderProps) {
  const { room, membership } = roomState;
  const { chat } = useEngine();
  const online = useModel((state) => presenceIn(state, room.id)?.count);
  const [dialog, setDialog] = useState<'leave' | 'settings' | 'archive'>();
  const rights = useRights(roomState);
  const archived = room.archivedAt > 0;
  const membersOpen = panel === 'members';
  const onMembers = () => onPanel('members');
  const close = () => setDialog(undefined);
  const archive = (next: boolean) => telling(chat.setArchived(room.id, next));
  const leave = async () => {
    if (await telling(chat.leave(room.id).then(() => true))) onLeft();
  };
  return (
    <header className="flex h-14 shrink-0 items-center gap-2 border-line border-b px-3 sm:px-5">
      <IconButton label="Show rooms" data-testid="open-sidebar" onClick={onSidebar} className="-ml-1 md:hidden">
        <MenuIcon size={20} />
      </IconButton>
      <span className="text-ink-faint">
        <RoomIcon room={room} size={17} />
      </span>
      <h2 data-testid="room-title" className="min-w-0 shrink truncate font-display font-semibold text-[17px]">
        {room.name}
      </h2>
      {archived && <Tag>Archived</Tag>}
      {room.topic && (
        <p title={room.topic} className="ml-1 min-w-0 flex-1 truncate text-[13.5px] text-ink-soft max-md:hidden">
          {room.topic}
        </p>
      )}
      <div className="ml-auto flex items-center gap-1">
        <button
          type="button"
          data-testid="members-toggle"
          aria-pressed={membersOpen}
          onClick={onMembers}
          className={cx(
            'flex h-8 items-center gap-1.5 rounded-lg px-2.5 text-sm tabular-nums transition-colors hover:bg-sunken',
            membersOpen ? 'bg-sunken text-ink' : 'text-ink-soft',
          )}
        >
          <Users size={17} aria-hidden="true" />
          <span className="sr-only">Members: </span>
          {membership.memberCount}
          {online !== undefined && (
            <span data-testid="online-count" className="ml-1 flex items-center gap-1.5">
              <OnlineDot />
              {online}
              <span className="sr-only"> online</span>
            </span>
          )}
        </button>
        <IconButton
          label="Files of this room"
          data-testid="files-toggle"
          aria-pressed={panel === 'files'}
          className={panel === 'files' ? 'bg-sunken text-ink' : undefined}
          onClick={() => onPanel('files')}
        >
          <Files size={18} />
        </IconButton>
        <Menu
          trigger={
            <IconButton label="Room menu" data-testid="room-menu">
              <Ellipsis size={19} />
            </IconButton>
          }
        >
          <MenuItem icon={<Users size={16} />} onSelect={onMembers}>
            {membersOpen ? 'Hide members' : 'Show members'}
          </MenuItem>
          {(rights.edit || rights.manage || rights.webhooks) && (
            <MenuItem testId="rename-room" icon={<Settings2 size={16} />} onSelect={() => setDialog('settings')}>
              Room settings…
            </MenuItem>
          )}
          {rights.archive && !archived && (
            <MenuItem testId="archive-room" icon={<Archive size={16} />} onSelect={() => setDialog('archive')}>
              Archive…
            </MenuItem>
          )}
          {rights.archive && archived && (
            <MenuItem testId="unarchive-room" icon={<ArchiveRestore size={16} />} onSelect={() => void archive(false)}>
              Open again
            </MenuItem>
          )}
          <MenuSeparator />
          <MenuItem danger testId="leave-room" icon={<LogOut size={16} />} onSelect={() => setDialog('leave')}>
            Leave room…
          </MenuItem>
        </Menu>
      </div>
      {dialog === 'settings' && <RoomSettings room={room} rights={rights} onClose={close} />}
      {dialog === 'archive' && (
        <Confirm
          title={`Archive ${room.name}?`}
          text="It can be read and left from then on, and nothing else, until it is opened again."
          action="Archive"
          onConfirm={() => void archive(true)}
          onClose={close}
        />
      )}
      {dialog === 'leave' && (
        <Confirm
          title={`Leave ${room.name}?`}
          text={
            room.kind === 'public'
              ? 'You can join it again whenever you like.'
              : 'You can only come back when somebody adds you again.'
          }
          action="Leave"
          onConfirm={leave}
          onClose={close}
        />
      )}
    </header>
  );
}
