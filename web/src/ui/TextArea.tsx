import type { TextareaHTMLAttributes } from 'react';
import { cx } from './cx';
import { Labelled, type LabelledProps } from './Labelled';

export function TextArea({
  label,
  hint,
  error,
  className,
  ...rest
}: LabelledProps & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  return (
    <Labelled label={label} hint={hint} error={error} className={className}>
      {(control) => (
        <textarea
          {...control}
          className={cx('min-h-20 resize-y px-3 py-2 placeholder:text-ink-faint', control.className)}
          {...rest}
        />
      )}
    </Labelled>
  );
}
