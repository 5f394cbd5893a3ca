import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';

const here = world();

async function two(name) {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique(name);
  await alice.createsRoom(room);
  await bob.joins(room);
  return { alice, bob, room };
}

async function settings(person) {
  await person.get('room-menu').click();
  await person.get('rename-room').click();
}

test('in a room for announcements only those who may post see where to write', async () => {
  const { alice, bob } = await two('notices');
  await bob.says('Anybody may write');
  await settings(alice);
  await alice.get('permission-post').selectOption('moderator');
  await alice.get('settings-save').click();
  const closed = bob.page.locator('[data-testid=no-composer][data-reason=role]');
  await closed.waitFor();
  assert.equal(await bob.get('composer').count(), 0);
  await bob.message('Anybody may write').hover();
  assert.equal(await bob.message('Anybody may write').getByTestId('message-edit').count(), 0);
  await alice.says('From now on this is for news');
  await bob.sees('From now on this is for news');
  await alice.get('members-toggle').click();
  const member = alice.get('member-item', { hasText: bob.username });
  await member.hover();
  await member.getByTestId('member-role').click();
  await alice.get('make-moderator').click();
  await closed.waitFor({ state: 'detached' });
  await bob.says('I have news too');
});

test('a room is made for announcements from the start', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('gazette');
  await alice.get('create-room').click();
  await alice.get('room-name').fill(room);
  await alice.get('room-announcements').check();
  await alice.get('create-room-submit').click();
  await alice.isIn(room);
  await alice.says('First edition');
  await bob.joins(room);
  await bob.page.locator('[data-testid=no-composer][data-reason=role]').waitFor();
});

test('an archived room can be read, and is opened again', async () => {
  const { alice, bob, room } = await two('attic');
  await alice.says('Last words');
  await alice.get('room-menu').click();
  await alice.get('archive-room').click();
  await alice.get('confirm').click();
  for (const person of [alice, bob]) {
    await person.page.locator('[data-testid=no-composer][data-reason=archived]').waitFor();
    await person.sees('Last words');
  }
  assert.equal(await bob.get('unarchive-here').count(), 0);
  await bob.page.reload();
  await bob.isIn(room);
  await bob.page.locator('[data-testid=no-composer][data-reason=archived]').waitFor();
  await alice.get('unarchive-here').click();
  await bob.get('composer').waitFor();
  await bob.says('Back again');
  await alice.sees('Back again');
});

test('who joins a room without its history sees what comes after', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('fresh start');
  await alice.createsRoom(room);
  await settings(alice);
  await alice.get('settings-history').selectOption('since-joined');
  await alice.get('settings-save').click();
  await alice.get('room-settings').waitFor({ state: 'detached' });
  await alice.says('Before your time');
  await bob.joins(room);
  await alice.says('Welcome');
  await bob.eventuallySees(['Welcome']);
});

test('who says how long a room keeps messages is warned, and everybody can read it', async () => {
  const { alice, bob } = await two('short memory');
  await settings(alice);
  assert.equal(await alice.get('retention-warning').count(), 0);
  await alice.get('settings-retention').selectOption('7');
  const warning = await alice.get('retention-warning').textContent();
  assert.match(warning, /older than 7 days are deleted for good, with their files/);
  await alice.get('settings-save').click();
  await alice.get('room-settings').waitFor({ state: 'detached' });
  await bob.get('room-keeps').waitFor();
  assert.match(await bob.get('room-keeps').textContent(), /7 days/);
  await settings(alice);
  await alice.get('settings-retention').selectOption('0');
  await alice.get('settings-save').click();
  await bob.get('room-keeps').waitFor({ state: 'detached' });
});

test('what a room permits decides who deletes, adds and removes', async () => {
  const { alice, bob } = await two('rules');
  await alice.says('Mine');
  await bob.sees('Mine');
  await bob.message('Mine').hover();
  await bob.message('Mine').getByTestId('message-menu').click();
  assert.equal(await bob.get('message-delete').count(), 0);
  await bob.page.keyboard.press('Escape');
  await bob.get('members-toggle').click();
  await bob.get('add-member-input').waitFor();
  await settings(alice);
  await alice.get('permission-addMembers').selectOption('admin');
  await alice.get('permission-deleteMessages').selectOption('member');
  await alice.get('settings-save').click();
  await bob.get('add-member-input').waitFor({ state: 'detached' });
  await bob.message('Mine').hover();
  await bob.message('Mine').getByTestId('message-menu').click();
  await bob.get('message-delete').click();
  await bob.get('confirm').click();
  await alice.eventuallySees(['']);
});
