/** Files that wait to be sent with the next message. */
import { FileText, Pause, Play, RotateCw, Upload, X } from 'lucide-react';
import { useRef } from 'react';
import { useEngine } from '../../app/hooks';
import { notify } from '../../app/toasts';
import type { UploadItem } from '../../app/uploads';
import { sizeText } from '../../model/files';
import { Button, IconButton } from '../../ui/Button';
import { cx } from '../../ui/cx';

export function UploadTray({ items }: { items: readonly UploadItem[] }) {
  const { uploads } = useEngine();
  if (items.length === 0) return null;
  const each = (chosen: readonly UploadItem[], act: (id: string) => void) => () => {
    for (const { id } of chosen) act(id);
  };
  const under = items.filter(({ status }) => status === 'uploading' || status === 'waiting');
  const failed = items.filter(({ status }) => status === 'failed');
  return (
    <div className="px-3 pt-3">
      {(under.length > 1 || failed.length > 1) && (
        <div className="mb-2 flex flex-wrap items-center gap-2 text-[13px] text-ink-soft">
          <span aria-live="polite">{summary(items)}</span>
          {under.length > 1 && (
            <Button size="small" data-testid="pause-all" onClick={each(under, (id) => uploads.pause(id))}>
              Pause all
            </Button>
          )}
          {failed.length > 1 && (
            <Button size="small" onClick={each(failed, (id) => uploads.retry(id))}>
              Try all again
            </Button>
          )}
        </div>
      )}
      <ul data-testid="upload-tray" className="flex flex-wrap gap-2">
        {items.map((item) => (
          <Item key={item.id} item={item} />
        ))}
      </ul>
    </div>
  );
}

function summary(items: readonly UploadItem[]): string {
  const done = items.filter(({ status }) => status === 'done').length;
  const [sent, all] = [
    items.reduce((sum, { share, size }) => sum + share * size, 0),
    items.reduce((sum, { size }) => sum + size, 0),
  ];
  return `${done} of ${items.length} files, ${sizeText(sent)} of ${sizeText(all)}`;
}

function note({ status, error, share, size }: UploadItem): string {
  const percent = `${Math.round(share * 100)} % of ${sizeText(size)}`;
  switch (status) {
    case 'failed':
      return error;
    case 'missing':
      return 'Choose it again to go on';
    case 'waiting':
      return 'Waiting for its turn';
    case 'paused':
      return `Paused at ${percent}`;
    case 'uploading':
      return percent;
    case 'done':
      return sizeText(size);
  }
}

function Item({ item }: { item: UploadItem }) {
  const { uploads } = useEngine();
  const { id, name, preview, share, status } = item;
  const bad = status === 'failed' || status === 'missing';
  const percent = Math.round(share * 100);
  const text = note(item);
  return (
    <li
      data-testid="upload-item"
      data-state={status}
      className={cx(
        'relative flex w-64 items-center gap-2.5 overflow-hidden rounded-xl border p-1.5 pr-1',
        bad ? 'border-danger/50 bg-danger-soft' : 'border-line bg-sunken',
      )}
    >
      {preview ? (
        <img src={preview} alt="" className="size-10 shrink-0 rounded-lg object-cover" />
      ) : (
        <span className="inline-flex size-10 shrink-0 items-center justify-center rounded-lg bg-loquat-soft text-loquat-ink">
          <FileText size={18} />
        </span>
      )}
      <span className="min-w-0 flex-1 leading-tight">
        <span className="block truncate font-medium text-[13px]">{name}</span>
        <span
          role={status === 'failed' ? 'alert' : undefined}
          title={text}
          className={cx('block truncate text-[12px]', bad ? 'text-danger' : 'text-ink-faint')}
        >
          {text}
        </span>
      </span>
      <Control item={item} />
      <IconButton
        label={status === 'done' ? `Remove ${name}` : `Cancel ${name}`}
        data-testid="upload-remove"
        tone="faint"
        size="small"
        onClick={() => uploads.remove(id)}
      >
        <X size={15} />
      </IconButton>
      {(status === 'uploading' || status === 'paused') && (
        <span
          role="progressbar"
          aria-label={`Uploading ${name}`}
          aria-valuenow={percent}
          className={cx(
            'absolute bottom-0 left-0 h-[3px] transition-[width]',
            status === 'paused' ? 'bg-ink-faint' : 'bg-loquat',
          )}
          style={{ width: `${percent}%` }}
        />
      )}
    </li>
  );
}

/** What can be done next: pause, go on, try again, or choose the file again. */
function Control({ item }: { item: UploadItem }) {
  const { uploads } = useEngine();
  const { id, name, status } = item;
  if (status === 'missing') return <ChooseAgain item={item} />;
  if (status === 'waiting' || status === 'uploading') {
    return (
      <IconButton
        label={`Pause ${name}`}
        data-testid="upload-pause"
        tone="faint"
        size="small"
        onClick={() => uploads.pause(id)}
      >
        <Pause size={14} />
      </IconButton>
    );
  }
  if (status === 'paused') {
    return (
      <IconButton
        label={`Go on with ${name}`}
        data-testid="upload-resume"
        size="small"
        onClick={() => uploads.retry(id)}
      >
        <Play size={14} />
      </IconButton>
    );
  }
  if (status !== 'failed') return null;
  return (
    <IconButton
      label={`Try ${name} again`}
      data-testid="upload-retry"
      tone="danger"
      size="small"
      onClick={() => uploads.retry(id)}
    >
      <RotateCw size={14} />
    </IconButton>
  );
}

function ChooseAgain({ item }: { item: UploadItem }) {
  const { uploads } = useEngine();
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        type="file"
        hidden
        data-testid="upload-again-input"
        onChange={(event) => {
          const file = event.target.files?.[0];
          const problem = file ? uploads.supply(item.id, file) : '';
          if (problem) notify(problem, 'error');
          event.target.value = '';
        }}
      />
      <IconButton label={`Choose ${item.name} again`} tone="danger" size="small" onClick={() => input.current?.click()}>
        <Upload size={14} />
      </IconButton>
    </>
  );
}
