/** A page beside the rooms: a head with the way back, tabs, and what the tab shows. */
import { Menu as MenuIcon, X } from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';
import { IconButton } from './Button';
import { cx } from './cx';

export interface Tab {
  readonly path: string;
  readonly label: string;
  readonly icon: ReactNode;
  readonly open: boolean;
  readonly onOpen: () => void;
}

interface PageProps {
  title: string;
  tabs: readonly Tab[];
  wide?: boolean;
  onClose: () => void;
  onSidebar: () => void;
  children: ReactNode;
}

export function Page({ title, tabs, wide, onClose, onSidebar, children }: PageProps) {
  const head = useRef<HTMLHeadingElement>(null);
  // The keyboard is where the page is, and its name is read out.
  useEffect(() => head.current?.focus(), []);
  return (
    <section aria-label={title} data-testid="page" className="flex min-w-0 flex-1 flex-col">
      <header className="flex h-14 shrink-0 items-center gap-2 border-line border-b px-3 sm:px-5">
        <IconButton label="Show rooms" data-testid="open-sidebar" onClick={onSidebar} className="-ml-1 md:hidden">
          <MenuIcon size={20} />
        </IconButton>
        <h2
          ref={head}
          tabIndex={-1}
          className="quiet-focus min-w-0 flex-1 truncate font-display font-semibold text-[17px]"
        >
          {title}
        </h2>
        <IconButton label="Back to the rooms" data-testid="page-close" onClick={onClose}>
          <X size={19} />
        </IconButton>
      </header>
      <nav aria-label={title} className="shrink-0 overflow-x-auto border-line border-b px-2 sm:px-4">
        <ul className="flex gap-1">
          {tabs.map((tab) => (
            <li key={tab.path}>
              <TabLink tab={tab} />
            </li>
          ))}
        </ul>
      </nav>
      <div className="min-h-0 flex-1 overflow-y-auto">
        <div className={cx('mx-auto flex flex-col gap-8 px-4 py-6 sm:px-6', wide ? 'max-w-6xl' : 'max-w-2xl')}>
          {children}
        </div>
      </div>
    </section>
  );
}

function TabLink({ tab }: { tab: Tab }) {
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (tab.open) link.current?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [tab.open]);
  return (
    <a
      ref={link}
      href={tab.path}
      data-testid={`tab-${tab.path.split('/').at(-1)}`}
      aria-current={tab.open ? 'page' : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        tab.onOpen();
      }}
      className={cx(
        'flex h-11 items-center gap-2 whitespace-nowrap border-b-2 px-3 font-medium text-sm transition-colors focus-visible:-outline-offset-2',
        tab.open ? 'border-loquat text-ink' : 'border-transparent text-ink-soft hover:text-ink',
      )}
    >
      {tab.icon}
      {tab.label}
    </a>
  );
}

interface SectionProps {
  title: string;
  text?: ReactNode;
  actions?: ReactNode;
  children?: ReactNode;
}

export function Section({ title, text, actions, children }: SectionProps) {
  return (
    <section aria-label={title} className="flex flex-col gap-4">
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-2">
        <div className="min-w-0 flex-1 basis-64">
          <h3 className="font-display font-semibold text-lg leading-tight">{title}</h3>
          {text && <p className="mt-1 text-ink-soft text-sm">{text}</p>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

export function Card({ className, children }: { className?: string; children: ReactNode }) {
  return <div className={cx('rounded-xl border border-line bg-raised', className)}>{children}</div>;
}
