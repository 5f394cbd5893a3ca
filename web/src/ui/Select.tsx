import { type SelectHTMLAttributes, useId } from 'react';
import { cx } from './cx';

interface SelectProps extends SelectHTMLAttributes<HTMLSelectElement> {
  label: string;
  /** The label is only read out. */
  bare?: boolean;
  hint?: string;
  error?: string;
  options: readonly (readonly [value: string, label: string])[];
}

export function Select({ label, bare, hint, error, options, className, ...rest }: SelectProps) {
  const id = useId();
  const note = error || hint;
  return (
    <div className={cx('flex flex-col gap-1.5', className)}>
      <label htmlFor={id} className={bare ? 'sr-only' : 'font-medium text-ink text-sm'}>
        {label}
      </label>
      <select
        id={id}
        aria-invalid={error ? true : undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        className={cx(
          'rounded-lg border bg-raised px-2.5 text-ink disabled:opacity-55',
          'focus-visible:border-loquat focus-visible:outline-2 focus-visible:outline-loquat/40 focus-visible:outline-offset-0',
          bare ? 'h-9 text-sm' : 'h-10',
          error ? 'border-danger' : 'border-line',
        )}
        {...rest}
      >
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      {note && (
        <p id={`${id}-note`} className={cx('text-[13px]', error ? 'text-danger' : 'text-ink-faint')}>
          {note}
        </p>
      )}
    </div>
  );
}
