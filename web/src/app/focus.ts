/** Whether somebody is looking, or could: the page may be seen beside the window that has the focus. */
import { cell } from './store';

function looking(): boolean {
  return document.visibilityState === 'visible' && document.hasFocus();
}

function visible(): boolean {
  return document.visibilityState === 'visible';
}

export const focused = cell(looking());
export const shown = cell(visible());

export function followFocus(): void {
  const update = () => {
    focused.set(looking());
    shown.set(visible());
  };
  for (const type of ['focus', 'blur', 'pageshow']) addEventListener(type, update);
  document.addEventListener('visibilitychange', update);
}
