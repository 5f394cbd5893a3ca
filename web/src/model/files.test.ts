import { describe, expect, it } from 'vitest';
import { durationText, kindOf, sizeText, titleText, whyRefused } from './files';

describe('files', () => {
  it('are shown in place only when the server sends them so', () => {
    const kind = (contentType: string) => kindOf({ contentType, state: 'ready' });
    expect(kind('image/png')).toBe('picture');
    expect(kind('image/svg+xml')).toBe('other');
    expect(kind('audio/mpeg')).toBe('sound');
    expect(kind('video/mp4')).toBe('film');
    expect(kind('text/html')).toBe('other');
    expect(kindOf({ contentType: 'image/png', state: 'removed' })).toBe('other');
  });

  it('are told in words', () => {
    expect(sizeText(0)).toBe('0 B');
    expect(sizeText(1536)).toBe('1.5 KiB');
    expect(sizeText(2 * 1024 ** 4)).toBe('2.0 TiB');
    expect(durationText(0)).toBe('');
    expect(durationText(61_400)).toBe('1:01');
    expect(durationText(3_661_000)).toBe('1:01:01');
    expect(titleText({ facts: { artist: 'Ann', title: 'Song', album: 'x' } })).toBe('Ann – Song');
    expect(titleText({ facts: {} })).toBe('');
  });

  it('are refused before a byte is sent', () => {
    const limits = { maxBytes: 1024, refusedTypes: ['application/x-msdownload', 'video/*'] };
    expect(whyRefused({ size: 1025, type: 'image/png' }, limits)).toContain('1.0 KiB');
    expect(whyRefused({ size: 1, type: 'video/mp4' }, limits)).toContain('video/mp4');
    expect(whyRefused({ size: 1, type: 'application/x-msdownload' }, limits)).not.toBe('');
    expect(whyRefused({ size: 1024, type: '' }, limits)).toBe('');
    expect(whyRefused({ size: 9e9, type: 'image/png' }, { maxBytes: 0, refusedTypes: [] })).toBe('');
  });
});
