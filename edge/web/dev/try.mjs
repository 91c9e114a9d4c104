// Tries the client against a system that runs (`schulhof up --ready-file FILE`), with real browsers and real media:
// messages and their marks, a conference of three, the death of the box's media node, a relay that hangs.
// `npm run try -- FILE [FOLDER for pictures]`
import { mkdir, readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const record = JSON.parse(await readFile(process.argv[2], 'utf8'));
const folder = process.argv[3] ?? 'looks';
await mkdir(folder, { recursive: true });
const box = record.nodes.find((node) => node.kind === 'box' && node.name === 'nord');
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-select-desktop-capture-source=Entire screen'],
});

const faults = [];
async function person(login, size = { width: 1280, height: 800 }) {
  const context = await browser.newContext({ viewport: size, permissions: ['camera', 'microphone'] });
  const page = await context.newPage();
  page.on('console', (message) => { if (message.type() === 'error' && !/status of 401|WebSocket|ERR_/.test(message.text())) faults.push(`${login}: ${message.text()}`); });
  page.on('pageerror', (error) => faults.push(`${login}: ${error.stack}`));
  await page.goto(box.url);
  await page.fill('#user', login);
  await page.fill('#password', 'schulhof');
  await page.press('#password', 'Enter');
  await page.waitForSelector('.home');
  return page;
}

async function until(what, check, ms = 15_000) {
  const begin = performance.now();
  for (;;) {
    const value = await check();
    if (value) {
      console.log(`${what}: ${Math.round(performance.now() - begin)} ms`);
      return value;
    }
    if (performance.now() - begin > ms) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const snapshot = (page) => page.evaluate(() => window.__schulhof.conference());

const people = await Promise.all(['m.weber', 'e.mueller', 'n.schmidt'].map((login) => person(login)));
const [teacher, emilia, noah] = people;
try {
  for (const page of people) {
    await page.click('nav a[href="/messages"]');
    await page.click('.rooms a:has-text("5a")');
    await page.waitForSelector('textarea');
  }
  await teacher.fill('textarea', 'Guten Morgen, liebe 5a.');
  await teacher.press('textarea', 'Enter');
  await until('message at the pupil', () => emilia.locator('.bubble', { hasText: 'Guten Morgen, liebe 5a.' }).count());
  await until('secured', () => teacher.locator('.own:last-of-type [data-mark=secured]').count());
  await emilia.fill('textarea', 'Guten Morgen, Frau Weber!');
  await emilia.press('textarea', 'Enter');
  await until('answer at the teacher', () => teacher.locator('.bubble', { hasText: 'Guten Morgen, Frau Weber!' }).count());
  await teacher.screenshot({ path: `${folder}/try-conversation.png` });

  if (await teacher.locator('.start').count()) {
    await teacher.click('.start');
    await teacher.fill('#conference-title', 'Mathematik: Brüche');
    await teacher.click('dialog .primary');
  } else {
    await teacher.click('.bar .primary');
  }
  await teacher.waitForSelector('[data-action=join]:not([disabled])');
  await teacher.click('[data-action=join]');
  await until('teacher joined', async () => (await snapshot(teacher))?.phase === 'connected');
  for (const page of [emilia, noah]) {
    await page.click('.bar .primary');
    await page.waitForSelector('[data-action=join]:not([disabled])');
    await page.waitForTimeout(500);
    await page.click('[data-action=join]');
  }
  const sees = async (page) => (await snapshot(page))?.participants.filter((other) => !other.me && other.framesPerSecond > 5).length === 2;
  for (const page of people) await until('sees both others', () => sees(page));
  console.log(JSON.stringify(await snapshot(teacher)));
  await emilia.click('[data-action=hand]');
  await until('hand at the teacher', () => teacher.locator('.hand').count());
  await teacher.waitForTimeout(1_000);
  await teacher.screenshot({ path: `${folder}/try-conference.png` });

  const heard = (await snapshot(teacher)).audioEnergy;
  await until('hears', async () => (await snapshot(teacher)).audioEnergy > heard);
  await noah.click('[data-action=camera]');
  await until('camera off is seen', async () => (await snapshot(teacher)).participants.some((other) => !other.me && !other.camera));
  await noah.click('[data-action=camera]');
  await until('camera on again', () => sees(teacher));
  await noah.click('[data-action=screen]');
  await until('screen at the teacher', () => teacher.locator('[data-tile$="/screen"].main video.on').count());
  await teacher.waitForTimeout(800);
  await teacher.screenshot({ path: `${folder}/try-screen.png` });
  await noah.click('[data-action=screen]');

  const { pid } = await (await fetch(`${box.media.admin}/status`)).json();
  console.log('box media', pid, 'ends');
  process.kill(pid, 'SIGKILL');
  const died = performance.now();
  for (const page of people) await until('sees both others again', async () => (await snapshot(page))?.nodeKind === 'relay' && sees(page));
  console.log(`all of them ${Math.round(performance.now() - died)} ms after the node died`);
  await until('hand is up again', () => teacher.locator('.hand').count());
  console.log(JSON.stringify(await snapshot(teacher)));
  await teacher.screenshot({ path: `${folder}/try-failover.png` });
  const relay = record.nodes.find((node) => node.kind === 'relay');
  await until('the box has a media node again', async () => (await fetch(`${box.media.admin}/readyz`).catch(() => null))?.ok);
  console.log('relay', relay.pid, 'hangs');
  process.kill(relay.pid, 'SIGSTOP');
  const hung = performance.now();
  try {
    for (const page of people) await until('is back at the box', async () => (await snapshot(page))?.nodeKind === 'box' && sees(page));
    console.log(`all of them ${Math.round(performance.now() - hung)} ms after the node hung`);
  } finally {
    process.kill(relay.pid, 'SIGCONT');
  }
  await teacher.click('[data-action=leave]');
  await teacher.click('[data-action=leave-all]');
  await until('ended for all', async () => (await emilia.locator('.empty').count()) && (await noah.locator('.empty').count()));
} catch (error) {
  faults.push(String(error));
  await Promise.all(people.map((page, i) => page.screenshot({ path: `${folder}/try-FAILED-${i}.png` })));
  console.log(JSON.stringify(await Promise.all(people.map(snapshot)), null, 1));
}
await browser.close();
console.log(faults.length === 0 ? 'no faults' : faults.join('\n'));
process.exitCode = faults.length === 0 ? 0 : 1;
