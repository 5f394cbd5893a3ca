import { type ReactNode, useId } from 'react';
import { cx } from './cx';

/** What every control of a form has: a label, and a hint or an error below it. */
export interface LabelledProps {
  label: string;
  hint?: string;
  error?: string;
}

interface Control {
  id: string;
  className: string;
  'aria-invalid': true | undefined;
  'aria-describedby': string | undefined;
}

interface Props extends LabelledProps {
  className?: string;
  /** The label is only read out. */
  bare?: boolean;
  /** Makes the control itself from what it needs to belong to its label. */
  children: (control: Control) => ReactNode;
}

export function Labelled({ label, hint, error, className, bare, children }: Props) {
  const id = useId();
  const note = error || hint;
  return (
    <div className={cx('flex flex-col gap-1.5', className)}>
      <label htmlFor={id} className={bare ? 'sr-only' : 'font-medium text-ink text-sm'}>
        {label}
      </label>
      {children({
        id,
        className: cx(
          'rounded-lg border bg-raised text-ink',
          'focus-visible:border-loquat focus-visible:outline-2 focus-visible:outline-loquat/40 focus-visible:outline-offset-0',
          error ? 'border-danger' : 'border-line',
        ),
        'aria-invalid': error ? true : undefined,
        'aria-describedby': note ? `${id}-note` : undefined,
      })}
      {note && (
        <p id={`${id}-note`} className={cx('text-[13px]', error ? 'text-danger' : 'text-ink-faint')}>
          {note}
        </p>
      )}
    </div>
  );
}
