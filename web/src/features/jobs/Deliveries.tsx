import { useCallback } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { ListState, More } from '../../ui/Notices';
import { Cell, Table, Tag } from '../../ui/Table';
import { When } from '../shared/When';

const COLUMNS = ['When', 'Event', 'Answer', { text: 'Took', number: true }, 'Id'];

export function Deliveries({ webhookId }: { webhookId: string }) {
  const { jobs } = useEngine();
  const pages = usePages(useCallback((from?: string) => jobs.deliveries(webhookId, from), [jobs, webhookId]));
  return (
    <div className="mt-4">
      <ListState count={pages.items?.length} error={pages.error} onRetry={pages.reload} empty="Nothing was sent yet.">
        <Table label="Deliveries" columns={COLUMNS}>
          {pages.items?.map((delivery) => (
            <tr key={delivery.id} data-testid="delivery-row">
              <Cell className="text-ink-soft">
                <When at={delivery.at} />
              </Cell>
              <Cell className="font-mono text-[13px]">{delivery.event}</Cell>
              <Cell className="max-w-72">
                {delivery.error ? (
                  <span className="block truncate text-danger" title={delivery.error}>
                    {delivery.status > 0 && `${delivery.status} · `}
                    {delivery.error}
                  </span>
                ) : (
                  <Tag tone="good">{delivery.status}</Tag>
                )}
              </Cell>
              <Cell number>{delivery.durationMs.toLocaleString()} ms</Cell>
              <Cell className="max-w-40 truncate font-mono text-[12.5px] text-ink-faint">{delivery.messageId}</Cell>
            </tr>
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
    </div>
  );
}
