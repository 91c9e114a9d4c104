/**
 * Records what Chromium's camera sends: `node record.mjs FILE` (after `cargo build --workspace`). A teacher opens a
 * conference in a real system, `schulhof-bench record` looks at each layer and writes down times and sizes of the packets.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './lib/api.mjs';
import { launch } from './lib/browser.mjs';
import { open } from './lib/conference.mjs';
import { CLASSES, Person } from './lib/people.mjs';
import { Stack } from './lib/stack.mjs';

const [file] = process.argv.slice(2);
if (!file) {
  console.error('record.mjs: say where to');
  process.exit(1);
}
const binary = process.env.SCHULHOF_BIN ?? join(dirname(fileURLToPath(import.meta.url)), '../../target/debug/schulhof');

const stack = await Stack.start();
const browser = await launch(['--use-fake-device-for-media-stream=fps=30']);
try {
  const { room, teacher, pupils } = CLASSES.nord;
  const maria = await Person.signedIn(browser, stack.url('nord'), teacher);
  await open(maria, room);
  const granted = await Promise.all(pupils.map(async ({ login }) => (await Api.login(stack.url('nord'), login)).ticket(room)));
  const { host } = new URL(granted[0].claims.primary.url.replace('localhost', '127.0.0.1'));
  const tickets = granted.map(({ ticket }) => ticket);
  const comment = `Chromium ${browser.version()}, fake camera of 1280 x 720 at 30 frames/s; by ops/browser/record.mjs. See benches/src/media/recording.rs`;
  const options = ['record', '--node', host, '--tickets', ...tickets, '--to', resolve(file), '--comment', comment];
  const { status } = spawnSync(join(dirname(resolve(binary)), 'schulhof-bench'), options, { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  await browser.close();
  await stack.stop();
}
