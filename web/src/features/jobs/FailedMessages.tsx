import { useCallback, useEffect, useRef, useState } from 'react';
import { useEngine } from '../../app/hooks';
import { usePages } from '../../app/loading';
import { notify, telling } from '../../app/toasts';
import type { FailedMessage } from '../../model/jobs';
import { Button } from '../../ui/Button';
import { Confirm } from '../../ui/Confirm';
import { ListState, More } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { Select } from '../../ui/Select';
import { Cell, Table, Tag } from '../../ui/Table';
import { When } from '../shared/When';
import { FailedMessageView } from './FailedMessageView';

interface FailedMessagesProps {
  /** Only of this one; empty for all. */
  queue: string;
  queues: readonly string[];
  /** How many there are in all queues: when it changes, the list is asked for again. */
  count: number | undefined;
  onQueue: (queue: string) => void;
}

function useFailed(queue: string, count: number | undefined) {
  const { jobs } = useEngine();
  const pages = usePages(useCallback((from?: string) => jobs.failed(queue, from), [jobs, queue]));
  const { reload } = pages;
  const latest = useRef(reload);
  useEffect(() => {
    latest.current = reload;
  });
  const first = useRef(count);
  useEffect(() => {
    if (first.current !== undefined && first.current !== count) latest.current();
    first.current = count;
  }, [count]);
  const gone = (id: string) => pages.change((items) => items.filter((item) => item.id !== id));
  const retry = async ({ id }: FailedMessage) => {
    if (!(await telling(jobs.retry(id).then(() => true)))) return;
    gone(id);
    notify('It is back in its queue.');
  };
  const discard = async ({ id }: FailedMessage) => {
    if (await telling(jobs.discard(id).then(() => true))) gone(id);
  };
  return { pages, retry, discard };
}

export function FailedMessages({ queue, queues, count, onQueue }: FailedMessagesProps) {
  const { pages, retry, discard } = useFailed(queue, count);
  const [shown, setShown] = useState<FailedMessage>();
  const [asking, setAsking] = useState<FailedMessage>();
  const names = [...new Set([...queues, queue])].filter(Boolean);
  const filter = (
    <Select
      label="Queue"
      bare
      data-testid="failed-queue"
      value={queue}
      options={[['', 'All queues'], ...names.map((name) => [name, name] as const)]}
      onChange={(event) => onQueue(event.target.value)}
    />
  );
  return (
    <Section title="Failed messages" text="Tried to the end, or understood by nobody." actions={filter}>
      <ListState count={pages.items?.length} error={pages.error} onRetry={pages.reload} empty="Nothing has failed.">
        <Table
          label="Failed messages"
          columns={[
            'When',
            'Queue',
            'Type',
            'Error',
            { text: 'Tries', number: true },
            { text: 'Actions', hidden: true },
          ]}
        >
          {pages.items?.map((message) => (
            <FailedRow
              key={message.id}
              message={message}
              onShow={() => setShown(message)}
              onRetry={() => retry(message)}
            />
          ))}
        </Table>
        <More shown={pages.more} busy={pages.busy} onMore={pages.loadMore} />
      </ListState>
      {shown && (
        <FailedMessageView
          message={shown}
          onClose={() => setShown(undefined)}
          onRetry={() => {
            setShown(undefined);
            void retry(shown);
          }}
          onDiscard={() => {
            setShown(undefined);
            setAsking(shown);
          }}
        />
      )}
      {asking && (
        <Confirm
          title="Discard this message?"
          text="What it asked for will not happen. This cannot be undone."
          action="Discard"
          onConfirm={() => void discard(asking)}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Section>
  );
}

interface FailedRowProps {
  message: FailedMessage;
  onShow: () => void;
  onRetry: () => Promise<void>;
}

function FailedRow({ message, onShow, onRetry }: FailedRowProps) {
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    await onRetry();
    setBusy(false);
  };
  return (
    <tr data-testid="failed-row" data-queue={message.queue}>
      <Cell className="text-ink-soft">
        <When at={message.failedAt} />
      </Cell>
      <Cell className="font-mono text-[13px]">{message.queue}</Cell>
      <Cell className="max-w-48 truncate">{message.type.replace(/^urn:message:/, '') || '—'}</Cell>
      <Cell className="max-w-48">
        <span className="block truncate text-danger" title={message.error}>
          {message.skipped ? <Tag tone="warn">Not understood</Tag> : message.error || '—'}
        </span>
      </Cell>
      <Cell number>{message.attempts}</Cell>
      <Cell className="whitespace-nowrap text-right">
        <Button size="small" tone="quiet" data-testid="failed-show" onClick={onShow}>
          Show
        </Button>{' '}
        <Button size="small" busy={busy} data-testid="failed-retry" onClick={() => void retry()}>
          Retry
        </Button>
      </Cell>
    </tr>
  );
}
