/** A time as one would say it, with the exact one as a tooltip. */
import { momentOf } from '../timeline/time';
import { agoOf } from './ago';

export function When({ at, never = 'never' }: { at: number; never?: string }) {
  if (!at) return <>{never}</>;
  return (
    <time dateTime={new Date(at).toISOString()} title={momentOf(at)} className="whitespace-nowrap">
      {agoOf(at, Date.now())}
    </time>
  );
}
