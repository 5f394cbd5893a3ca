import type { Watched } from '../../model/jobs';
import { Button } from '../../ui/Button';
import { Cell, Table, Tag } from '../../ui/Table';
import { spanOf } from '../shared/ago';

interface QueuesProps {
  watched: Watched;
  chosen: string;
  onChoose: (queue: string) => void;
}

const COLUMNS = [
  'Queue',
  { text: 'Waiting', number: true },
  { text: 'In hand', number: true },
  { text: 'Put off', number: true },
  { text: 'Oldest', number: true },
  { text: 'Handled', number: true },
  { text: 'Failed', number: true },
  { text: 'Not understood', number: true },
  { text: 'Actions', hidden: true },
];

export function Queues({ watched, chosen, onChoose }: QueuesProps) {
  return (
    <Table label="Queues" columns={COLUMNS}>
      {watched.queues.map((queue) => (
        <tr key={queue.name} data-testid="queue-row" data-queue={queue.name} data-failed={queue.failed + queue.skipped}>
          <Cell className="font-mono text-[13px]">{queue.name}</Cell>
          <Cell number>{queue.ready.toLocaleString()}</Cell>
          <Cell number>{queue.inFlight.toLocaleString()}</Cell>
          <Cell number>{queue.delayed.toLocaleString()}</Cell>
          <Cell number>{queue.oldestAt ? spanOf(watched.at - queue.oldestAt) : '—'}</Cell>
          <Cell number>{queue.handled.toLocaleString()}</Cell>
          <Cell number>{queue.failed > 0 ? <Tag tone="bad">{queue.failed.toLocaleString()}</Tag> : '0'}</Cell>
          <Cell number>{queue.skipped > 0 ? <Tag tone="warn">{queue.skipped.toLocaleString()}</Tag> : '0'}</Cell>
          <Cell className="text-right">
            {queue.failed + queue.skipped > 0 && chosen !== queue.name && (
              <Button size="small" onClick={() => onChoose(queue.name)}>
                Show
              </Button>
            )}
          </Cell>
        </tr>
      ))}
    </Table>
  );
}
