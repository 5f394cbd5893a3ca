import { cx } from './cx';

interface SearchProps {
  label: string;
  value: string;
  testId?: string;
  className?: string;
  onChange: (value: string) => void;
}

export function Search({ label, value, testId, className, onChange }: SearchProps) {
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={label}
      data-testid={testId}
      autoComplete="off"
      value={value}
      onChange={(event) => onChange(event.target.value)}
      className={cx(
        'h-9 min-w-0 rounded-lg border border-line bg-raised px-3 text-sm placeholder:text-ink-faint',
        className,
      )}
    />
  );
}
