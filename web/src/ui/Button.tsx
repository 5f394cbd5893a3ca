import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { cx } from './cx';

const TONES = {
  primary: 'bg-loquat text-on-loquat hover:bg-loquat-hover font-semibold',
  plain: 'bg-raised text-ink border border-line hover:bg-sunken font-medium',
  quiet: 'text-ink-soft hover:bg-sunken hover:text-ink font-medium',
  danger: 'bg-danger text-paper hover:opacity-90 font-semibold',
} as const;

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: keyof typeof TONES;
  busy?: boolean;
}

export function Button({ tone = 'plain', busy, disabled, className, type = 'button', ...rest }: ButtonProps) {
  return (
    <button
      type={type}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      className={cx(
        'inline-flex h-9 items-center justify-center gap-2 rounded-lg px-3.5 text-sm transition-colors',
        'disabled:cursor-not-allowed disabled:opacity-55',
        TONES[tone],
        className,
      )}
      {...rest}
    />
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** What it does, for those who do not see the icon; also its tooltip. */
  label: string;
  children: ReactNode;
}

export function IconButton({ label, className, type = 'button', children, ...rest }: IconButtonProps) {
  return (
    <button
      type={type}
      aria-label={label}
      title={label}
      className={cx(
        'inline-flex size-8 shrink-0 items-center justify-center rounded-lg transition-colors',
        'disabled:cursor-not-allowed disabled:opacity-40',
        className ?? 'text-ink-soft hover:bg-sunken hover:text-ink',
      )}
      {...rest}
    >
      {children}
    </button>
  );
}
