import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openWorld, PASSWORD, unique } from '../people.mjs';
import { asksWhoItIs, OK, UNAUTHENTICATED } from '../program.mjs';
import { startServer } from '../server.mjs';
import { eventually } from '../wait.mjs';

// A server of its own: whoever comes first owns it.
let server;
let here;
let owner;

before(async () => {
  server = await startServer();
  here = await openWorld(server.url);
  owner = await here.person('Olga');
});
after(async () => {
  await here?.close();
  await server?.stop();
});

async function opens(tab) {
  await owner.page.goto(`/admin/${tab}`);
  await owner.isLive();
  await owner.get('page').waitFor();
}

function row(person) {
  return owner.get('user-row', { hasText: person.username });
}

async function invites(choose) {
  await opens('invites');
  await owner.get('invite-new').click();
  await choose();
  await owner.get('invite-create').click();
  const link = await owner.get('invite-link-value').inputValue();
  await owner.get('invite-link-done').click();
  return link;
}

test('only those who run the workspace see its administration', async () => {
  const bob = await here.person('Bob');
  await bob.get('account-menu').click();
  await bob.get('open-settings').waitFor();
  assert.equal(await bob.get('open-admin').count(), 0);
  await bob.page.goto('/admin/users');
  await bob.get('empty', { hasText: 'Only owners and administrators' }).waitFor();
  await owner.get('account-menu').click();
  await owner.get('open-admin').click();
  await row(bob).waitFor();
});

test('an invitation makes one account, in its room and no more', async () => {
  const room = unique('welcome');
  await owner.page.goto('/');
  await owner.createsRoom(room, 'private');
  await owner.says('Good to see you');
  const link = await invites(async () => {
    await owner.get('invite-note').fill('for Ivy');
    await owner.get('invite-uses').fill('1');
    await owner.get('invite-form').getByLabel(room).check();
  });
  assert.ok(link.startsWith(`${server.url}/invite#`));
  const ivy = await here.stranger();
  await ivy.page.goto(link);
  await ivy.get('invite-offer', { hasText: 'Olga' }).waitFor();
  await ivy.get('invite-register').click();
  await ivy.get('username').fill('ivy');
  await ivy.get('display-name').fill('Ivy');
  await ivy.get('password').fill(PASSWORD);
  await ivy.get('submit').click();
  await ivy.get('my-name', { hasText: 'Ivy' }).waitFor();
  await ivy.opens(room);
  await ivy.sees('Good to see you');
  const late = await here.stranger();
  await late.page.goto(link);
  await late.page.getByRole('alert').waitFor();
  assert.equal(await late.get('invite-register').count(), 0);
  await opens('invites');
  await owner.page.locator('[data-testid=invite-row][data-state=used-up]').filter({ hasText: 'for Ivy' }).waitFor();
});

test('whoever has an account takes an invitation up with it; a revoked one leads nowhere', async () => {
  const room = unique('annex');
  const bob = await here.person('Bob');
  await owner.page.goto('/');
  await owner.createsRoom(room, 'private');
  const link = await invites(() => owner.get('invite-form').getByLabel(room).check());
  await bob.page.goto(link);
  await bob.get('invite-accept').click();
  await bob.opens(room);
  await owner.page.locator('[data-testid=invite-row][data-state=open]').first().getByTestId('invite-revoke').click();
  await owner.get('confirm').click();
  await owner.page.locator('[data-testid=invite-row][data-state=revoked]').waitFor();
  const late = await here.stranger();
  await late.page.goto(link);
  await late.page.getByRole('alert').waitFor();
});

test('somebody is made an administrator, and has what that brings at once', async () => {
  const bob = await here.person('Bob');
  await opens('users');
  await owner.get('user-search').fill(bob.username);
  await row(bob).getByTestId('user-menu').click();
  await owner.get('make-admin').click();
  await owner.get('confirm').click();
  await owner.page.locator(`[data-testid=user-row][data-role=admin]`).filter({ hasText: bob.username }).waitFor();
  // The menu may close under the pointer when the connection with the new rights is there.
  await eventually('Bob goes to the administration', async () => {
    await bob.get('account-menu').click();
    const went = await bob
      .get('open-admin')
      .click({ timeout: 1000 })
      .then(
        () => true,
        () => false,
      );
    if (!went) await bob.page.keyboard.press('Escape');
    return went;
  });
  await bob.get('user-row', { hasText: owner.username }).waitFor();
  // Administrators do not manage owners.
  assert.equal(await bob.get('user-row', { hasText: owner.username }).getByTestId('user-menu').count(), 0);
});

