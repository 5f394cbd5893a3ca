/** Something that is shown once: to be copied now, or never. */
import { Check, Copy } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Button } from './Button';

interface SecretProps {
  title: string;
  text: string;
  value: string;
  testId: string;
  onDone: () => void;
}

export function Secret({ title, text, value, testId, onDone }: SecretProps) {
  const field = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState(false);
  useEffect(() => field.current?.focus(), []);
  const copy = async () => {
    field.current?.select();
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
    } catch {
      // It stays selected: the keys for copying still work.
      setCopied(false);
    }
  };
  return (
    <div role="status" data-testid={testId} className="animate-rise rounded-xl border border-loquat bg-loquat-soft p-4">
      <p className="font-semibold">{title}</p>
      <p className="mt-0.5 text-ink-soft text-sm">{text}</p>
      <div className="mt-3 flex flex-wrap gap-2">
        <input
          ref={field}
          readOnly
          aria-label={title}
          data-testid={`${testId}-value`}
          value={value}
          onFocus={(event) => event.currentTarget.select()}
          className="h-9 min-w-0 flex-1 basis-60 rounded-lg border border-line bg-raised px-3 font-mono text-[13px]"
        />
        <Button tone="primary" onClick={copy} data-testid={`${testId}-copy`}>
          {copied ? <Check size={15} /> : <Copy size={15} />} {copied ? 'Copied' : 'Copy'}
        </Button>
        <Button tone="quiet" onClick={onDone} data-testid={`${testId}-done`}>
          Done
        </Button>
      </div>
    </div>
  );
}
