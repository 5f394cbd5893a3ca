import { Monitor, Smartphone } from 'lucide-react';
import { useCallback, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { notify, telling } from '../../app/toasts';
import { deviceName, type SessionInfo } from '../../model/account';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { ListState } from '../../ui/Notices';
import { Card, Section } from '../../ui/Page';
import { Tag } from '../../ui/Table';
import { When } from '../shared/When';

export function Sessions() {
  const { account } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => account.sessions(), [account]));
  const [asking, setAsking] = useState(false);
  const others = value?.filter((session) => !session.current).length ?? 0;
  const end = async (session: SessionInfo) => {
    if (await telling(account.endSession(session.id).then(() => true))) reload();
  };
  const endOthers = async () => {
    const count = await telling(account.endOtherSessions());
    if (count === undefined) return;
    notify(count === 1 ? 'One session was ended.' : `${count} sessions were ended.`);
    reload();
  };
  const actions = others > 0 && (
    <Button size="small" data-testid="end-other-sessions" onClick={() => setAsking(true)}>
      End all others
    </Button>
  );
  return (
    <Section
      title="Sessions"
      text="Where you are signed in. An ended one is signed out within a second."
      actions={actions}
    >
      <ListState count={value?.length} error={error} onRetry={reload} empty="You are signed in nowhere.">
        <Card>
          <ul className="divide-y divide-line">
            {value?.map((session) => (
              <SessionItem key={session.id} session={session} onEnd={() => end(session)} />
            ))}
          </ul>
        </Card>
      </ListState>
      {asking && (
        <Confirm
          title="End all other sessions?"
          text="You stay signed in here, and have to sign in again everywhere else."
          action="End them"
          onConfirm={() => void endOthers()}
          onClose={() => setAsking(false)}
        />
      )}
    </Section>
  );
}

function SessionItem({ session, onEnd }: { session: SessionInfo; onEnd: () => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  const name = deviceName(session.device);
  const Icon = /Android|iOS/.test(name) ? Smartphone : Monitor;
  const end = async () => {
    setBusy(true);
    await onEnd();
    setBusy(false);
  };
  return (
    <li data-testid="session-item" data-current={session.current} className="flex items-center gap-3.5 px-4 py-3">
      <Icon size={20} className="shrink-0 text-ink-faint" aria-hidden="true" />
      <div className="min-w-0 flex-1">
        <p className="flex flex-wrap items-center gap-x-2 font-medium text-sm" title={session.device}>
          <span className="min-w-0 truncate">{name}</span>
          {session.current && <Tag tone="good">This one</Tag>}
        </p>
        <p className="text-[13px] text-ink-faint">
          {session.address || 'Unknown place'} · used <When at={session.lastUsedAt} /> · since{' '}
          <When at={session.createdAt} />
        </p>
      </div>
      {!session.current && (
        <Button
          size="small"
          busy={busy}
          data-testid="end-session"
          aria-label={`End ${name}`}
          onClick={() => void end()}
        >
          End
        </Button>
      )}
    </li>
  );
}
