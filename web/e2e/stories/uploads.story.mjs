import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openWorld, unique } from '../people.mjs';
import { png } from '../png.mjs';
import { startServer } from '../server.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';
import { wav } from '../wav.mjs';

const here = world();

/** What the line of a browser is like, until it is said again. */
async function line(person, { bytesPerSecond = -1, offline = false } = {}) {
  person.devtools ??= await person.context.newCDPSession(person.page);
  await person.devtools.send('Network.enable');
  const speed = { latency: 0, downloadThroughput: -1, uploadThroughput: bytesPerSecond };
  await person.devtools.send('Network.emulateNetworkConditions', { offline, ...speed });
}

function item(person, name, state) {
  const suffix = state ? `[data-state=${state}]` : '';
  return person.page.locator(`[data-testid=upload-item]${suffix}`).filter({ hasText: name });
}

async function attaches(person, ...files) {
  await person.get('file-input').setInputFiles(files.map(([name, mimeType, buffer]) => ({ name, mimeType, buffer })));
}

async function shares(person, text, file) {
  await attaches(person, file);
  await item(person, file[0], 'done').waitFor();
  await person.writes(text);
  await person.sees(text);
}

test('several files go at once, one is paused and another is given up, and a reload loses nothing', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('parcels');
  await alice.createsRoom(room);
  await bob.joins(room);
  const large = randomBytes(3_000_000);
  await line(alice, { bytesPerSecond: 300_000 });
  await attaches(
    alice,
    ['large.bin', 'application/octet-stream', large],
    ['unwanted.bin', 'application/octet-stream', randomBytes(2_000_000)],
    ['small.bin', 'application/octet-stream', randomBytes(400_000)],
  );
  await item(alice, 'unwanted.bin', 'uploading').getByTestId('upload-remove').click();
  await item(alice, 'unwanted.bin').waitFor({ state: 'detached' });
  const bar = item(alice, 'large.bin').getByRole('progressbar');
  await eventually('some of it is sent', async () => Number(await bar.getAttribute('aria-valuenow')) >= 5, 60_000);
  await item(alice, 'large.bin').getByTestId('upload-pause').click();
  await item(alice, 'large.bin', 'paused').waitFor();
  await alice.page.reload();
  await alice.isSignedIn();
  await item(alice, 'large.bin', 'paused').waitFor();
  // What was not paused goes on by itself.
  await item(alice, 'small.bin', 'done').waitFor({ timeout: 60_000 });
  const asked = alice.page.waitForResponse((response) => response.request().method() === 'HEAD');
  await item(alice, 'large.bin').getByTestId('upload-resume').click();
  assert.ok(Number((await asked).headers()['upload-offset']) > 0, 'it goes on where it was paused');
  await line(alice);
  await item(alice, 'large.bin', 'done').waitFor({ timeout: 60_000 });
  await alice.get('send').click();
  const chip = bob.get('message-file', { hasText: 'large.bin' });
  await bob.page.locator('[data-testid=message-file][data-state=ready]').filter({ hasText: 'large.bin' }).waitFor();
  const [download] = await Promise.all([bob.page.waitForEvent('download'), chip.click()]);
  assert.ok(large.equals(await readFile(await download.path())), 'the bytes are the same');
  await bob.get('message-file', { hasText: 'small.bin' }).waitFor();
  assert.equal(await bob.get('message-file').count(), 2);
});

test('an upload that breaks off goes on when the connection is back', async () => {
  const alice = await here.person('Alice');
  await alice.createsRoom(unique('tunnel'));
  await line(alice, { bytesPerSecond: 100_000 });
  await attaches(alice, ['ticket.bin', 'application/octet-stream', randomBytes(700_000)]);
  const bar = item(alice, 'ticket.bin').getByRole('progressbar');
  await eventually('some of it is sent', async () => Number(await bar.getAttribute('aria-valuenow')) >= 10, 60_000);
  await line(alice, { offline: true });
  await alice.get('banner', { hasText: 'Offline' }).waitFor();
  await line(alice);
  await alice.isLive();
  await item(alice, 'ticket.bin', 'done').waitFor({ timeout: 60_000 });
});

