import { type TextareaHTMLAttributes, useId } from 'react';
import { cx } from './cx';

interface TextAreaProps extends TextareaHTMLAttributes<HTMLTextAreaElement> {
  label: string;
  hint?: string;
  error?: string;
}

export function TextArea({ label, hint, error, className, ...rest }: TextAreaProps) {
  const id = useId();
  const note = error || hint;
  return (
    <div className={cx('flex flex-col gap-1.5', className)}>
      <label htmlFor={id} className="font-medium text-ink text-sm">
        {label}
      </label>
      <textarea
        id={id}
        aria-invalid={error ? true : undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        className={cx(
          'min-h-20 resize-y rounded-lg border bg-raised px-3 py-2 text-ink placeholder:text-ink-faint',
          'focus-visible:border-loquat focus-visible:outline-2 focus-visible:outline-loquat/40 focus-visible:outline-offset-0',
          error ? 'border-danger' : 'border-line',
        )}
        {...rest}
      />
      {note && (
        <p id={`${id}-note`} className={cx('text-[13px]', error ? 'text-danger' : 'text-ink-faint')}>
          {note}
        </p>
      )}
    </div>
  );
}
