/** What stands where a list would be: nothing yet, nothing at all, or what went wrong. */
import type { ReactNode } from 'react';
import { Button } from './Button';

export function Waiting({ text = 'Loading…' }: { text?: string }) {
  return <output className="block px-4 py-10 text-center text-ink-faint text-sm">{text}</output>;
}

export function Empty({ icon, children }: { icon?: ReactNode; children: ReactNode }) {
  return (
    <div data-testid="empty" className="flex flex-col items-center gap-3 px-4 py-10 text-center text-ink-faint text-sm">
      {icon}
      <p className="max-w-sm">{children}</p>
    </div>
  );
}

export function Failed({ text, onRetry }: { text: string; onRetry: () => void }) {
  return (
    <div role="alert" className="flex flex-wrap items-center justify-center gap-3 px-4 py-8 text-ink-soft text-sm">
      {text}
      <Button size="small" onClick={onRetry}>
        Try again
      </Button>
    </div>
  );
}

export function FormError({ text }: { text: string | undefined }) {
  if (!text) return null;
  return (
    <p role="alert" data-testid="form-error" className="rounded-lg bg-danger-soft px-3 py-2 text-danger text-sm">
      {text}
    </p>
  );
}

interface ListStateProps {
  /** How many there are; nothing while that is not known. */
  count: number | undefined;
  error: string;
  onRetry: () => void;
  empty: ReactNode;
  children: ReactNode;
}

/** The list when there is one; else why not. What is held stays while an error is told. */
export function ListState({ count, error, onRetry, empty, children }: ListStateProps) {
  return (
    <>
      {error && <Failed text={error} onRetry={onRetry} />}
      {count === undefined && !error && <Waiting />}
      {count === 0 && !error && <Empty>{empty}</Empty>}
      {count !== undefined && count > 0 && children}
    </>
  );
}

export function More({ shown, busy, onMore }: { shown: boolean; busy: boolean; onMore: () => void }) {
  if (!shown) return null;
  return (
    <div className="flex justify-center py-4">
      <Button size="small" busy={busy} onClick={onMore} data-testid="load-more">
        Show more
      </Button>
    </div>
  );
}