test('a file that would be refused is told so before a byte is sent', async () => {
  const server = await startServer({ LOQUAT_FILE__MAX_BYTES: '100000' });
  const there = await openWorld(server.url);
  try {
    const alice = await there.person('Alice');
    await alice.createsRoom('small things');
    const uploads = [];
    alice.page.on('request', (request) => request.url().includes('/files') && uploads.push(request.url()));
    await attaches(alice, ['huge.bin', 'application/octet-stream', Buffer.alloc(100_001)]);
    await item(alice, 'huge.bin', 'failed').waitFor();
    assert.match(await item(alice, 'huge.bin').textContent(), /at most 98 KiB/);
    assert.deepEqual(uploads, []);
    await item(alice, 'huge.bin').getByTestId('upload-remove').click();
    await attaches(alice, ['fits.bin', 'application/octet-stream', Buffer.alloc(100_000)]);
    await item(alice, 'fits.bin', 'done').waitFor();
  } finally {
    await there.close();
    await server.stop();
  }
});

test('a sound is played in place, and one can seek in it', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('radio');
  await alice.createsRoom(room);
  await bob.joins(room);
  await shares(alice, 'Listen', ['tone.wav', 'audio/wav', wav(60)]);
  const player = bob.message('Listen').getByTestId('message-audio').locator('audio');
  await player.waitFor();
  await eventually('its length is known', () => player.evaluate((audio) => Math.round(audio.duration) === 60));
  const at = await player.evaluate(
    (audio) =>
      new Promise((resolve) => {
        audio.addEventListener('seeked', () => resolve(audio.currentTime), { once: true });
        audio.currentTime = 45;
      }),
  );
  assert.equal(Math.round(at), 45);
  const address = await player.getAttribute('src');
  const part = await bob.page.evaluate(async (path) => {
    const response = await fetch(path, { headers: { range: 'bytes=1000-1009' } });
    return [response.status, (await response.arrayBuffer()).byteLength];
  }, address);
  assert.deepEqual(part, [206, 10]);
});

test('the files of a room are listed, looked for, looked at, and taken out', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('shelf');
  await alice.createsRoom(room);
  await bob.joins(room);
  await shares(alice, 'A tree', ['tree.png', 'image/png', png(400, 300)]);
  await shares(alice, 'A house', ['house.png', 'image/png', png(300, 400)]);
  await shares(bob, 'A list', ['shopping list.txt', 'text/plain', Buffer.from('apples')]);
  const rows = alice.get('file-row');
  await alice.get('files-toggle').click();
  await eventually('all three are listed', async () => (await rows.count()) === 3);
  await alice.get('file-kind').selectOption('image/*');
  await alice.get('gallery').waitFor();
  await eventually('two are pictures', async () => (await rows.count()) === 2);
  await rows.filter({ hasText: 'tree.png' }).getByTestId('file-open').click();
  const large = alice.get('lightbox').locator('img');
  await eventually('it is shown', () => large.evaluate((image) => image.naturalWidth === 400));
  const width = () => large.evaluate((image) => image.naturalWidth);
  await alice.page.keyboard.press('ArrowRight');
  await eventually('the next one is shown', async () => (await width()) === 300);
  await alice.page.keyboard.press('Escape');
  await alice.get('file-kind').selectOption('');
  await alice.get('file-search').fill('shop');
  await eventually('one is found', async () => (await rows.count()) === 1);
  await rows.filter({ hasText: 'shopping list.txt' }).waitFor();
  await alice.get('file-search').fill('nowhere');
  await alice.get('files-panel').getByTestId('empty').waitFor();
  await alice.get('file-search').fill('tree');
  await rows.filter({ hasText: 'tree.png' }).hover();
  await rows.filter({ hasText: 'tree.png' }).getByTestId('file-delete').click();
  await alice.get('confirm').click();
  for (const person of [alice, bob]) {
    await person.message('A tree').locator('[data-testid=message-file][data-state=removed]').waitFor();
  }
  // What others shared is not Bob's to take away.
  await bob.get('files-toggle').click();
  await bob.get('file-row', { hasText: 'house.png' }).waitFor();
  assert.equal(await bob.get('file-row', { hasText: 'house.png' }).getByTestId('file-delete').count(), 0);
  assert.equal(await bob.get('file-row', { hasText: 'shopping' }).getByTestId('file-delete').count(), 1);
});
