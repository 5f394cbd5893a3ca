/** Runs the stories against `LOQUAT_URL`, or against a server of its own. Says at the end how many passed. */
import { readdir } from 'node:fs/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { startServer } from './server.mjs';

const folder = fileURLToPath(new URL('./stories/', import.meta.url));
const wanted = process.argv[2] ?? '';
const files = (await readdir(folder)).filter((name) => name.endsWith('.story.mjs') && name.includes(wanted)).sort();

const server = process.env.LOQUAT_URL ? undefined : await startServer();
process.env.LOQUAT_URL ??= server.url;

const counts = { passed: 0, failed: 0, skipped: 0 };
function count(kind) {
  return (event) => {
    const { details, name, skip } = event;
    // Files and groups are no stories.
    if (details?.type === 'suite' || name.endsWith('.story.mjs')) return;
    counts[skip !== undefined && skip !== false ? 'skipped' : kind] += 1;
  };
}

const stories = run({ files: files.map((name) => folder + name), concurrency: 1, timeout: 400_000 });
stories.on('test:pass', count('passed'));
stories.on('test:fail', count('failed'));
const printed = stories.compose(spec);
printed.pipe(process.stdout);
await new Promise((resolve) => printed.on('end', resolve));
await server?.stop();
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
