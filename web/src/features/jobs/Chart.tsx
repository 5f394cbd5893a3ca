/** Throughput, failures and age over the last minutes: one small curve for each. */
import { ages, type Point, rates, type Sample, SPAN_MS } from '../../model/jobs';
import { Card } from '../../ui/Page';
import { spanOf } from '../shared/ago';
import { curve, HEIGHT, WIDTH } from './curve';

export function Chart({ samples }: { samples: readonly Sample[] }) {
  const now = samples.at(-1)?.at ?? 0;
  const perSecond = (value: number) => `${value >= 10 ? Math.round(value) : value.toFixed(1)} / s`;
  const charts = [
    ['Throughput', rates(samples, 'handled'), perSecond, 'text-good'],
    ['Failed tries', rates(samples, 'failures'), perSecond, 'text-danger'],
    ['Oldest message', ages(samples), (value: number) => spanOf(value * 1000), 'text-loquat-ink'],
  ] as const;
  return (
    <div data-testid="jobs-chart" className="grid gap-3 sm:grid-cols-3">
      {charts.map(([label, points, text, color]) => (
        <Curve key={label} label={label} points={points} text={text} color={color} now={now} />
      ))}
    </div>
  );
}

interface CurveProps {
  label: string;
  points: readonly Point[];
  text: (value: number) => string;
  color: string;
  now: number;
}

function Curve({ label, points, text, color, now }: CurveProps) {
  const latest = points.at(-1)?.value ?? 0;
  const most = Math.max(0, ...points.map(({ value }) => value));
  const { line, area } = curve(points, now, most);
  return (
    <Card className="overflow-hidden">
      <div className="flex items-baseline justify-between gap-2 px-3.5 pt-2.5">
        <span className="text-[13px] text-ink-soft">{label}</span>
        <span className="font-display font-semibold text-[17px] tabular-nums">{text(latest)}</span>
      </div>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${label} of the last ${spanOf(SPAN_MS)}: now ${text(latest)}, at most ${text(most)}`}
        className={`block h-16 w-full ${color}`}
      >
        <path d={area} fill="currentColor" opacity="0.14" />
        <path d={line} fill="none" stroke="currentColor" strokeWidth="1.5" vectorEffect="non-scaling-stroke" />
      </svg>
      <p className="flex justify-between px-3.5 pb-2 text-[11.5px] text-ink-faint">
        <span>−{spanOf(SPAN_MS)}</span>
        <span>at most {text(most)}</span>
        <span>now</span>
      </p>
    </Card>
  );
}
