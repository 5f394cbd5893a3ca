import type { SelectHTMLAttributes } from 'react';
import { cx } from './cx';
import { Labelled, type LabelledProps } from './Labelled';

interface SelectProps extends LabelledProps, SelectHTMLAttributes<HTMLSelectElement> {
  /** The label is only read out. */
  bare?: boolean;
  options: readonly (readonly [value: string, label: string])[];
}

export function Select({ label, bare, hint, error, options, className, ...rest }: SelectProps) {
  return (
    <Labelled label={label} bare={bare} hint={hint} error={error} className={className}>
      {(control) => (
        <select
          {...control}
          className={cx('px-2.5 disabled:opacity-55', bare ? 'h-9 text-sm' : 'h-10', control.className)}
          {...rest}
        >
          {options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Labelled>
  );
}
