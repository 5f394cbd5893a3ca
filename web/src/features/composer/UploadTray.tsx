/** Files that wait to be sent with the next message. */
import { FileText, RotateCw, X } from 'lucide-react';
import { useEngine } from '../../app/hooks';
import type { UploadItem } from '../../app/uploads';
import { IconButton } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { sizeText } from '../timeline/Attachments';

export function UploadTray({ items }: { items: readonly UploadItem[] }) {
  if (items.length === 0) return null;
  return (
    <ul data-testid="upload-tray" className="flex flex-wrap gap-2 px-3 pt-3">
      {items.map((item) => (
        <Item key={item.id} item={item} />
      ))}
    </ul>
  );
}

function stateOf(item: UploadItem): string {
  if (item.error) return 'failed';
  return item.attachment ? 'done' : 'uploading';
}

function Item({ item }: { item: UploadItem }) {
  const { uploads } = useEngine();
  const { id, file, preview, share, error, attachment } = item;
  const percent = Math.round(share * 100);
  return (
    <li
      data-testid="upload-item"
      data-state={stateOf(item)}
      className={cx(
        'relative flex w-60 items-center gap-2.5 overflow-hidden rounded-xl border p-1.5 pr-1',
        error ? 'border-danger/50 bg-danger-soft' : 'border-line bg-sunken',
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
        <span className="block truncate font-medium text-[13px]">{file.name}</span>
        <span title={error} className={cx('block truncate text-[12px]', error ? 'text-danger' : 'text-ink-faint')}>
          {error ?? (attachment ? sizeText(file.size) : `${percent} % of ${sizeText(file.size)}`)}
        </span>
      </span>
      {error && (
        <IconButton label="Try again" tone="danger" size="small" onClick={() => uploads.retry(id)}>
          <RotateCw size={14} />
        </IconButton>
      )}
      <IconButton label={`Remove ${file.name}`} tone="faint" size="small" onClick={() => uploads.remove(id)}>
        <X size={15} />
      </IconButton>
      {!attachment && !error && (
        <span
          role="progressbar"
          aria-label={`Uploading ${file.name}`}
          aria-valuenow={percent}
          className="absolute bottom-0 left-0 h-[3px] bg-loquat transition-[width]"
          style={{ width: `${percent}%` }}
        />
      )}
    </li>
  );
}
