/** How much of a limit is used; without a limit only how much. */
import { sizeText } from '../../model/files';

export function Meter({ label, used, limit }: { label: string; used: number; limit: number }) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  return (
    <div>
      <p className="flex flex-wrap justify-between gap-x-3 text-sm">
        <span className="font-medium">{label}</span>
        <span className="text-ink-soft tabular-nums">
          {sizeText(used)}
          {limit > 0 ? ` of ${sizeText(limit)}` : ', without a limit'}
        </span>
      </p>
      {limit > 0 && (
        <>
          <meter className="sr-only" aria-label={label} min={0} max={limit} value={Math.min(used, limit)} />
          <div aria-hidden="true" className="mt-1.5 h-2 overflow-hidden rounded-full bg-sunken">
            <div
              className={share > 0.9 ? 'h-full rounded-full bg-danger' : 'h-full rounded-full bg-good'}
              style={{ width: `${share * 100}%` }}
            />
          </div>
        </>
      )}
    </div>
  );
}
