/** Several of several: a group of boxes to tick, with what each means. */
import { cx } from './cx';

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly hint?: string;
}

interface ChecksProps {
  legend: string;
  name: string;
  choices: readonly Choice[];
  chosen?: readonly string[];
  error?: string;
  columns?: boolean;
}

export function Checks({ legend, name, choices, chosen = [], error, columns }: ChecksProps) {
  return (
    <fieldset className="min-w-0" aria-invalid={error ? true : undefined}>
      <legend className="mb-1.5 font-medium text-ink text-sm">{legend}</legend>
      <div
        className={cx(
          'grid max-h-60 gap-x-4 gap-y-0.5 overflow-y-auto rounded-lg border bg-raised p-2',
          columns && 'sm:grid-cols-2',
          error ? 'border-danger' : 'border-line',
        )}
      >
        {choices.map(({ value, label, hint }) => (
          <label key={value} className="flex cursor-pointer items-start gap-2.5 rounded-md px-1.5 py-1 hover:bg-sunken">
            <input
              type="checkbox"
              name={name}
              value={value}
              defaultChecked={chosen.includes(value)}
              className="mt-1 size-4 shrink-0 accent-loquat"
            />
            <span className="min-w-0 text-sm leading-snug">
              <span className="block truncate font-medium">{label}</span>
              {hint && <span className="block text-[13px] text-ink-soft">{hint}</span>}
            </span>
          </label>
        ))}
      </div>
      {error && <p className="mt-1.5 text-[13px] text-danger">{error}</p>}
    </fieldset>
  );
}
