/** One failed message: why, its trace, and what it carried. */
import { type ReactNode, useCallback } from 'react';
import { useEngine } from '../../app/hooks';
import { useLoad } from '../../app/loading';
import { notify } from '../../app/toasts';
import { type FailedMessage, laidOut, traceId } from '../../model/jobs';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { Failed, Waiting } from '../../ui/Notices';
import { When } from '../shared/When';

interface FailedMessageViewProps {
  message: FailedMessage;
  onClose: () => void;
  onRetry: () => void;
  onDiscard: () => void;
}

function copy(text: string): void {
  navigator.clipboard.writeText(text).then(
    () => notify('Copied.'),
    () => notify('The browser did not allow copying.', 'error'),
  );
}

export function FailedMessageView({ message, onClose, onRetry, onDiscard }: FailedMessageViewProps) {
  const { jobs } = useEngine();
  const { value, error, reload } = useLoad(useCallback(() => jobs.failedMessage(message.id), [jobs, message.id]));
  const shown = value ?? message;
  const trace = traceId(shown.traceparent);
  return (
    <Dialog open wide onClose={onClose} title="Failed message" testId="failed-message">
      <div className="flex min-h-0 flex-col gap-4 overflow-y-auto px-5 pb-4">
        <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-sm">
          <Fact name="Queue">{shown.queue}</Fact>
          <Fact name="Type">{shown.type || 'not said'}</Fact>
          <Fact name="Failed">
            <When at={shown.failedAt} /> after {shown.attempts} {shown.attempts === 1 ? 'try' : 'tries'}
          </Fact>
          <Fact name="Sent">
            <When at={shown.sentAt} never="not said" />
          </Fact>
          <Fact name="Message">
            <code className="break-all font-mono text-[13px]">{shown.messageId || 'not said'}</code>
          </Fact>
          <Fact name="Trace">
            <code data-testid="failed-trace" className="break-all font-mono text-[13px]">
              {trace || 'not known'}
            </code>
          </Fact>
        </dl>
        <Block
          label="Error"
          testId="failed-error"
          text={shown.error || 'No consumer of the queue understands its type.'}
          bad
        />
        {error && <Failed text={error} onRetry={reload} />}
        {!value && !error && <Waiting text="Fetching what it carried…" />}
        {value && <Block label="Payload" testId="failed-payload" text={laidOut(value.envelope)} />}
      </div>
      <div className="flex justify-end gap-2 border-line border-t px-5 py-3">
        {value && (
          <Button tone="quiet" className="mr-auto" onClick={() => copy(value.envelope)}>
            Copy payload
          </Button>
        )}
        <Button data-testid="failed-discard" onClick={onDiscard}>
          Discard…
        </Button>
        <Button tone="primary" data-testid="failed-message-retry" onClick={onRetry}>
          Retry
        </Button>
      </div>
    </Dialog>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-ink-faint">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Block({ label, testId, text, bad }: { label: string; testId: string; text: string; bad?: boolean }) {
  return (
    <section aria-label={label} className="min-w-0">
      <h3 className="mb-1 font-medium text-sm">{label}</h3>
      <pre
        data-testid={testId}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and must do so by keyboard as well
        tabIndex={0}
        className={`max-h-72 overflow-auto whitespace-pre-wrap break-words rounded-lg px-3 py-2 font-mono text-[12.5px] leading-relaxed ${bad ? 'bg-danger-soft text-danger' : 'bg-sunken'}`}
      >
        {text}
      </pre>
    </section>
  );
}
