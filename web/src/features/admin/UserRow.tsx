import { Ban, Ellipsis, LogOut, ShieldUser, UserCheck } from 'lucide-react';
import { type AdminUser, mayManage, ROLE_NAMES, rolesToGive } from '../../model/admin';
import type { User, WorkspaceRole } from '../../model/types';
import { IconButton } from '../../ui/Button';
import { Menu, MenuItem, MenuLabel, MenuSeparator } from '../../ui/Menu';
import { Cell, Tag } from '../../ui/Table';
import { Person } from '../shared/Person';
import { When } from '../shared/When';

interface UserRowProps {
  entry: AdminUser;
  me: User;
  onRole: (role: WorkspaceRole) => void;
  onDisable: () => void;
  onEnable: () => void;
  onEndSessions: () => void;
}

export function UserRow(props: UserRowProps) {
  const { entry, me } = props;
  const { user, email, sessions, lastUsedAt } = entry;
  const mine = user.id === me.id;
  return (
    <tr data-testid="user-row" data-user-id={user.id} data-role={user.role} data-disabled={user.disabled}>
      <Cell>
        <Person user={user} note={mine ? '(you)' : undefined} />
      </Cell>
      <Cell>
        <Tag tone={user.role === 'owner' || user.role === 'admin' ? 'warn' : 'plain'}>{ROLE_NAMES[user.role]}</Tag>
      </Cell>
      <Cell className="max-w-56 truncate text-ink-soft">{email || '—'}</Cell>
      <Cell number>{sessions}</Cell>
      <Cell className="text-ink-soft">
        <When at={lastUsedAt} />
      </Cell>
      <Cell className="text-right">{mayManage(me.role, user.role) && <Actions {...props} mine={mine} />}</Cell>
    </tr>
  );
}

function Actions({ entry, me, mine, onRole, onDisable, onEnable, onEndSessions }: UserRowProps & { mine: boolean }) {
  const { user, sessions } = entry;
  const roles = rolesToGive(me.role).filter((role) => role !== user.role);
  return (
    <Menu
      trigger={
        <IconButton label={`Manage ${user.displayName}`} data-testid="user-menu">
          <Ellipsis size={17} />
        </IconButton>
      }
    >
      <MenuLabel>Make</MenuLabel>
      {roles.map((role) => (
        <MenuItem key={role} testId={`make-${role}`} icon={<ShieldUser size={15} />} onSelect={() => onRole(role)}>
          {ROLE_NAMES[role]}
        </MenuItem>
      ))}
      {!user.bot && sessions > 0 && (
        <>
          <MenuSeparator />
          <MenuItem testId="user-end-sessions" icon={<LogOut size={15} />} onSelect={onEndSessions}>
            End sessions…
          </MenuItem>
        </>
      )}
      {!mine && (
        <>
          <MenuSeparator />
          {user.disabled ? (
            <MenuItem testId="user-enable" icon={<UserCheck size={15} />} onSelect={onEnable}>
              Enable
            </MenuItem>
          ) : (
            <MenuItem danger testId="user-disable" icon={<Ban size={15} />} onSelect={onDisable}>
              Disable…
            </MenuItem>
          )}
        </>
      )}
    </Menu>
  );
}
