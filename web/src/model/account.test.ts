import { describe, expect, it } from 'vitest';
import { deviceName } from './account';

describe('devices', () => {
  it('are told in words', () => {
    const chrome =
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36';
    const edge = `${chrome} Edg/130.0.0.0`.replace('X11; Linux x86_64', 'Windows NT 10.0; Win64; x64');
    const safari =
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Safari/604.1';
    expect(deviceName(chrome)).toBe('Chrome on Linux');
    expect(deviceName(edge)).toBe('Edge on Windows');
    expect(deviceName(safari)).toBe('Safari on iOS');
    expect(deviceName('Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0')).toBe(
      'Firefox on Linux',
    );
  });

  it('that called themselves something keep their name', () => {
    expect(deviceName('Kitchen display, Linux')).toBe('Kitchen display, Linux');
    expect(deviceName('')).toBe('Unknown device');
    expect(deviceName('Mozilla/5.0')).toBe('Browser');
  });
});
