/** What stands around every page before one is signed in. */
import type { ReactNode } from 'react';
import { Logo } from '../../ui/Logo';

export function Door({ children }: { children: ReactNode }) {
  return (
    <main className="relative isolate grid h-full place-items-center overflow-y-auto overflow-x-hidden bg-leaf p-4">
      <Orchard />
      <div className="w-full max-w-[400px]">
        <div className="mb-6 flex items-center justify-center gap-2.5">
          <Logo size={44} />
          <h1 className="font-bold font-display text-[32px] text-leaf-ink tracking-tight">Loquat</h1>
        </div>
        <div className="rounded-2xl border border-line bg-paper p-6 shadow-float sm:p-7">{children}</div>
        <p className="mt-5 text-center text-[13.5px] text-leaf-ink-soft">
          Your team's conversations, on your own server.
        </p>
      </div>
    </main>
  );
}

/** Fruit at the edges, behind everything. */
function Orchard() {
  return (
    <div aria-hidden="true" className="pointer-events-none absolute inset-0 -z-10 overflow-hidden">
      <span className="absolute -bottom-40 -left-32 rotate-[-14deg] opacity-20">
        <Logo size={520} />
      </span>
      <span className="absolute -top-36 -right-28 rotate-[24deg] opacity-15 max-sm:hidden">
        <Logo size={420} />
      </span>
    </div>
  );
}
