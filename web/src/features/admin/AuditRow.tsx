import { useModel } from '../../app/hooks';
import type { AuditEntry } from '../../model/admin';
import { Cell } from '../../ui/Table';
import { NameOf } from '../shared/Person';
import { When } from '../shared/When';

interface AuditRowProps {
  entry: AuditEntry;
  onActor: () => void;
  onSubject: () => void;
}

const AN_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A room that we are in by its name, somebody by theirs, anything else by its id. */
function Named({ id }: { id: string }) {
  const room = useModel((state) => state.rooms[id]?.room.name);
  return room ?? <NameOf id={id} />;
}

const LINK = 'rounded text-left underline-offset-2 hover:underline';

export function AuditRow({ entry, onActor, onSubject }: AuditRowProps) {
  const { seq, at, actorId, action, subjectId, details, address, trace, hash } = entry;
  return (
    <tr data-testid="audit-row" data-seq={seq} data-action={action}>
      <Cell number className="text-ink-faint">
        <span title={`SHA-256 ${hash}`}>{seq}</span>
      </Cell>
      <Cell className="text-ink-soft">
        <When at={at} />
      </Cell>
      <Cell>
        {actorId ? (
          <button type="button" title="Only what they did" className={LINK} onClick={onActor}>
            <NameOf id={actorId} />
          </button>
        ) : (
          <span className="text-ink-faint">nobody</span>
        )}
      </Cell>
      <Cell className="whitespace-nowrap font-mono text-[12.5px]">
        <span title={trace ? `Trace ${trace}` : undefined}>{action}</span>
      </Cell>
      <Cell>
        {subjectId ? (
          <button type="button" title="Only what was done to this" className={LINK} onClick={onSubject}>
            <Named id={subjectId} />
          </button>
        ) : (
          '—'
        )}
      </Cell>
      <Cell className="max-w-72 text-[13px] text-ink-soft">
        {details.map(([name, value]) => (
          <span key={name} className="mr-2 inline-block max-w-full truncate align-bottom" title={`${name}: ${value}`}>
            <span className="text-ink-faint">{name.replaceAll('_', ' ')}</span>{' '}
            {AN_ID.test(value) ? <Named id={value} /> : value}
          </span>
        ))}
      </Cell>
      <Cell className="whitespace-nowrap font-mono text-[12.5px] text-ink-soft">{address || '—'}</Cell>
    </tr>
  );
}
