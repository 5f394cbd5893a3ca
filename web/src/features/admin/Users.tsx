import { useCallback, useState } from 'react';
import { useEngine, useMe } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { notify, telling } from '../../app/toasts';
import { useSettled } from '../../app/useSettled';
import { type AdminUser, ROLE_NAMES } from '../../model/admin';
import type { User, WorkspaceRole } from '../../model/types';
import { Confirm } from '../../ui/Confirm';
import { ListState, More } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Search } from '../../ui/Search';
import { Table } from '../../ui/Table';
import { UserRow } from './UserRow';

type Asked =
  | { readonly what: 'role'; readonly user: User; readonly role: WorkspaceRole }
  | { readonly what: 'disable'; readonly user: User }
  | { readonly what: 'sessions'; readonly user: User };

const TEXTS = {
  disable: 'They are signed out everywhere within a second, and cannot sign in any more. What they wrote stays.',
  sessions: 'They are signed out everywhere and have to sign in again. Their access tokens go on.',
  role: 'What they may do changes within a second.',
} as const;

function question(asked: Asked): { title: string; action: string } {
  const name = asked.user.displayName;
  if (asked.what === 'disable') return { title: `Disable ${name}?`, action: 'Disable' };
  if (asked.what === 'sessions') return { title: `End all sessions of ${name}?`, action: 'End them' };
  return { title: `Change the role of ${name} to ${ROLE_NAMES[asked.role].toLowerCase()}?`, action: 'Change role' };
}

function useUsers(query: string) {
  const { admin } = useEngine();
  const pages = usePages(useCallback((from?: string) => admin.users(query, from), [admin, query]));
  const put = (user: User | undefined, fields: Partial<AdminUser> = {}) => {
    if (!user) return;
    pages.change((items) => items.map((item) => (item.user.id === user.id ? { ...item, ...fields, user } : item)));
  };
  const run = async (asked: Asked) => {
    const { user } = asked;
    if (asked.what === 'role') put(await telling(admin.setRole(user.id, asked.role)));
    else if (asked.what === 'disable') put(await telling(admin.setDisabled(user.id, true)), { sessions: 0 });
    else {
      const count = await telling(admin.endSessions(user.id));
      if (count === undefined) return;
      put(user, { sessions: 0 });
      notify(count === 1 ? 'One session was ended.' : `${count} sessions were ended.`);
    }
  };
  const enable = async (user: User) => put(await telling(admin.setDisabled(user.id, false)));
  return { pages, run, enable };
}

export function Users() {
  const me = useMe();
  const [text, setText] = useState('');
  const query = useSettled(text.trim());
  const { pages, run, enable } = useUsers(query);
  const [asked, setAsked] = useState<Asked>();
  return (
    <Section
      title="People"
      text="Everybody who has an account here."
      actions={<Search label="Search by name" testId="user-search" value={text} onChange={setText} className="w-60" />}
    >
      <ListState
        count={pages.items?.length}
        error={pages.error}
        onRetry={pages.reload}
        empty="Nobody has a name that begins like this."
      >
        <Table
          label="People"
          columns={[
            'Name',
            'Role',
            'Mail',
            { text: 'Sessions', number: true },
            'Last seen',
            { text: 'Actions', hidden: true },
          ]}
        >
          {pages.items?.map((entry) => (
            <UserRow
              key={entry.user.id}
              entry={entry}
              me={me}
              onRole={(role) => setAsked({ what: 'role', user: entry.user, role })}
              onDisable={() => setAsked({ what: 'disable', user: entry.user })}
              onEnable={() => void enable(entry.user)}
              onEndSessions={() => setAsked({ what: 'sessions', user: entry.user })}
            />
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
      {asked && (
        <Confirm
          {...question(asked)}
          text={TEXTS[asked.what]}
          onConfirm={() => void run(asked)}
          onClose={() => setAsked(undefined)}
        />
      )}
    </Section>
  );
}
