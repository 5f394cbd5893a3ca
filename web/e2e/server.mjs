/** A server of our own, on a free port and a folder that is thrown away. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './wait.mjs';

const BINARY = process.env.E2E_BINARY ?? fileURLToPath(new URL('../../target/debug/loquat', import.meta.url));

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** `settings` are further ones, by the name of their variable. */
export async function startServer(settings = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'loquat-e2e-'));
  const [port, ops] = [await freePort(), await freePort()];
  const url = `http://localhost:${port}`;
  let child;
  let log = '';
  const start = async () => {
    // The server refuses settings that it does not know, such as ours.
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith('LOQUAT_'));
    const env = {
      ...Object.fromEntries(others),
      LOQUAT_GATEWAY__LISTEN: `127.0.0.1:${port}`,
      LOQUAT_OPS__LISTEN: `127.0.0.1:${ops}`,
      LOQUAT_DATA_DIR: folder,
      LOQUAT_CHAT__PRESENCE_SECONDS: '1',
      ...settings,
    };
    child = spawn(BINARY, ['serve'], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
    const started = child;
    started.stderr.on('data', (chunk) => {
      log += chunk;
      process.stderr.write(chunk);
    });
    running.add(started);
    started.once('exit', () => running.delete(started));
    const gone = once(child, 'exit').then(([code]) => {
      throw new Error(`the server ended with ${code}`);
    });
    gone.catch(() => {});
    const ready = eventually('the server answers', async () => (await fetch(url)).ok, 30_000);
    await Promise.race([ready, gone]);
  };
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  };
  await start();
  return {
    url,
    start,
    /** What it has said so far, such as links where there is no mail. */
    log: () => log,
    /** As a crash would. */
    kill: () => end('SIGKILL'),
    /** As an update would. */
    terminate: () => end('SIGTERM'),
    async stop() {
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
