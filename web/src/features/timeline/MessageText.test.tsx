import { afterEach, describe, expect, it } from 'vitest';
import { cell } from '../../app/store';
import type { User } from '../../model/types';
import { Drawn } from '../shared/drawn';
import { MessageText } from './MessageText';

const ME: User = {
  id: 'me',
  username: 'ann.x',
  displayName: 'Ann',
  role: 'member',
  bot: false,
  disabled: false,
  title: '',
  about: '',
  avatarFileId: '',
};

let drawn: Drawn | undefined;
afterEach(() => drawn?.end());

async function marked(text: string): Promise<string[]> {
  drawn = new Drawn({ me: ME, directory: { users: cell({ me: ME }), want() {}, learn() {} } });
  await drawn.draw(<MessageText text={text} />);
  return [...document.querySelectorAll('mark')].map((mark) => mark.textContent ?? '');
}

describe('mentions', () => {
  it.each([
    ['@ann.x and **@Ann.X**, and (@ann.x).', ['@ann.x', '@Ann.X', '@ann.x']],
    ['ask @ann.x.', ['@ann.x']],
    ['@ann.xy @annx @bob mail@ann.x @@ann.x /@ann.x @ann.xé', []],
    ['`@ann.x` [@ann.x](https://example.org) https://example.org/@ann.x', []],
  ])('of oneself stand out: %s', async (text, expected) => {
    expect(await marked(text)).toEqual(expected);
    await drawn?.end();
  });
});
