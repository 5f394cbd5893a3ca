import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { cx } from './cx';

const TONES = {
  primary: 'bg-loquat text-on-loquat hover:bg-loquat-hover font-semibold',
  plain: 'bg-raised text-ink border border-line hover:bg-sunken font-medium',
  quiet: 'text-ink-soft hover:bg-sunken hover:text-ink font-medium',
  danger: 'bg-danger text-paper hover:opacity-90 font-semibold',
} as const;

const SIZES = {
  small: 'h-7 px-2.5 text-[13px]',
  medium: 'h-9 px-3.5 text-sm',
  large: 'h-10 px-4 text-[15px]',
} as const;

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: keyof typeof TONES;
  size?: keyof typeof SIZES;
  busy?: boolean;
}

export function Button({
  tone = 'plain',
  size = 'medium',
  busy,
  disabled,
  className,
  type = 'button',
  ...rest
}: ButtonProps) {
  return (
    <button
      type={type}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      className={cx(
        'inline-flex items-center justify-center gap-2 rounded-lg transition-colors',
        'disabled:cursor-not-allowed disabled:opacity-55',
        TONES[tone],
        SIZES[size],
        className,
      )}
      {...rest}
    />
  );
}

const ICON_TONES = {
  plain: 'text-ink-soft hover:bg-sunken hover:text-ink',
  faint: 'text-ink-faint hover:bg-sunken hover:text-ink',
  danger: 'text-danger hover:bg-danger-soft',
  dark: 'text-white/80 hover:bg-white/15 hover:text-white',
  primary:
    'bg-loquat text-on-loquat hover:bg-loquat-hover disabled:bg-transparent disabled:text-ink-faint disabled:opacity-60',
} as const;

const ICON_SIZES = { small: 'size-7 rounded-lg', medium: 'size-8 rounded-lg', large: 'size-9 rounded-xl' } as const;

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** What it does, for those who do not see the icon; also its tooltip. */
  label: string;
  tone?: keyof typeof ICON_TONES;
  size?: keyof typeof ICON_SIZES;
  children: ReactNode;
}

export function IconButton(props: IconButtonProps) {
  const { label, tone = 'plain', size = 'medium', className, type = 'button', children, ...rest } = props;
  return (
    <button
      type={type}
      aria-label={label}
      title={label}
      className={cx(
        'inline-flex shrink-0 items-center justify-center transition-colors disabled:cursor-not-allowed',
        ICON_TONES[tone],
        ICON_SIZES[size],
        className,
      )}
      {...rest}
    >
      {children}
    </button>
  );
}
