import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

test('a private room is there for those who are added, and gone for those who are removed', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('secret');
  await alice.createsRoom(room, 'private');
  await alice.says('Only for us');
  assert.equal(await bob.room(room).count(), 0);
  await alice.get('members-toggle').click();
  await alice.get('add-member-input').fill(bob.username);
  await alice.get('add-member-option', { hasText: bob.username }).click();
  await bob.opens(room);
  await bob.sees('Only for us');
  const member = alice.get('member-item', { hasText: bob.username });
  // Who manages the room is seen at once, and may be shared.
  await bob.get('members-toggle').click();
  await member.hover();
  await member.getByTestId('member-role').click();
  await alice.get('make-admin').click();
  await bob.get('member-item', { hasText: `${bob.username} · Admin` }).waitFor();
  await bob.get('add-member-input').waitFor();
  await member.hover();
  await member.getByTestId('remove-member').click();
  await alice.get('confirm').click();
  await bob.room(room).waitFor({ state: 'detached' });
  await member.waitFor({ state: 'detached' });
});

test('a room is renamed for everybody, left, and joined again', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const [old, fresh] = [unique('old'), unique('fresh')];
  await alice.createsRoom(old);
  await bob.joins(old);
  await bob.says('I am here');
  await alice.get('room-menu').click();
  await alice.get('rename-room').click();
  await alice.get('settings-name').fill(fresh);
  await alice.get('settings-save').click();
  await bob.isIn(fresh);
  await bob.get('room-menu').click();
  await bob.get('leave-room').click();
  await bob.get('confirm').click();
  await bob.room(fresh).waitFor({ state: 'detached' });
  await alice.says('Bob has left');
  await bob.joins(fresh);
  await bob.eventuallySees(['I am here', 'Bob has left']);
});

test('who is online is seen by those who have the room open', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('porch');
  await alice.createsRoom(room);
  await bob.joins(room);
  await alice.get('online-count', { hasText: '2' }).waitFor();
  await alice.get('members-toggle').click();
  const member = (online) => alice.page.locator(`[data-testid=member-item][data-online=${online}]`);
  await member(true).filter({ hasText: bob.username }).waitFor();
  await bob.page.close();
  await member(false).filter({ hasText: bob.username }).waitFor();
  await alice.get('online-count', { hasText: '1' }).waitFor();
  bob.use(await bob.context.newPage());
  await bob.page.goto('/');
  await member(true).filter({ hasText: bob.username }).waitFor();
});

test('rooms are found by keyboard', async () => {
  const alice = await here.person('Alice');
  const [first, second] = [unique('meadow'), unique('orchard')];
  await alice.createsRoom(first);
  await alice.createsRoom(second);
  await alice.page.keyboard.press('Control+k');
  await alice.get('switcher-input').fill('mead');
  await alice.get('switcher-input').press('Enter');
  await alice.isIn(first);
  await alice.page.keyboard.press('Alt+ArrowDown');
  await alice.isIn(second);
  await eventually('one can write at once', () =>
    alice.get('composer').evaluate((element) => element === document.activeElement),
  );
});

test('on a narrow screen the rooms are in a drawer', async () => {
  const alice = await here.person('Alice');
  const room = unique('pocket');
  await alice.createsRoom(room);
  await alice.createsRoom(unique('other'));
  await alice.page.setViewportSize({ width: 390, height: 780 });
  await alice.room(room).waitFor({ state: 'hidden' });
  await alice.get('open-sidebar').click();
  await alice.opens(room);
  await alice.room(room).waitFor({ state: 'hidden' });
  const wide = await alice.page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(wide, 390);
});

test('the dark appearance is chosen, and kept', async () => {
  const alice = await here.person('Alice');
  await alice.get('account-menu').click();
  await alice.get('theme-dark').click();
  const dark = () => alice.page.evaluate(() => document.documentElement.classList.contains('dark'));
  await eventually('it is dark', dark);
  await alice.page.reload();
  assert.equal(await dark(), true);
});
