/** What owners and administrators of the workspace see. */
import { Bot, HardDrive, ListChecks, Mails, ScrollText, UsersRound, Webhook } from 'lucide-react';
import { useMe } from '../../app/hooks';
import { type AdminTab, go, pathOf } from '../../app/route';
import { administers } from '../../model/admin';
import { Empty } from '../../ui/Notices';
import { Page } from '../../ui/Page';
import { Jobs } from '../jobs/Jobs';
import { Webhooks } from '../jobs/Webhooks';
import { Audit } from './Audit';
import { Bots } from './Bots';
import { Invites } from './Invites';
import { Storage } from './Storage';
import { Users } from './Users';

const TABS = [
  ['users', 'People', UsersRound, Users],
  ['invites', 'Invitations', Mails, Invites],
  ['bots', 'Bots', Bot, Bots],
  ['audit', 'Audit log', ScrollText, Audit],
  ['jobs', 'Jobs', ListChecks, Jobs],
  ['webhooks', 'Webhooks', Webhook, Webhooks],
  ['storage', 'Storage', HardDrive, Storage],
] as const;

interface AdminPageProps {
  tab: AdminTab;
  onClose: () => void;
  onSidebar: () => void;
}

export function AdminPage({ tab, onClose, onSidebar }: AdminPageProps) {
  const me = useMe();
  const allowed = administers(me.role);
  const Shown = TABS.find(([name]) => name === tab)?.[3] ?? Users;
  const tabs = TABS.map(([name, label, Icon]) => {
    const to = { page: 'admin', tab: name } as const;
    return { path: pathOf(to), label, icon: <Icon size={16} />, open: name === tab, onOpen: () => go(to) };
  });
  return (
    <Page title="Administration" tabs={allowed ? tabs : []} wide onClose={onClose} onSidebar={onSidebar}>
      {allowed ? <Shown /> : <Empty>Only owners and administrators of the workspace see this.</Empty>}
    </Page>
  );
}
