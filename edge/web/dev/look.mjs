// Takes pictures of every page (phone and desktop, light and dark, German and English) into the given folder, and lets axe
// look at each. `npm run build && npm run look -- FOLDER [filter]`
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { fakePeer } from './fake-peer.mjs';
import { serve } from './serve.mjs';

const folder = process.argv[2] ?? 'looks';
const filter = process.argv[3] ?? '';
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

/** A page by name: how the mock is, where to go, and what to do there. */
const LOOKS = {
  login: { path: '/', signedIn: false },
  'login-wrong': { path: '/', signedIn: false, act: async (page) => {
    await page.fill('#user', 'lehmann');
    await page.fill('#password', 'falsch');
    await page.press('#password', 'Enter');
    await page.waitForSelector('#message:not(:empty)');
  } },
  home: { path: '/' },
  'home-empty': { path: '/', empty: true },
  'home-degraded': { path: '/', act: async (page, mock) => { mock.core(false); await page.waitForSelector('.banner'); } },
  'home-gateway': { path: '/', gateway: true, act: goneBox },
  'conversation-gateway': { path: '/messages/7a', gateway: true, act: goneBox },
  'home-signed-out': { path: '/', gateway: true, act: async (page, mock) => {
    await goneBox(page, mock);
    mock.control.signedIn = false;
    mock.control.answering = true;
    await page.waitForSelector('.banner button', { timeout: 20_000 });
  } },
  'home-loading': { path: '/', act: async (page, mock) => { mock.control.loading = true; mock.dropSockets(); await page.waitForSelector('.banner', { timeout: 20_000 }); } },
  'home-refused': { path: '/messages/ma-7', act: async (page, mock) => {
    mock.control.refuse = 'not-a-member';
    for (const text of ['Das darf hier nicht stehen.', 'Und dieser etwas längere Text auch nicht, der über mehrere Zeilen geht.']) {
      await page.fill('textarea', text);
      await page.press('textarea', 'Enter');
    }
    await page.waitForSelector('[data-mark=refused] >> nth=1');
    await page.goto(`${mock.url}/`);
    await page.waitForSelector('#refused');
  } },
  menu: { path: '/', act: (page) => page.click('.face') },
  rooms: { path: '/messages' },
  'rooms-empty': { path: '/messages', empty: true },
  conversation: { path: '/messages/7a', act: (page) => page.waitForSelector('.row') },
  'conversation-marks': { path: '/messages/ma-7', act: async (page, mock) => {
    await page.fill('textarea', 'Wir besprechen das morgen in der zweiten Stunde.');
    await page.press('textarea', 'Enter');
    await page.waitForSelector('[data-mark=secured] >> nth=1');
    mock.core(false);
    await page.fill('textarea', 'Diese Zeile ist auf der Box gespeichert.');
    await page.press('textarea', 'Enter');
    await page.waitForSelector('[data-mark=saved]');
    mock.control.answering = false;
    mock.dropSockets();
    await page.fill('textarea', 'Und diese wartet noch im Browser.');
    await page.press('textarea', 'Enter');
    await page.waitForSelector('[data-mark=waiting]');
    await page.waitForSelector('.banner.box', { timeout: 8000 });
  } },
  'conversation-empty': { path: '/messages/news' },
  'conversation-loading': { path: '/messages/7a', skipReady: true, act: async (page, mock) => { mock.control.delayMs = 4000; await page.reload(); await page.waitForTimeout(1200); } },
  'conversation-refused': { path: '/messages/ma-7', act: async (page, mock) => {
    mock.control.refuse = 'not-a-member';
    await page.fill('textarea', 'Das darf hier nicht stehen.');
    await page.press('textarea', 'Enter');
    await page.waitForSelector('[data-mark=refused]');
  } },
  direct: { path: '/messages', act: async (page) => { await page.click('.rooms header .icon-button'); await page.waitForSelector('dialog li button'); } },
  start: { path: '/messages/ma-7', act: async (page) => { await page.click('.start'); await page.waitForSelector('dialog'); } },
  people: { path: '/people', me: 'hoffmann', act: (page) => page.waitForSelector('tbody tr') },
  'people-none': { path: '/people', me: 'hoffmann', act: (page) => page.fill('input[type=search]', 'xyz') },
  import: { path: '/people/import', me: 'hoffmann', act: (page) => page.waitForSelector('time') },
  'import-plan': { path: '/people/import', me: 'hoffmann', act: (page) => read(page, 'schueler.csv', 'x') },
  'import-plan-whole': { path: '/people/import', me: 'hoffmann', tall: true, act: (page) => read(page, 'schueler.csv', 'x') },
  'import-many': { path: '/people/import', me: 'hoffmann', act: async (page) => { await read(page, 'gross.csv', 'GROSS'); await page.locator('.more').scrollIntoViewIfNeeded(); } },
  'import-same': { path: '/people/import', me: 'hoffmann', act: (page) => read(page, 'gleich.csv', 'GLEICH') },
  'import-broken': { path: '/people/import', me: 'hoffmann', act: (page) => read(page, 'kaputt.csv', 'KAPUTT') },
  'import-confirm': { path: '/people/import', me: 'hoffmann', act: async (page) => { await read(page, 'schueler.csv', 'x'); await page.click('.apply button'); await page.waitForSelector('dialog'); } },
  sheets: { path: '/people/import', me: 'hoffmann', act: sheets },
  'sheets-paper': { path: '/people/import', me: 'hoffmann', act: async (page) => { await sheets(page); await page.emulateMedia({ media: 'print' }); } },
  'sheets-leave': { path: '/people/import', me: 'hoffmann', act: async (page) => { await sheets(page); await page.click('nav a >> nth=0'); await page.waitForSelector('dialog'); } },
  'import-undo': { path: '/people/import', me: 'hoffmann', act: async (page) => { await page.click('.import li button'); await page.waitForSelector('dialog'); } },
  'password-first': { path: '/', me: 'mia', firstPassword: true },
  'password-weak': { path: '/', me: 'mia', firstPassword: true, act: async (page) => {
    await page.fill('.input >> nth=0', 'schulhof');
    await page.fill('.input >> nth=1', 'schneider1');
    await page.fill('.input >> nth=2', 'schneider1');
    await page.press('.input >> nth=2', 'Enter');
  } },
  password: { path: '/', act: async (page) => { await page.click('.face'); await page.click('.row >> nth=1'); await page.waitForSelector('dialog'); } },
  check: { path: '/check', act: (page) => page.waitForSelector('video') },
  'check-denied': { path: '/check', denied: true, act: (page) => page.waitForSelector('.note') },
  prejoin: { path: '/conference/conf-7a', act: (page) => page.waitForSelector('video') },
  conference: { path: '/conference/conf-7a', act: join },
  'conference-screen': { path: '/conference/conf-7a', screen: true, act: join },
  'conference-speaker': { path: '/conference/conf-7a', act: async (page) => { await join(page); await page.click('[data-action=layout]'); await page.waitForTimeout(500); } },
  'conference-people': { path: '/conference/conf-7a', act: async (page) => { await join(page); await page.click('[data-action=people]'); } },
  'conference-two': { path: '/conference/conf-7a', people: 2, act: join },
  'conference-alone': { path: '/conference/conf-7a', people: 1, act: join },
  'conference-many': { path: '/conference/conf-7a', people: 12, act: join },
  'conference-help': { path: '/conference/conf-7a', act: async (page) => { await join(page); await page.keyboard.press('?'); await page.waitForSelector('dialog'); } },
  'conference-leave': { path: '/conference/conf-7a', act: async (page) => { await join(page); await page.click('[data-action=leave]'); } },
  'conference-reconnect': { path: '/conference/conf-7a', act: async (page, mock) => { await join(page); mock.control.delayMs = 0; await page.evaluate(() => (window.__fakeJoin = 'hang')); mock.dropControls(); await page.waitForTimeout(900); } },
  'conference-left': { path: '/conference/conf-7a', people: 2, act: async (page) => { await join(page); await page.click('[data-action=leave]'); await page.click('[data-action=leave-only]'); await page.waitForTimeout(300); } },
};

