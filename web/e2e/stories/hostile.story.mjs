import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOSTILE } from '../hostile.mjs';
import { unique } from '../people.mjs';
import { world } from '../story.mjs';
import { eventually } from '../wait.mjs';

const here = world();

/** Uploads by tus, as the page of somebody signed in. */
async function uploads(person, roomId, file) {
  const at = await person.page.evaluate(
    async ([room, { name, type, base64 }]) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
      const metadata = { filename: name, room_id: room, ...(type ? { filetype: type } : {}) };
      const answer = await fetch('/files', {
        method: 'POST',
        headers: {
          'Tus-Resumable': '1.0.0',
          'Upload-Length': String(bytes.length),
          'Upload-Metadata': Object.entries(metadata)
            .map(([key, value]) => `${key} ${encode(value)}`)
            .join(','),
          'Content-Type': 'application/offset+octet-stream',
        },
        body: bytes,
      });
      return `${answer.status} ${answer.headers.get('location')}`;
    },
    [roomId, { ...file, base64: file.bytes.toString('base64') }],
  );
  assert.match(at, /^201 \/files\//, file.name);
  return at.slice(4);
}

test('forty hostile files are opened, shown and embedded, and run nothing', async () => {
  assert.ok(HOSTILE.length >= 40);
  const [alice, bob] = [await here.person('Alice'), await here.person('Bob')];
  const room = unique('hostile');
  await alice.createsRoom(room);
  await bob.joins(room);
  const roomId = new URL(alice.page.url()).pathname.split('/').at(-1);

  const alarms = [];
  bob.context.on('request', (request) => {
    if (request.url().includes('canary')) alarms.push(request.url());
  });
  const watch = (page) =>
    page.on('dialog', async (dialog) => {
      alarms.push(`a dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
  watch(bob.page);
  bob.context.on('page', watch);

  for (const file of HOSTILE) {
    const path = await uploads(alice, roomId, file);
    // Others get it when it was looked at.
    const answer = await eventually(`${file.name} was looked at`, async () => {
      const got = await bob.context.request.get(path);
      return got.status() === 200 && got;
    });
    const headers = answer.headers();
    assert.equal(headers['content-disposition'].split(';')[0], file.shown, file.name);
    assert.equal(headers['x-content-type-options'], 'nosniff', file.name);
    assert.match(headers['content-security-policy'], /sandbox.*default-src 'none'/, file.name);
    assert.ok(file.bytes.equals(await answer.body()), file.name);

    // As an address of its own: a download, or something that is only looked at.
    const page = await bob.context.newPage();
    const download = page.waitForEvent('download', { timeout: 5000 }).catch(() => undefined);
    const loaded = page.goto(path).then(
      () => 'inline',
      () => 'attachment',
    );
    if (file.shown === 'attachment') assert.ok(await download, `${file.name} is saved, not shown`);
    else assert.equal(await loaded, 'inline', file.name);
    assert.notEqual(await page.title(), 'pwned', file.name);
    await page.close();

    // Embedded in a page of our own, in every way there is.
    await bob.page.evaluate(async (address) => {
      const ways = [
        ['iframe', 'src'],
        ['embed', 'src'],
        ['object', 'data'],
        ['img', 'src'],
        ['video', 'src'],
        ['link', 'href'],
        ['script', 'src'],
      ];
      const tries = ways.map(([tag, attribute]) => {
        const element = document.createElement(tag);
        if (tag === 'link') element.rel = 'stylesheet';
        const settled = new Promise((resolve) => {
          element.onload = resolve;
          element.onerror = resolve;
          element.onloadedmetadata = resolve;
          // A frame that becomes a download says nothing.
          setTimeout(resolve, 300);
        });
        element[attribute] = address;
        document.body.append(element);
        return settled.then(() => element.remove());
      });
      await Promise.all(tries);
    }, path);
    assert.deepEqual(alarms, [], file.name);
  }
  // Everybody is still well.
  await alice.opens(room);
  await alice.says('all quiet');
  await bob.sees('all quiet');
});
