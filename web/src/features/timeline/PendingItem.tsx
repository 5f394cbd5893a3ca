/** A message of one's own that the server has not acknowledged. */
import { Clock3, TriangleAlert } from 'lucide-react';
import { useEngine, useMe } from '../../app/hooks';
import { sizeText } from '../../model/files';
import type { OutboxEntry } from '../../model/types';
import { Button } from '../../ui/Button';
import { MessageFrame } from './MessageItem';
import { MessageText } from './MessageText';

export function PendingItem({ entry, first }: { entry: OutboxEntry; first: boolean }) {
  const { dispatch } = useEngine();
  const me = useMe();
  const { opId, text, attachments, createdAt, status } = entry;
  return (
    <MessageFrame
      authorId={me.id}
      name={me.displayName}
      at={createdAt}
      first={first}
      faded={status !== 'failed'}
      testData={{ 'data-testid': 'pending-item', 'data-status': status }}
    >
      {text && <MessageText text={text} />}
      {attachments.map(({ file }) => (
        <p key={file.id} className="text-ink-soft text-sm">
          {file.name} · {sizeText(file.size)}
        </p>
      ))}
      {status === 'queued' && (
        <p className="flex items-center gap-1.5 text-[12px] text-ink-faint">
          <Clock3 size={12} /> Waiting to be sent
        </p>
      )}
      {status === 'failed' && (
        <div className="mt-1 flex flex-wrap items-center gap-x-2 gap-y-1 text-[13px] text-danger">
          <TriangleAlert size={14} className="shrink-0" />
          <span>Not sent: {entry.error}</span>
          <Button size="small" onClick={() => dispatch({ type: 'outbox_requeued', opId })}>
            Retry
          </Button>
          <Button tone="quiet" size="small" onClick={() => dispatch({ type: 'outbox_dropped', opId })}>
            Discard
          </Button>
        </div>
      )}
    </MessageFrame>
  );
}