async function goneBox(page, mock) {
  mock.control.answering = false;
  mock.dropSockets();
  await page.waitForSelector('.banner.calm', { timeout: 20_000 });
}

async function read(page, name, text) {
  await page.setInputFiles('input[type=file]', { name, mimeType: 'text/csv', buffer: Buffer.from(text) });
  await page.waitForSelector('.folds');
}

async function sheets(page) {
  await read(page, 'schueler.csv', 'x');
  await page.click('.apply button');
  await page.click('dialog .primary');
  await page.waitForSelector('.password');
}

async function join(page) {
  await page.waitForSelector('video');
  await page.click('[data-action=join]');
  await page.waitForSelector('[data-tile]');
  await page.waitForTimeout(900);
}

await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
});
let faults = 0;
const variants = (process.argv[4] ?? 'desktop-light-de,phone-light-de,desktop-dark-de,phone-dark-de,desktop-light-en,desktop-dark-en').split(',');
for (const [name, look] of Object.entries(LOOKS)) {
  if (filter && !new RegExp(filter).test(name)) continue;
  for (const variant of variants) {
    const [size, theme, language] = variant.split('-');
    const mock = await serve({ signedIn: true, ...look });
    mock.control.screen = look.screen ?? false;
    const context = await browser.newContext({ viewport: look.tall ? { ...SIZES[size], height: 2400 } : SIZES[size], deviceScaleFactor: size === 'phone' ? 2 : 1, permissions: look.denied ? [] : ['camera', 'microphone'], reducedMotion: 'reduce' });
    await context.addInitScript(`localStorage.setItem('schulhof:preferences', JSON.stringify({ theme: '${theme}', language: '${language}' }));`);
    await context.addInitScript(fakePeer);
    if (look.denied) await context.addInitScript("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));");
    const page = await context.newPage();
    const complain = (text) => { faults += 1; console.log(`${name} ${variant}: ${text}`); };
    page.on('console', (message) => { if (['error', 'warning'].includes(message.type()) && !/ERR_EMPTY_RESPONSE|WebSocket connection|status of (401|503)|ERR_CONNECTION/.test(message.text())) complain(message.text()); });
    page.on('pageerror', (error) => complain(error.stack ?? String(error)));
    page.on('request', (request) => { if (!request.url().startsWith(mock.url) && !look.gateway && !request.url().startsWith('data:')) complain(`request to ${request.url()}`); });
    try {
      await page.goto(mock.url + look.path);
      if (!look.skipReady) await page.waitForSelector('[data-page-heading]', { state: 'attached', timeout: 5000 });
      await page.waitForTimeout(400);
      await look.act?.(page, mock);
      await page.waitForTimeout(350);
      await page.screenshot({ path: `${folder}/${name}-${variant}.png` });
      // axe needs eval-free injection: through the debugging protocol, not the page's policy.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
      for (const { id, help, nodes } of violations) complain(`axe ${id}: ${help}\n    ${nodes.slice(0, 4).map((node) => `${node.target}: ${node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? ''}`).join('\n    ')}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) complain(`${wide} px too wide`);
    } catch (error) {
      complain(String(error).slice(0, 400));
      await page.screenshot({ path: `${folder}/${name}-${variant}-FAILED.png` }).catch(() => {});
    }
    await context.close();
    await mock.close();
  }
}
await browser.close();
console.log(faults === 0 ? 'no faults' : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
