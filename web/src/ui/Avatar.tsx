/** A picture, or initials on a colour that belongs to the id for ever. */
import { useState } from 'react';
import { cx } from './cx';

const COLORS = [
  ['#f6d9b8', '#7a3d05'],
  ['#cfe5d6', '#1d5138'],
  ['#f7d0c4', '#8a2f17'],
  ['#d5e0ef', '#284a75'],
  ['#ead7ee', '#5f2f6d'],
  ['#f3e3a8', '#6a5204'],
  ['#cde6e6', '#0f5257'],
  ['#f3d3dc', '#83284a'],
  ['#dfe3bf', '#4a5410'],
  ['#dcd8f0', '#41368a'],
] as const;

function colorOf(id: string): readonly [string, string] {
  let hash = 0;
  for (const character of id) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) | 0;
  return COLORS[Math.abs(hash) % COLORS.length] ?? COLORS[0];
}

export function initials(name: string): string {
  const words = name
    .trim()
    .split(/[\s._-]+/u)
    .filter(Boolean);
  const first = [...(words[0] ?? '?')][0] ?? '?';
  const second = words.length > 1 ? ([...(words.at(-1) ?? '')][0] ?? '') : '';
  return (first + second).toLocaleUpperCase();
}

const SIZES = {
  small: 'size-6 rounded-md text-[10px]',
  medium: 'size-9 rounded-[10px] text-[13px]',
  large: 'size-20 rounded-2xl text-[26px]',
} as const;

interface AvatarProps {
  id: string;
  name: string;
  /** Addresses to try, the best first; initials when none of them can be seen. */
  pictures?: readonly string[];
  size?: keyof typeof SIZES;
}

export function Avatar({ id, name, pictures = [], size = 'medium' }: AvatarProps) {
  const [background, color] = colorOf(id);
  const key = pictures.join(' ');
  const [failed, setFailed] = useState({ key, count: 0 });
  const tried = failed.key === key ? failed.count : 0;
  const picture = pictures[tried];
  return (
    <span
      aria-hidden="true"
      className={cx(
        'inline-flex shrink-0 select-none items-center justify-center overflow-hidden font-bold',
        SIZES[size],
      )}
      style={{ background, color }}
    >
      {picture ? (
        <img
          key={picture}
          src={picture}
          alt=""
          className="size-full object-cover"
          onError={() => setFailed({ key, count: tried + 1 })}
        />
      ) : (
        initials(name)
      )}
    </span>
  );
}
