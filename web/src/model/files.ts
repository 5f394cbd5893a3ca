/** What a file is, for those who look at it. */
import type { FileInfo } from './types';

export type FileKind = 'picture' | 'sound' | 'film' | 'other';

/** What the server lets a browser show in place; anything else it sends as a download. */
const PICTURES = /^image\/(png|jpeg|gif|webp)$/;
const SOUNDS = /^audio\/(mpeg|ogg|wav|x-wav|flac|x-flac|mp4|m4a|webm)$/;
const FILMS = /^video\/(mp4|webm|ogg)$/;

export function kindOf({ contentType, state }: Pick<FileInfo, 'contentType' | 'state'>): FileKind {
  if (state === 'failed' || state === 'removed') return 'other';
  if (PICTURES.test(contentType)) return 'picture';
  if (SOUNDS.test(contentType)) return 'sound';
  return FILMS.test(contentType) ? 'film' : 'other';
}

export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)) : 0;
  const value = bytes / 1024 ** power;
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/** Minutes and seconds, as players show them; empty when it is not known. */
export function durationText(ms: number): string {
  if (ms <= 0) return '';
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** What a sound or document calls itself. */
export function titleText({ facts }: Pick<FileInfo, 'facts'>): string {
  return [facts.artist ?? facts.author, facts.title].filter(Boolean).join(' – ');
}

export interface Limits {
  readonly maxBytes: number;
  readonly refusedTypes: readonly string[];
}

/** Why the server would refuse it; empty when it would not. */
export function whyRefused({ size, type }: { size: number; type: string }, limits: Limits): string {
  if (limits.maxBytes > 0 && size > limits.maxBytes) return `A file has at most ${sizeText(limits.maxBytes)} here.`;
  const matches = (pattern: string) =>
    pattern.endsWith('/*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern.toLowerCase();
  return type && limits.refusedTypes.some(matches) ? `Files of the type ${type} are not taken here.` : '';
}

/** Bytes kept and the most that may be; 0 for no limit. */
export interface Usage {
  readonly mine: number;
  readonly mineLimit: number;
  readonly all: number;
  readonly allLimit: number;
}
