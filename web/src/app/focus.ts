/** Whether somebody is looking. */
import { cell } from './store';

function looking(): boolean {
  return document.visibilityState === 'visible' && document.hasFocus();
}

export const focused = cell(looking());

export function followFocus(): void {
  const update = () => focused.set(looking());
  for (const type of ['focus', 'blur', 'pageshow']) addEventListener(type, update);
  document.addEventListener('visibilitychange', update);
}
