/** Tables that scroll by themselves on narrow screens. */
import type { ReactNode } from 'react';
import { cx } from './cx';

interface TableProps {
  label: string;
  /** A column without a text holds buttons, and is named for those who listen. */
  columns: readonly (string | { readonly text: string; readonly number?: boolean; readonly hidden?: boolean })[];
  children: ReactNode;
}

export function Table({ label, columns, children }: TableProps) {
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and must do so by keyboard as well
      tabIndex={0}
      className="overflow-x-auto rounded-xl border border-line bg-raised"
    >
      <table className="w-full border-collapse text-left text-sm">
        <thead>
          <tr className="border-line border-b text-[12.5px] text-ink-faint">
            {columns.map((column) => {
              const { text, number, hidden } =
                typeof column === 'string' ? { text: column } : { hidden: false, ...column };
              return (
                <th key={text} scope="col" className={cx('px-3 py-2 font-medium', number && 'text-right')}>
                  {hidden ? <span className="sr-only">{text}</span> : text}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody className="[&>tr+tr]:border-line [&>tr+tr]:border-t">{children}</tbody>
      </table>
    </section>
  );
}

export function Cell({ number, className, children }: { number?: boolean; className?: string; children?: ReactNode }) {
  return <td className={cx('px-3 py-2.5 align-middle', number && 'text-right tabular-nums', className)}>{children}</td>;
}

const TONES = {
  plain: 'bg-sunken text-ink-soft',
  good: 'bg-good/12 text-good',
  warn: 'bg-loquat-soft text-loquat-ink',
  bad: 'bg-danger-soft text-danger',
} as const;

export function Tag({ tone = 'plain', children }: { tone?: keyof typeof TONES; children: ReactNode }) {
  return (
    <span className={cx('inline-block whitespace-nowrap rounded-full px-2 py-px font-medium text-[12px]', TONES[tone])}>
      {children}
    </span>
  );
}
