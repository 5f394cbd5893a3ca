/** What the pages say of themselves that a message links to. Only their words: nothing is loaded from there. */
import { X } from 'lucide-react';
import type { LinkPreview } from '../../model/types';
import { IconButton } from '../../ui/Button';

interface LinkPreviewsProps {
  previews: readonly LinkPreview[];
  /** Not there for who may not. */
  onRemove: (() => void) | undefined;
}

/** Where a link leads, which a page cannot choose as it chooses the name of its site. */
function hostOf(url: string): string {
  try {
    return new URL(url).host.replace(/^www\./, '');
  } catch {
    return '';
  }
}

export function LinkPreviews({ previews, onRemove }: LinkPreviewsProps) {
  return (
    <div className="group/previews relative mt-1.5 flex max-w-xl flex-col gap-1.5" data-testid="link-previews">
      {previews.map((preview) => (
        <Card key={preview.url} preview={preview} />
      ))}
      {onRemove && (
        <div className="absolute top-1 right-1 opacity-0 transition-opacity focus-within:opacity-100 group-hover/previews:opacity-100">
          <IconButton
            label={previews.length === 1 ? 'Remove preview' : 'Remove previews'}
            data-testid="remove-previews"
            size="small"
            onClick={onRemove}
          >
            <X size={14} />
          </IconButton>
        </div>
      )}
    </div>
  );
}

function Card({ preview }: { preview: LinkPreview }) {
  const { url, title, description, siteName } = preview;
  const host = hostOf(url);
  const site = siteName && siteName.toLowerCase() !== host ? `${siteName} · ${host}` : host;
  return (
    <a
      href={url}
      target="_blank"
      rel="noopener noreferrer nofollow"
      data-testid="link-preview"
      className="block rounded-lg border border-line border-l-4 border-l-loquat bg-raised px-3 py-2 pr-9 no-underline transition-colors hover:bg-sunken"
    >
      <span className="block truncate text-[12px] text-ink-faint">{site}</span>
      <span className="line-clamp-2 font-semibold text-ink leading-snug">{title}</span>
      {description && (
        <span className="mt-0.5 line-clamp-3 text-[13.5px] text-ink-soft leading-snug">{description}</span>
      )}
    </a>
  );
}
