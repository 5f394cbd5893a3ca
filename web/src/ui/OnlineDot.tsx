/** Says by its colour that somebody is there; what it says has to stand beside it in words as well. */
import { cx } from './cx';

export function OnlineDot({ className = '' }: { className?: string }) {
  return <span aria-hidden="true" className={cx('inline-block size-2.5 rounded-full bg-good', className)} />;
}
