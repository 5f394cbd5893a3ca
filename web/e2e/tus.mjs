/**
 * Uploads with the unmodified tus-js-client, against the server and through a door that is slammed after so many bytes.
 * Started by a Rust story: `node tus.mjs URL TOKEN ROOM BYTES CUTS SEED`; prints one line of JSON with what was uploaded.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { Upload } from 'tus-js-client';

const [url, token, room, bytes, cuts, seed] = process.argv.slice(2);
const target = new URL(url);

/** The same numbers for the same seed. */
let state = Number(seed) >>> 0;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

const content = Buffer.alloc(Number(bytes));
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((random() * 2 ** 32) >>> 0, at);

/** Passes on what goes to the server, and ends the connection when the next cut is reached. */
const share = content.length / (Number(cuts) + 1);
const points = Array.from({ length: Number(cuts) }, (_, index) => Math.floor(share * (index + random())));
let passed = 0;
let slammed = 0;
const door = createServer((client) => {
  const server = connect(Number(target.port), target.hostname);
  const end = () => {
    client.destroy();
    server.destroy();
  };
  client.on('data', (chunk) => {
    let rest = chunk;
    const next = points[0];
    if (next !== undefined && passed + rest.length > next) {
      rest = rest.subarray(0, Math.max(0, next - passed));
      points.shift();
      slammed += 1;
      passed += rest.length;
      // What was sent before the cut arrives; then nothing more does.
      server.write(rest, end);
      return;
    }
    passed += rest.length;
    if (!server.write(rest)) {
      client.pause();
      server.once('drain', () => client.resume());
    }
  });
  server.on('data', (chunk) => client.write(chunk));
  for (const side of [client, server]) side.on('error', end).on('close', end);
}).listen(0, '127.0.0.1');
await once(door, 'listening');
const through = `http://127.0.0.1:${door.address().port}`;

function options(more) {
  return {
    endpoint: `${through}/files`,
    headers: { Authorization: `Bearer ${token}` },
    metadata: { filename: 'cut.bin', filetype: 'application/octet-stream', room_id: room },
    retryDelays: Array.from({ length: Number(cuts) + 20 }, () => 0),
    ...more,
  };
}

/** Runs to its end, and tells what the server said of the file. */
function uploads(file, more = {}) {
  return new Promise((resolve, reject) => {
    let id;
    const running = new Upload(
      file,
      options({
        onAfterResponse: (_, response) => {
          id = response.getHeader('Loquat-File-Id') ?? id;
        },
        onSuccess: () => resolve({ id, url: running.url }),
        onError: reject,
        ...more,
      }),
    );
    running.start();
  });
}

// The server says what it can do.
const can = await fetch(`${url}/files`, { method: 'OPTIONS', headers: { Authorization: `Bearer ${token}` } });
assert.equal(can.status, 204);
assert.equal(can.headers.get('tus-version'), '1.0.0');
for (const extension of ['creation', 'creation-with-upload', 'termination', 'checksum', 'expiration']) {
  assert.ok(can.headers.get('tus-extension').split(',').includes(extension), extension);
}
assert.ok(Number(can.headers.get('tus-max-size')) > 0);

// Cut and resumed, with the first bytes in the request that opens it.
const cut = await uploads(content, { uploadDataDuringCreation: true });

// In two parts, by two clients: the second only knows the address. Paused between them.
const half = await new Promise((resolve, reject) => {
  const first = new Upload(
    content.subarray(0, 300_000),
    options({
      endpoint: `${url}/files`,
      chunkSize: 100_000,
      onChunkComplete: async (_, accepted) => {
        if (accepted !== 200_000) return;
        await first.abort();
        resolve(first.url);
      },
      onError: reject,
    }),
  );
  first.start();
});
const resumed = await uploads(content.subarray(0, 300_000), { uploadUrl: half, endpoint: `${url}/files` });

// Given up: nothing is left to go on with.
const dropped = await new Promise((resolve, reject) => {
  const given = new Upload(
    content.subarray(0, 300_000),
    options({
      endpoint: `${url}/files`,
      chunkSize: 100_000,
      onChunkComplete: async () => {
        await given.abort(true);
        resolve(given.url);
      },
      onError: reject,
    }),
  );
  given.start();
});
const headers = { 'Tus-Resumable': '1.0.0', Authorization: `Bearer ${token}` };
const gone = await fetch(new URL(dropped, url), { method: 'HEAD', headers });
assert.equal(gone.status, 404);

door.close();
const sha256 = (part) => createHash('sha256').update(part).digest('hex');
const said = {
  cuts: slammed,
  files: [
    { id: cut.id, size: content.length, sha256: sha256(content) },
    { id: resumed.id, size: 300_000, sha256: sha256(content.subarray(0, 300_000)) },
  ],
};
process.stdout.write(`${JSON.stringify(said)}\n`);
process.exit(0);
