import { DropdownMenu } from 'radix-ui';
import type { ReactNode } from 'react';
import { cx } from './cx';

interface MenuProps {
  trigger: ReactNode;
  align?: 'start' | 'end';
  side?: 'top' | 'bottom';
  children: ReactNode;
}

export function Menu({ trigger, align = 'end', side = 'bottom', children }: MenuProps) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align={align}
          side={side}
          sideOffset={6}
          collisionPadding={8}
          className="z-50 min-w-48 animate-rise rounded-xl border border-line bg-raised p-1 text-ink shadow-float"
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

interface MenuItemProps {
  icon?: ReactNode;
  danger?: boolean;
  testId?: string;
  onSelect: () => void;
  children: ReactNode;
}

export function MenuItem({ icon, danger, testId, onSelect, children }: MenuItemProps) {
  return (
    <DropdownMenu.Item
      data-testid={testId}
      onSelect={onSelect}
      className={cx(
        'quiet-focus flex h-9 items-center gap-2.5 rounded-lg px-2.5 text-sm data-[highlighted]:bg-sunken',
        danger ? 'text-danger' : 'text-ink',
      )}
    >
      <span className={cx('inline-flex w-4 justify-center', !danger && 'text-ink-faint')}>{icon}</span>
      {children}
    </DropdownMenu.Item>
  );
}

export function MenuSeparator() {
  return <DropdownMenu.Separator className="mx-1 my-1 h-px bg-line" />;
}

export function MenuLabel({ children }: { children: ReactNode }) {
  return <DropdownMenu.Label className="px-2.5 pt-1.5 pb-1 text-ink-faint text-xs">{children}</DropdownMenu.Label>;
}
