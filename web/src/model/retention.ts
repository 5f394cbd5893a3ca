/** How long rooms keep messages, in words. */
const OFFERED = [1, 7, 30, 90, 180, 365, 1095];

export function inDays(days: number): string {
  return days === 1 ? '1 day' : `${days} days`;
}

/** What holds in every room first, then periods; one that was set by another program is offered as well. */
export function periods(now: number, workspace: number | undefined): readonly (readonly [string, string])[] {
  const everywhere = workspace === undefined ? '' : workspace === 0 ? ' (for ever)' : ` (${inDays(workspace)})`;
  const days = [...new Set(now > 0 ? [...OFFERED, now] : OFFERED)].sort((a, b) => a - b);
  return [['0', `As everywhere here${everywhere}`], ...days.map((count) => [String(count), inDays(count)] as const)];
}