test('somebody is disabled and signed out at once, and enabled again', async () => {
  const bob = await here.person('Bob');
  await opens('users');
  await owner.get('user-search').fill(bob.username);
  await row(bob).getByTestId('user-menu').click();
  await owner.get('user-disable').click();
  await owner.get('confirm').click();
  await bob.get('signin-form').waitFor();
  await bob.signsIn();
  await bob.get('form-error').waitFor();
  await owner.page.locator(`[data-testid=user-row][data-disabled=true]`).filter({ hasText: bob.username }).waitFor();
  await row(bob).getByTestId('user-menu').click();
  await owner.get('user-enable').click();
  await owner.page.locator(`[data-testid=user-row][data-disabled=false]`).filter({ hasText: bob.username }).waitFor();
  await bob.signsIn();
  await bob.isSignedIn();
});

test('a bot signs in with its token until it is disabled', async () => {
  const name = unique('robin').replace(' ', '-');
  await opens('bots');
  await owner.get('bot-new').click();
  await owner.get('bot-username').fill(owner.username);
  await owner.get('bot-create').click();
  await eventually(
    'the name is taken',
    async () => (await owner.get('bot-username').getAttribute('aria-invalid')) === 'true',
  );
  await owner.get('bot-username').fill(name);
  await owner.get('bot-create').click();
  const bot = owner.get('bot-item', { hasText: name });
  await bot.getByTestId('bot-tokens').click();
  await bot.getByTestId('token-new').click();
  await owner.get('token-name').fill('nest');
  await owner.page.locator('input[value="users:read"]').check();
  await owner.get('token-create').click();
  const secret = await owner.get('token-secret-value').inputValue();
  const answer = await asksWhoItIs(server.url, secret);
  assert.equal(answer.code, OK);
  assert.ok(answer.text.includes(name));
  await bot.getByTestId('bot-disable').click();
  await owner.get('confirm').click();
  await eventually('it is refused', async () => (await asksWhoItIs(server.url, secret)).code === UNAUTHENTICATED);
});

test('what was done stands in the audit log, whose chain is whole', async () => {
  const bob = await here.person('Bob');
  await opens('users');
  await owner.get('user-search').fill(bob.username);
  await row(bob).getByTestId('user-menu').click();
  await owner.get('make-guest').click();
  await owner.get('confirm').click();
  await owner.page.locator(`[data-testid=user-row][data-role=guest]`).filter({ hasText: bob.username }).waitFor();
  await opens('audit');
  const changed = owner.page.locator('[data-testid=audit-row][data-action="user.role_changed"]');
  await changed.first().filter({ hasText: 'Bob' }).waitFor();
  await owner.get('audit-kind').selectOption('user.');
  await eventually('only accounts are listed', async () => {
    const actions = await owner.get('audit-row').evaluateAll((rows) => rows.map((each) => each.dataset.action));
    return actions.length > 0 && actions.every((action) => action.startsWith('user.'));
  });
  await owner.get('audit-verify').click();
  const verdict = owner.get('audit-verdict');
  await verdict.waitFor();
  assert.equal(await verdict.getAttribute('data-intact'), 'true');
  assert.match(await verdict.textContent(), /[0-9a-f]{64}/);
});

test('what was done to rooms stands in a log of its own', async () => {
  const room = unique('records');
  await owner.page.goto('/');
  await owner.createsRoom(room);
  await owner.get('room-menu').click();
  await owner.get('archive-room').click();
  await owner.get('confirm').click();
  await owner.get('no-composer').waitFor();
  await opens('audit');
  await owner.get('audit-log').selectOption('rooms');
  await owner.page.locator('[data-testid=audit-row][data-action="room.archived"]').filter({ hasText: room }).waitFor();
  await owner.get('audit-verify').click();
  await owner.page.locator('[data-testid=audit-verdict][data-intact=true]').waitFor();
});
