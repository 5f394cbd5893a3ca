import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWorld, PASSWORD, unique } from '../people.mjs';
import { png } from '../png.mjs';
import { asksWhoItIs, OK, UNAUTHENTICATED } from '../program.mjs';
import { startServer } from '../server.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();
const NEXT = 'another long enough secret';

async function opens(person, tab) {
  await person.page.goto(`/settings/${tab}`);
  await person.isLive();
  await person.get('page').waitFor();
}

test('a name is changed, and others see the new one', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('renaming');
  await alice.createsRoom(room);
  await alice.says('Guess who');
  await alice.get('account-menu').click();
  await alice.get('open-settings').click();
  await alice.get('profile-name').fill('Alice in Wonderland');
  await alice.get('profile-title').fill('Dreamer');
  await alice.get('profile-save').click();
  await alice.get('my-name', { hasText: 'Alice in Wonderland' }).waitFor();
  await alice.get('page-close').click();
  await alice.isIn(room);
  await bob.joins(room);
  await bob.get('message-author', { hasText: 'Alice in Wonderland' }).waitFor();
  await alice.page.reload();
  await alice.get('my-name', { hasText: 'Alice in Wonderland' }).waitFor();
});

test('a name that is too long is told at its field', async () => {
  const alice = await here.person('Alice');
  await opens(alice, 'profile');
  await alice.get('profile-title').evaluate((input) => input.removeAttribute('maxlength'));
  await alice.get('profile-title').fill('x'.repeat(65));
  await alice.get('profile-save').click();
  await eventually(
    'the field says so',
    async () => (await alice.get('profile-title').getAttribute('aria-invalid')) === 'true',
  );
  const note = await alice.get('profile-title').getAttribute('aria-describedby');
  assert.match(await alice.page.locator(`[id="${note}"]`).textContent(), /64/);
});

test('a picture is chosen, is seen beside what one says, and is taken away', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('portraits');
  await alice.createsRoom(room);
  await alice.says('Guess how I look');
  await opens(alice, 'profile');
  const mine = alice.get('page').locator('img[src^="/files/"]');
  const seen = (what, image) => eventually(what, () => image.evaluate((element) => element.naturalWidth > 0));
  assert.equal(await mine.count(), 0);
  const notes = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') };
  await alice.get('picture-input').setInputFiles(notes);
  await alice.get('toast', { hasText: 'not a picture' }).waitFor();
  const portrait = { name: 'me.png', mimeType: 'image/png', buffer: png(400, 400) };
  await alice.get('picture-input').setInputFiles(portrait);
  await alice.get('toast', { hasText: 'picture is changed' }).waitFor();
  await seen('alice sees it in her profile', mine);
  // Others see it once it was looked at and made smaller.
  const small = (await mine.getAttribute('src')).replace(/(\?.*)?$/, '?variant=w320');
  const isThere = async (path) => (await fetch(path, { cache: 'no-store' })).ok;
  await eventually('there is a smaller one', () => alice.page.evaluate(isThere, small));
  await bob.joins(room);
  await seen('bob sees it beside her message', bob.message('Guess how I look').locator('img[src^="/files/"]'));
  await alice.page.reload();
  await seen('it is still there', mine);
  await alice.get('picture-remove').click();
  await mine.waitFor({ state: 'detached' });
  assert.equal(await alice.get('picture-remove').count(), 0);
});

test('a changed password ends the other sessions, and only the new one is good', async () => {
  const alice = await here.person('Alice');
  const other = await here.stranger();
  await other.page.goto('/');
  await other.signsIn(alice.username);
  await other.isLive();
  await opens(alice, 'security');
  await alice.get('current-password').fill('not the password');
  await alice.get('new-password').fill(NEXT);
  await alice.get('password-save').click();
  await eventually('the wrong one is told at its field', async () => {
    return (await alice.get('current-password').getAttribute('aria-invalid')) === 'true';
  });
  await alice.get('current-password').fill(PASSWORD);
  await alice.get('password-save').click();
  await alice.get('toast', { hasText: 'password is changed' }).waitFor();
  await other.get('signin-form').waitFor();
  await other.signsIn(alice.username);
  await other.get('form-error').waitFor();
  await other.signsIn(alice.username, NEXT);
  await other.isLive();
});

test('sessions are seen and ended', async () => {
  const alice = await here.person('Alice');
  const other = await here.stranger();
  await other.page.goto('/');
  await other.signsIn(alice.username);
  await other.isLive();
  await opens(alice, 'sessions');
  await eventually('there are two', async () => (await alice.get('session-item').count()) === 2);
  assert.equal(await alice.page.locator('[data-testid=session-item][data-current=true]').count(), 1);
  await alice.page.locator('[data-testid=session-item][data-current=false]').getByTestId('end-session').click();
  await other.get('signin-form').waitFor();
  await eventually('one is left', async () => (await alice.get('session-item').count()) === 1);
});

test('an access token is shown once, works for programs, and is revoked', async () => {
  const alice = await here.person('Alice');
  await opens(alice, 'tokens');
  await alice.get('empty').waitFor();
  await alice.get('token-new').click();
  await alice.get('token-name').fill('release script');
  await alice.get('token-create').click();
  await eventually('a scope is asked for', async () => {
    return (await alice.page.locator('[data-testid=token-dialog] fieldset[aria-invalid=true]').count()) === 1;
  });
  await alice.page.locator('input[value="users:read"]').check();
  await alice.get('token-create').click();
  const secret = await alice.get('token-secret-value').inputValue();
  assert.match(secret, /^loquat_pat_/);
  const url = new URL(alice.page.url()).origin;
  const answer = await asksWhoItIs(url, secret);
  assert.equal(answer.code, OK);
  assert.ok(answer.text.includes(alice.username));
  await alice.get('token-secret-done').click();
  await alice.page.reload();
  await alice.get('token-item', { hasText: 'release script' }).waitFor();
  assert.equal(await alice.get('token-secret').count(), 0);
  await alice.get('token-revoke').click();
  await alice.get('confirm').click();
  await alice.get('token-item').waitFor({ state: 'detached' });
  await eventually('it is refused', async () => (await asksWhoItIs(url, secret)).code === UNAUTHENTICATED);
});

test('a forgotten password is set anew by a link that works once', async () => {
  const server = await startServer();
  const there = await openWorld(server.url);
  try {
    const alice = await there.person('Alice');
    const stranger = await there.stranger();
    await stranger.page.goto('/');
    await stranger.get('forgotten').click();
    await stranger.get('forgotten-account').fill(alice.username);
    await stranger.get('submit').click();
    await stranger.get('reset-asked').waitFor();
    // There is no mail: the link is the administrator's to pass on.
    const link = await eventually('the log has the link', () => /\/reset#token=[\w.-]+/.exec(server.log())?.[0]);
    await stranger.page.goto(link);
    await stranger.get('new-password').fill('short');
    await stranger.get('submit').click();
    await eventually('the field says so', async () => {
      return (await stranger.get('new-password').getAttribute('aria-invalid')) === 'true';
    });
    await stranger.get('new-password').fill(NEXT);
    await stranger.get('submit').click();
    await stranger.get('reset-done').waitFor();
    await alice.get('signin-form').waitFor();
    await stranger.get('back-to-signin').click();
    await stranger.signsIn(alice.username, NEXT);
    await stranger.isLive();
    const late = await there.stranger();
    await late.page.goto(link);
    await late.get('new-password').fill(PASSWORD);
    await late.get('submit').click();
    await late.get('form-error').waitFor();
  } finally {
    await there.close();
    await server.stop();
  }
});
