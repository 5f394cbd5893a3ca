/** Keeps the reader where they are: at the end while they are there, else at the row they look at. */
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

const END_PX = 48;
const OLDER_PX = 900;
const CONTEXT_PX = 80;

interface Anchor {
  readonly element: HTMLElement;
  readonly top: number;
}

interface Scroll {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly content: RefObject<HTMLDivElement | null>;
  readonly atEnd: boolean;
  readonly toEnd: () => void;
  readonly onScroll: () => void;
}

/** The topmost row in sight, and where it is. */
function anchorIn(scroller: HTMLElement, content: HTMLElement): Anchor | undefined {
  const top = scroller.getBoundingClientRect().top;
  for (const element of content.querySelectorAll<HTMLElement>('[data-row]')) {
    const rect = element.getBoundingClientRect();
    if (rect.bottom > top) return { element, top: rect.top - top };
  }
  return undefined;
}

/** At what is new, with a little of what was before; without anything new, at the end. */
function startAt(scroller: HTMLElement | null, first: Element | null | undefined): void {
  if (!scroller) return;
  scroller.scrollTop = scroller.scrollHeight;
  const above = first ? first.getBoundingClientRect().top - scroller.getBoundingClientRect().top - CONTEXT_PX : 0;
  if (above < 0) scroller.scrollTop += above;
}

/** `ready` turns true with the first rows; `older` is called when the reader comes near the top. */
export function useScroll(ready: boolean, older: () => void): Scroll {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const anchor = useRef<Anchor>(undefined);
  const sticky = useRef(true);
  const started = useRef(false);
  const [atEnd, setAtEnd] = useState(true);
  const latestOlder = useRef(older);

  const note = useCallback(() => {
    const [outer, inner] = [scroller.current, content.current];
    if (!outer || !inner) return;
    sticky.current = outer.scrollHeight - outer.scrollTop - outer.clientHeight < END_PX;
    setAtEnd(sticky.current);
    anchor.current = anchorIn(outer, inner);
    if (outer.scrollTop < OLDER_PX) latestOlder.current();
  }, []);

  const settle = useCallback(() => {
    const outer = scroller.current;
    if (!outer) return;
    const held = anchor.current;
    if (sticky.current) outer.scrollTop = outer.scrollHeight;
    else if (held?.element.isConnected) {
      outer.scrollTop += held.element.getBoundingClientRect().top - outer.getBoundingClientRect().top - held.top;
    }
  }, []);

  useLayoutEffect(() => {
    latestOlder.current = older;
    if (ready && !started.current) {
      started.current = true;
      startAt(scroller.current, content.current?.querySelector('[data-new-line]'));
    } else settle();
    if (ready) note();
  });

  useEffect(() => {
    const observer = new ResizeObserver(settle);
    if (scroller.current) observer.observe(scroller.current);
    if (content.current) observer.observe(content.current);
    return () => observer.disconnect();
  }, [settle]);

  const toEnd = useCallback(() => {
    sticky.current = true;
    settle();
    note();
  }, [settle, note]);

  return { scroller, content, atEnd, toEnd, onScroll: note };
}
