/** One's own account: profile, password and mail, where one is signed in, tokens of one's programs. */
import { HardDrive, KeyRound, MonitorSmartphone, ShieldCheck, UserRound } from 'lucide-react';
import { go, pathOf, type SettingsTab } from '../../app/route';
import { Page } from '../../ui/Page';
import { Profile } from './Profile';
import { Security } from './Security';
import { Sessions } from './Sessions';
import { StorageUsed } from './StorageUsed';
import { Tokens } from './Tokens';

const TABS = [
  ['profile', 'Profile', UserRound, Profile],
  ['security', 'Password and mail', ShieldCheck, Security],
  ['sessions', 'Sessions', MonitorSmartphone, Sessions],
  ['tokens', 'Access tokens', KeyRound, Tokens],
  ['storage', 'Storage', HardDrive, StorageUsed],
] as const;

interface SettingsPageProps {
  tab: SettingsTab;
  onClose: () => void;
  onSidebar: () => void;
}

export function SettingsPage({ tab, onClose, onSidebar }: SettingsPageProps) {
  const Shown = TABS.find(([name]) => name === tab)?.[3] ?? Profile;
  const tabs = TABS.map(([name, label, Icon]) => {
    const to = { page: 'settings', tab: name } as const;
    return { path: pathOf(to), label, icon: <Icon size={16} />, open: name === tab, onOpen: () => go(to) };
  });
  return (
    <Page title="Your account" tabs={tabs} onClose={onClose} onSidebar={onSidebar}>
      <Shown />
    </Page>
  );
}
