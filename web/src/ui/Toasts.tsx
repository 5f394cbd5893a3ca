import { CircleAlert, Info, X } from 'lucide-react';
import type { Toast } from '../app/toasts';
import { IconButton } from './Button';

export function Toasts({ toasts, onDismiss }: { toasts: readonly Toast[]; onDismiss: (id: number) => void }) {
  return (
    <div
      aria-live="assertive"
      className="pointer-events-none fixed inset-x-4 bottom-24 z-[60] flex flex-col items-center gap-2 sm:inset-x-auto sm:right-6 sm:bottom-6 sm:items-end"
    >
      {toasts.map((toast) => (
        <div
          key={toast.id}
          data-testid="toast"
          className="pointer-events-auto flex max-w-sm animate-rise items-start gap-2.5 rounded-xl border border-line bg-raised py-2.5 pr-1.5 pl-3.5 text-sm shadow-float"
        >
          <span className={toast.tone === 'error' ? 'mt-0.5 text-danger' : 'mt-0.5 text-good'}>
            {toast.tone === 'error' ? <CircleAlert size={17} /> : <Info size={17} />}
          </span>
          <p className="py-px">{toast.text}</p>
          <IconButton label="Dismiss" onClick={() => onDismiss(toast.id)} tone="faint" size="small" className="-my-0.5">
            <X size={15} />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
