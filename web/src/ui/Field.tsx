import type { InputHTMLAttributes } from 'react';
import { cx } from './cx';
import { Labelled, type LabelledProps } from './Labelled';

export function Field({
  label,
  hint,
  error,
  className,
  ...rest
}: LabelledProps & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <Labelled label={label} hint={hint} error={error} className={className}>
      {(control) => (
        <input {...control} className={cx('h-10 px-3 placeholder:text-ink-faint', control.className)} {...rest} />
      )}
    </Labelled>
  );
}
