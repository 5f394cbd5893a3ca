import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { unique } from '../people.mjs';
import { png } from '../png.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

test('a picture is shared, and its thumbnail appears for everybody', async () => {
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('gallery');
  await alice.createsRoom(room);
  await bob.joins(room);
  await alice.get('file-input').setInputFiles({ name: 'tree.png', mimeType: 'image/png', buffer: png(800, 500) });
  await alice.page.locator('[data-testid=upload-item][data-state=done]').waitFor();
  await alice.writes('From the garden');
  for (const person of [alice, bob]) {
    const image = person.message('From the garden').locator('[data-testid=message-image][data-state=ready] img');
    await image.waitFor();
    await eventually('the picture is drawn', () => image.evaluate((element) => element.naturalWidth === 320));
    assert.match(await image.getAttribute('src'), /^\/files\/[0-9a-f-]+\?variant=w320$/);
  }
  await bob.get('message-image').click();
  const large = bob.get('lightbox').locator('img');
  await eventually('the whole picture is shown', () => large.evaluate((element) => element.naturalWidth === 800));
  await bob.page.keyboard.press('Escape');
  await bob.get('lightbox').waitFor({ state: 'detached' });
});

test('a file is shared and comes back byte by byte, and only to members', async () => {
  const [alice, bob, eve] = [await here.person('Alice'), await here.person('Bob'), await here.person('Eve')];
  const room = unique('papers');
  await alice.createsRoom(room);
  await bob.joins(room);
  const buffer = Buffer.from('Grüße aus dem Garten\n'.repeat(5000));
  await alice.get('file-input').setInputFiles({ name: 'grüße.txt', mimeType: 'text/plain', buffer });
  await alice.page.locator('[data-testid=upload-item][data-state=done]').waitFor();
  await alice.get('send').click();
  const chip = bob.get('message-file', { hasText: 'grüße.txt' });
  await chip.waitFor();
  const [download] = await Promise.all([bob.page.waitForEvent('download'), chip.click()]);
  assert.equal(download.suggestedFilename(), 'grüße.txt');
  assert.ok(buffer.equals(await readFile(await download.path())), 'the bytes are the same');
  const address = await chip.getAttribute('href');
  const refused = await eve.page.evaluate(async (path) => (await fetch(path)).status, address);
  assert.equal(refused, 404);
});

test('files are pasted and dropped, and one can be taken back', async () => {
  const alice = await here.person('Alice');
  await alice.createsRoom(unique('desk'));
  const give = (selector, type) =>
    alice.page.evaluate(
      ([where, event]) => {
        const data = new DataTransfer();
        data.items.add(new File(['some text'], `${event}.txt`, { type: 'text/plain' }));
        const shared = { bubbles: true, cancelable: true };
        const happened =
          event === 'paste'
            ? new ClipboardEvent(event, { ...shared, clipboardData: data })
            : new DragEvent(event, { ...shared, dataTransfer: data });
        document.querySelector(where).dispatchEvent(happened);
      },
      [selector, type],
    );
  await give('[data-testid=composer]', 'paste');
  await give('[data-testid=timeline]', 'drop');
  const done = alice.page.locator('[data-testid=upload-item][data-state=done]');
  await eventually('both are there', async () => (await done.count()) === 2);
  await done.filter({ hasText: 'paste.txt' }).getByRole('button').click();
  await alice.get('send').click();
  await alice.get('message-file', { hasText: 'drop.txt' }).waitFor();
  assert.equal(await alice.get('message-file').count(), 1);
});
