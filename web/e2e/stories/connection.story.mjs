import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWorld, unique } from '../people.mjs';
import { startServer } from '../server.mjs';
import { world } from '../story.mjs';

const here = world();

test('who goes offline and comes back has lost nothing, and what they wrote is sent once', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('tunnel');
  await alice.createsRoom(room);
  await bob.joins(room);
  await bob.says('See you on the other side');
  await alice.sees('See you on the other side');
  await bob.goesOffline();
  await bob.get('banner', { hasText: 'Offline' }).waitFor();
  await bob.writes('written in the dark 1');
  await bob.writes('written in the dark 2');
  assert.equal(await bob.get('pending-item').count(), 2);
  for (const text of ['above 1', 'above 2', 'above 3']) await alice.says(text);
  await bob.comesBack();
  await bob.isLive();
  const before = ['See you on the other side', 'above 1', 'above 2', 'above 3'];
  const all = [...before, 'written in the dark 1', 'written in the dark 2'];
  await bob.eventuallySees(all);
  await alice.eventuallySees(all);
  await bob.get('pending-item').first().waitFor({ state: 'detached' });
  assert.deepEqual(await alice.timeline(), await bob.timeline());
});

test('what was written offline is sent by a later window', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('letters');
  await alice.createsRoom(room);
  await bob.joins(room);
  await bob.goesOffline();
  await bob.get('banner', { hasText: 'Offline' }).waitFor();
  await bob.writes('left on the table');
  await bob.get('pending-item', { hasText: 'left on the table' }).waitFor();
  await bob.page.close();
  await bob.comesBack();
  bob.use(await bob.context.newPage());
  await bob.page.goto('/');
  await alice.eventuallySees(['left on the table']);
  await bob.opens(room);
  await bob.eventuallySees(['left on the table']);
});

test('a reload keeps everything', async () => {
  const alice = await here.person('Alice');
  const [first, second] = [unique('first'), unique('second')];
  await alice.createsRoom(first);
  await alice.says('one');
  await alice.says('two');
  await alice.createsRoom(second);
  await alice.opens(first);
  await alice.get('composer').fill('half a thou');
  const before = await alice.timeline();
  await alice.page.reload();
  await alice.isSignedIn();
  await alice.isIn(first);
  await alice.eventuallySees(['one', 'two']);
  assert.deepEqual(await alice.timeline(), before);
  assert.equal(await alice.get('composer').inputValue(), 'half a thou');
  assert.equal(await alice.get('room-item').count(), 2);
});

test('signing out in one window signs out the other', async () => {
  const alice = await here.person('Alice');
  const other = await alice.context.newPage();
  await other.goto('/');
  await other.getByTestId('my-name').waitFor();
  await alice.get('account-menu').click();
  await alice.get('sign-out').click();
  await alice.get('signin-form').waitFor();
  await other.getByTestId('signin-form').waitFor();
  await alice.signsIn(alice.username, 'not the password');
  await alice.get('form-error').waitFor();
  await alice.signsIn();
  await alice.isSignedIn();
});

for (const [how, end] of [
  ['killed', 'kill'],
  ['stopped', 'terminate'],
]) {
  test(`a server that is ${how} and started again is gone on with`, async () => {
    const server = await startServer();
    const there = await openWorld(server.url);
    try {
      const [alice, bob] = [await there.person('Alice'), await there.person('Bob')];
      await alice.createsRoom('phoenix');
      await bob.joins('phoenix');
      await alice.says('before');
      await bob.sees('before');
      await server[end]();
      await bob.get('banner', { hasText: 'Reconnecting' }).waitFor();
      await bob.writes('while it was down');
      await alice.writes('me too');
      await server.start();
      for (const person of [alice, bob]) {
        const retry = person.get('retry-now');
        // It may have come back by itself meanwhile.
        await retry.click({ timeout: 1000 }).catch(() => {});
        await person.sees('while it was down');
        await person.sees('me too');
        await person.get('pending-item').first().waitFor({ state: 'detached' });
      }
      assert.equal((await alice.timeline()).length, 3);
      assert.deepEqual(await alice.timeline(), await bob.timeline());
    } finally {
      await there.close();
      await server.stop();
    }
  });
}
