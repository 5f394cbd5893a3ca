/** Who is in the room, and the way to add and remove somebody. */
import { MoreHorizontal, ShieldCheck, UserMinus } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import { avatarUrls } from '../../api/files';
import { nameOf, useConnection, useEngine, useModel, useUser } from '../../app/hooks';
import { telling } from '../../app/toasts';
import { members, presenceIn } from '../../model/selectors';
import type { RoomState } from '../../model/state';
import type { Member, RoomRole } from '../../model/types';
import { Avatar } from '../../ui/Avatar';
import { IconButton } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { Menu, MenuItem } from '../../ui/Menu';
import { OnlineDot } from '../../ui/OnlineDot';
import { AddMember } from './AddMember';
import { Panel } from './Panel';
import { useRights } from './useRights';

const ROLES = { owner: 'Owner', admin: 'Admin', moderator: 'Moderator', member: '' } as const;
const MAKE = {
  owner: 'Make owner',
  admin: 'Make admin',
  moderator: 'Make moderator',
  member: 'Make member',
} as const;

export function MembersPanel({ roomState, onClose }: { roomState: RoomState; onClose: () => void }) {
  const { me, chat } = useEngine();
  const { room } = roomState;
  const list = useMemo(() => members(roomState), [roomState]);
  const presence = useModel((state) => presenceIn(state, room.id));
  const live = useConnection().phase === 'live';
  const generation = roomState.messages.generation;
  const [removing, setRemoving] = useState<{ id: string; name: string }>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a room that started anew has to be asked for again
  useEffect(() => {
    if (live) void telling(chat.loadMembers(room.id));
  }, [chat, room.id, live, generation]);
  const rights = useRights(roomState);
  return (
    <Panel title="Members" testId="members-panel" onClose={onClose}>
      {rights.addMembers && <AddMember room={room} members={list} />}
      <ul className="min-h-0 flex-1 overflow-y-auto px-2.5 py-2">
        {list.map((member) => (
          <MemberItem
            key={member.userId}
            member={member}
            mine={member.userId === me.id}
            online={presence?.userIds.has(member.userId) ?? false}
            roles={member.userId === me.id ? [] : rights.promote(member.role)}
            onRole={(role) => void telling(chat.setRole(room.id, member.userId, role))}
            onRemove={
              member.userId !== me.id && rights.remove(member.role)
                ? (name) => setRemoving({ id: member.userId, name })
                : undefined
            }
          />
        ))}
      </ul>
      {removing && (
        <Confirm
          title={`Remove ${removing.name}?`}
          text={`They will not see anything that is said in ${room.name} from now on.`}
          action="Remove"
          onConfirm={() => void telling(chat.removeMember(room.id, removing.id))}
          onClose={() => setRemoving(undefined)}
        />
      )}
    </Panel>
  );
}

interface MemberItemProps {
  member: Member;
  mine: boolean;
  online: boolean;
  /** What can be made of them. */
  roles: readonly RoomRole[];
  onRole: (role: RoomRole) => void;
  onRemove?: (name: string) => void;
}

function MemberItem({ member, mine, online, roles, onRole, onRemove }: MemberItemProps) {
  const user = useUser(member.userId);
  const name = nameOf(user);
  return (
    <li
      data-testid="member-item"
      data-user-id={member.userId}
      data-online={online}
      className="group/member flex items-center gap-2.5 rounded-lg px-2.5 py-1.5 hover:bg-sunken"
    >
      <span className="relative shrink-0">
        <Avatar id={member.userId} name={name} pictures={avatarUrls(user?.avatarFileId)} />
        {online && (
          <>
            <OnlineDot className="absolute -right-0.5 -bottom-0.5 ring-2 ring-paper" />
            <span className="sr-only">Online: </span>
          </>
        )}
      </span>
      <span className="min-w-0 flex-1 leading-tight">
        <span className="block truncate font-medium text-sm">
          {name}
          {mine && <span className="font-normal text-ink-faint"> (you)</span>}
        </span>
        <span className="block truncate text-[12.5px] text-ink-faint">
          {user ? `@${user.username}` : ''}
          {ROLES[member.role] && ` · ${ROLES[member.role]}`}
        </span>
      </span>
      {roles.length > 0 && <RoleMenu name={name} roles={roles} onRole={onRole} />}
      {onRemove && (
        <IconButton
          label={`Remove ${name}`}
          data-testid="remove-member"
          tone="danger"
          className="opacity-0 focus-visible:opacity-100 group-hover/member:opacity-100 pointer-coarse:opacity-100"
          onClick={() => onRemove(name)}
        >
          <UserMinus size={16} />
        </IconButton>
      )}
    </li>
  );
}

interface RoleMenuProps {
  name: string;
  roles: readonly RoomRole[];
  onRole: (role: RoomRole) => void;
}

/** What can be made of somebody. */
function RoleMenu({ name, roles, onRole }: RoleMenuProps) {
  return (
    <Menu
      trigger={
        <IconButton
          label={`Role of ${name}`}
          data-testid="member-role"
          className="opacity-0 focus-visible:opacity-100 group-hover/member:opacity-100 data-[state=open]:opacity-100 pointer-coarse:opacity-100"
        >
          <MoreHorizontal size={16} />
        </IconButton>
      }
    >
      {roles.map((other) => (
        <MenuItem key={other} testId={`make-${other}`} icon={<ShieldCheck size={15} />} onSelect={() => onRole(other)}>
          {MAKE[other]}
        </MenuItem>
      ))}
    </Menu>
  );
}
