/** A message's text being changed in its place. */
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Button } from '../../ui/Button';
import { useAutoSize } from '../../ui/useAutoSize';

interface MessageEditorProps {
  text: string;
  /** Empty text is only possible beside files. */
  mayBeEmpty: boolean;
  onSave: (text: string) => void;
  onCancel: () => void;
}

export function MessageEditor({ text, mayBeEmpty, onSave, onCancel }: MessageEditorProps) {
  const [value, setValue] = useState(text);
  const field = useRef<HTMLTextAreaElement>(null);
  useAutoSize(field, value);
  useEffect(() => {
    const element = field.current;
    element?.focus();
    element?.setSelectionRange(element.value.length, element.value.length);
    element?.scrollIntoView({ block: 'nearest' });
  }, []);
  const save = () => {
    const trimmed = value.trim();
    if (trimmed === text.trim() || (!trimmed && !mayBeEmpty)) onCancel();
    else onSave(trimmed);
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      onCancel();
    } else if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      save();
    }
  };
  return (
    <div className="mt-1 mb-1">
      <textarea
        ref={field}
        data-testid="edit-input"
        aria-label="Edit message"
        value={value}
        rows={1}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={press}
        className="field-sizing-content max-h-60 w-full resize-none rounded-xl border border-loquat bg-raised px-3 py-2 outline-2 outline-loquat/30"
      />
      <div className="mt-1.5 flex items-center gap-2 text-[13px] text-ink-faint">
        <Button tone="primary" size="small" onClick={save} data-testid="edit-save">
          Save
        </Button>
        <Button tone="quiet" size="small" onClick={onCancel}>
          Cancel
        </Button>
        <span className="max-sm:hidden">Enter saves, Esc cancels</span>
      </div>
    </div>
  );
}
