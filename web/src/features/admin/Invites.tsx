import { Plus } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine, useModel } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { telling } from '../../app/toasts';
import { type Invite, type InviteWish, inviteState, ROLE_NAMES } from '../../model/admin';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { ListState, More } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Secret } from '../../ui/Secret';
import { Cell, Table, Tag } from '../../ui/Table';
import { NameOf } from '../shared/Person';
import { When } from '../shared/When';
import { InviteForm } from './InviteForm';

const STATES = {
  open: ['good', 'Open'],
  revoked: ['bad', 'Revoked'],
  over: ['plain', 'Over'],
  'used-up': ['plain', 'Used up'],
} as const;

export function Invites() {
  const { admin } = useEngine();
  const pages = usePages(useCallback((from?: string) => admin.invites(from), [admin]));
  const [creating, setCreating] = useState(false);
  const [link, setLink] = useState('');
  const [asking, setAsking] = useState<Invite>();
  const create = async (wish: InviteWish) => {
    setLink(await admin.createInvite(wish));
    setCreating(false);
    pages.reload();
  };
  const revoke = async ({ id }: Invite) => {
    if (!(await telling(admin.revokeInvite(id).then(() => true)))) return;
    pages.change((items) => items.map((item) => (item.id === id ? { ...item, revoked: true } : item)));
  };
  const actions = (
    <Button tone="primary" size="small" data-testid="invite-new" onClick={() => setCreating(true)}>
      <Plus size={15} /> New invitation
    </Button>
  );
  const columns = ['State', 'For', 'Role', 'Rooms', 'Used', 'Ends', 'Made by', { text: 'Actions', hidden: true }];
  return (
    <Section
      title="Invitations"
      text="Whoever has the link may make an account, and is added to its rooms."
      actions={actions}
    >
      {link && (
        <Secret
          title="The link to pass on"
          text="Copy it now: it is not shown again."
          value={link}
          testId="invite-link"
          onDone={() => setLink('')}
        />
      )}
      <ListState
        count={pages.items?.length}
        error={pages.error}
        onRetry={pages.reload}
        empty="Nobody was invited by link yet."
      >
        <Table label="Invitations" columns={columns}>
          {pages.items?.map((invite) => (
            <InviteRow key={invite.id} invite={invite} onRevoke={() => setAsking(invite)} />
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
      {creating && <InviteForm onClose={() => setCreating(false)} onCreate={create} />}
      {asking && (
        <Confirm
          title="Revoke this invitation?"
          text="Its link stops working at once. Whoever used it stays."
          action="Revoke"
          onConfirm={() => void revoke(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Section>
  );
}

function InviteRow({ invite, onRevoke }: { invite: Invite; onRevoke: () => void }) {
  const state = inviteState(invite, Date.now());
  const [tone, label] = STATES[state];
  return (
    <tr data-testid="invite-row" data-state={state}>
      <Cell>
        <Tag tone={tone}>{label}</Tag>
      </Cell>
      <Cell className="max-w-56 truncate">{invite.note || '—'}</Cell>
      <Cell>{ROLE_NAMES[invite.role]}</Cell>
      <Cell className="max-w-56 truncate text-ink-soft">
        <RoomNames ids={invite.roomIds} />
      </Cell>
      <Cell className="tabular-nums">
        {invite.uses}
        {invite.maxUses > 0 && ` of ${invite.maxUses}`}
      </Cell>
      <Cell className="text-ink-soft">
        <When at={invite.expiresAt} />
      </Cell>
      <Cell>
        <NameOf id={invite.createdBy} />
      </Cell>
      <Cell className="text-right">
        {state === 'open' && (
          <Button size="small" data-testid="invite-revoke" onClick={onRevoke}>
            Revoke
          </Button>
        )}
      </Cell>
    </tr>
  );
}

/** Rooms that we are not in have no name here. */
function RoomNames({ ids }: { ids: readonly string[] }) {
  const rooms = useModel((state) => state.rooms);
  if (ids.length === 0) return <>—</>;
  const known = ids.flatMap((id) => rooms[id]?.room.name ?? []);
  const others = ids.length - known.length;
  const more = others > 0 ? [`${others} ${known.length > 0 ? 'more' : others === 1 ? 'room' : 'rooms'}`] : [];
  return <>{[...known, ...more].join(', ')}</>;
}
