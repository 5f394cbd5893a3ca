import { ShieldAlert, ShieldCheck } from 'lucide-react';
import { useCallback, useMemo, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { telling } from '../../app/toasts';
import { useSettled } from '../../app/useSettled';
import type { AuditFilter, AuditLog, Verdict } from '../../model/admin';
import { Button } from '../../ui/Button';
import { ListState, More } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Search } from '../../ui/Search';
import { Select } from '../../ui/Select';
import { Table } from '../../ui/Table';
import { AuditRow } from './AuditRow';

const LOGS = [
  ['accounts', 'Accounts'],
  ['rooms', 'Rooms'],
  ['jobs', 'Jobs'],
] as const;

const KINDS = {
  accounts: [
    ['', 'Everything'],
    ['user.', 'Accounts'],
    ['session.', 'Sessions'],
    ['login.', 'Failed sign-ins'],
    ['password.', 'Passwords'],
    ['email.', 'Mail addresses'],
    ['token.', 'Access tokens'],
    ['invite.', 'Invitations'],
    ['bot.', 'Bots'],
  ],
  rooms: [
    ['', 'Everything'],
    ['room.', 'Rooms'],
    ['member.', 'Members'],
    ['message.', 'Messages'],
    ['webhook.', 'Incoming webhooks'],
  ],
  jobs: [
    ['', 'Everything'],
    ['message.', 'Failed messages'],
    ['job.', 'Jobs'],
    ['webhook.', 'Webhooks'],
  ],
} as const;

const TEXTS = {
  accounts: 'What was done to accounts, sessions, tokens and invitations.',
  rooms: 'What was done to rooms and their members by those who manage them. What people say is not in it.',
  jobs: 'What was done to failed messages, jobs and webhooks.',
} as const;

const NOBODY = { actorId: '', subjectId: '' };

export function Audit() {
  const [log, setLog] = useState<AuditLog>('accounts');
  const choice = (
    <Select
      label="Log"
      bare
      data-testid="audit-log"
      value={log}
      options={LOGS}
      onChange={(event) => setLog(event.target.value as AuditLog)}
    />
  );
  return (
    <Section
      title="Audit log"
      text={`${TEXTS[log]} Entries are never changed, and each is chained to the one before.`}
      actions={choice}
    >
      <Verification key={`chain-${log}`} log={log} />
      <Entries key={log} log={log} />
    </Section>
  );
}

function Entries({ log }: { log: AuditLog }) {
  const { admin } = useEngine();
  const [kind, setKind] = useState('');
  const [text, setText] = useState('');
  const [people, setPeople] = useState(NOBODY);
  const action = useSettled(text.trim()) || kind;
  const filter = useMemo<AuditFilter>(() => ({ ...people, action }), [people, action]);
  const pages = usePages(useCallback((before?: bigint) => admin.audit(log, filter, before), [admin, log, filter]));
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <Select
          label="Kind"
          bare
          data-testid="audit-kind"
          value={kind}
          options={KINDS[log]}
          onChange={(event) => {
            setKind(event.target.value);
            setText('');
          }}
        />
        <Search label="Action begins with…" testId="audit-action" value={text} onChange={setText} className="w-52" />
        {(people.actorId || people.subjectId) && (
          <Button size="small" data-testid="audit-everybody" onClick={() => setPeople(NOBODY)}>
            {people.actorId ? 'By everybody' : 'To everything'}
          </Button>
        )}
        <Button size="small" tone="quiet" className="ml-auto" busy={pages.busy} onClick={pages.reload}>
          Refresh
        </Button>
      </div>
      <ListState
        count={pages.items?.length}
        error={pages.error}
        onRetry={pages.reload}
        empty="Nothing like this has happened."
      >
        <Table
          label="Audit log"
          columns={[{ text: 'No.', number: true }, 'When', 'Who', 'What', 'To', 'Facts', 'From']}
        >
          {pages.items?.map((entry) => (
            <AuditRow
              key={entry.seq}
              entry={entry}
              onActor={() => setPeople({ ...NOBODY, actorId: entry.actorId })}
              onSubject={() => setPeople({ ...NOBODY, subjectId: entry.subjectId })}
            />
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
    </>
  );
}

function Verification({ log }: { log: AuditLog }) {
  const { admin } = useEngine();
  const [busy, setBusy] = useState(false);
  const [verdict, setVerdict] = useState<Verdict>();
  const verify = async () => {
    setBusy(true);
    setVerdict(undefined);
    setVerdict(await telling(admin.verify(log)));
    setBusy(false);
  };
  return (
    <div className="flex flex-wrap items-center gap-3">
      <Button size="small" busy={busy} data-testid="audit-verify" onClick={() => void verify()}>
        {busy ? 'Verifying…' : 'Verify the chain'}
      </Button>
      {verdict && <Outcome verdict={verdict} />}
    </div>
  );
}

function Outcome({ verdict }: { verdict: Verdict }) {
  const { intact, firstBrokenSeq, entries, headSeq, headHash } = verdict;
  return (
    <div
      role="status"
      data-testid="audit-verdict"
      data-intact={intact}
      className={`flex min-w-0 flex-1 basis-80 items-start gap-2.5 rounded-xl px-3.5 py-2.5 text-sm ${intact ? 'bg-good/12' : 'bg-danger-soft'}`}
    >
      {intact ? (
        <ShieldCheck size={18} className="shrink-0 text-good" />
      ) : (
        <ShieldAlert size={18} className="shrink-0 text-danger" />
      )}
      <div className="min-w-0">
        <p className="font-medium">
          {intact
            ? `The chain is whole: ${entries.toLocaleString()} ${entries === 1 ? 'entry is' : 'entries are'} as written.`
            : `The chain is broken at entry ${firstBrokenSeq.toLocaleString()}: it is missing or was changed.`}
        </p>
        <p className="text-[13px] text-ink-soft">
          Entry {headSeq.toLocaleString()} is the newest. Keep its hash elsewhere to be able to prove it later:
        </p>
        <code className="block break-all font-mono text-[12px]">{headHash || '—'}</code>
      </div>
    </div>
  );
}
