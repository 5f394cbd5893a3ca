import { ChevronsUpDown, LogOut, Monitor, Moon, Settings, ShieldUser, Sun } from 'lucide-react';
import { avatarUrls } from '../../api/files';
import { useCell, useMe } from '../../app/hooks';
import { go } from '../../app/route';
import { chooseTheme, theme } from '../../app/theme';
import { Avatar } from '../../ui/Avatar';
import { Menu, MenuItem, MenuLabel, MenuSeparator } from '../../ui/Menu';

const THEMES = [
  ['system', 'As the system', Monitor],
  ['light', 'Light', Sun],
  ['dark', 'Dark', Moon],
] as const;

export function AccountMenu({ onSignOut }: { onSignOut: () => void }) {
  const me = useMe();
  const administers = me.role === 'owner' || me.role === 'admin';
  const chosen = useCell(theme);
  const trigger = (
    <button
      type="button"
      data-testid="account-menu"
      className="flex w-full items-center gap-2.5 rounded-xl p-2 text-left transition-colors hover:bg-leaf-hover data-[state=open]:bg-leaf-hover"
    >
      <Avatar id={me.id} name={me.displayName} pictures={avatarUrls(me.avatarFileId)} />
      <span className="min-w-0 flex-1 leading-tight">
        <span data-testid="my-name" className="block truncate font-semibold text-sm">
          {me.displayName}
        </span>
        <span className="block truncate text-[12.5px] text-leaf-ink-soft">@{me.username}</span>
      </span>
      <ChevronsUpDown size={15} className="text-leaf-ink-soft" aria-hidden="true" />
    </button>
  );
  return (
    <div className="border-white/10 border-t p-2">
      <Menu trigger={trigger} align="start" side="top">
        <MenuLabel>Appearance</MenuLabel>
        {THEMES.map(([value, label, Icon]) => (
          <MenuItem key={value} testId={`theme-${value}`} icon={<Icon size={16} />} onSelect={() => chooseTheme(value)}>
            {label}
            {chosen === value && <span className="ml-auto size-1.5 rounded-full bg-loquat" />}
            {chosen === value && <span className="sr-only">, chosen</span>}
          </MenuItem>
        ))}
        <MenuSeparator />
        <MenuItem
          testId="open-settings"
          icon={<Settings size={16} />}
          onSelect={() => go({ page: 'settings', tab: 'profile' })}
        >
          Your account…
        </MenuItem>
        {administers && (
          <MenuItem
            testId="open-admin"
            icon={<ShieldUser size={16} />}
            onSelect={() => go({ page: 'admin', tab: 'users' })}
          >
            Administration…
          </MenuItem>
        )}
        <MenuSeparator />
        <MenuItem testId="sign-out" icon={<LogOut size={16} />} onSelect={onSignOut}>
          Sign out
        </MenuItem>
      </Menu>
    </div>
  );
}
