/** A timetable comes in from a file, a teacher and a pupil look at their weeks, also while the cloud is away. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { cp1252 } from '../lib/lists.mjs';
import { CLASSES, Person } from '../lib/people.mjs';
import { story } from '../lib/story.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

const { admin, teacher, pupils } = CLASSES.nord;
const DESK = /** @type {const} */ ({ language: 'de', theme: 'light', viewport: { width: 1280, height: 800 } });
const PHONE = /** @type {const} */ ({ language: 'en', theme: 'dark', viewport: { width: 390, height: 844 } });

/** Rows of Untis' GPU001: five days of two classes, one lesson together, two side by side. */
function gpu001() {
  const subjects = ['M', 'D', 'E', 'Bio', 'Ge', 'Ku'];
  const teachers = ['WEB', 'SCH', 'YIL', 'LIN'];
  const rows = [];
  for (let day = 1; day <= 5; day += 1) {
    for (let period = 1; period <= 5; period += 1) {
      const n = day * 10 + period;
      rows.push([n, '5a', teachers[n % 4], subjects[n % 6], 100 + (n % 7), day, period]);
      rows.push([100 + n, '08B', teachers[(n + 1) % 4], subjects[(n + 2) % 6], 110 + (n % 7), day, period]);
    }
  }
  rows.push([201, '5a', 'LIN', 'Sp', 'Große Halle', 1, 6], [201, '08B', 'LIN', 'Sp', 'Große Halle', 1, 6]);
  rows.push([202, '5a', 'YIL', 'evRel', '201', 2, 6], [202, '5a', 'SCH', 'Eth', '202', 2, 6]);
  return rows;
}

/** @param {(string | number)[][]} rows as Untis writes them in Germany */
const file = (rows) => cp1252(rows.map(([n, group, ...rest]) => `${[n, `"${group}"`, ...rest.slice(0, 3).map((text) => `"${text}"`), ...rest.slice(3), '', ''].join(';')}\r\n`).join(''));

/** Rows of GPU014: why somebody is absent stands in the file, and must not come any further. */
function gpu014() {
  const row = (days, period, lesson, absent, subject, rooms, kind, text) =>
    [1, plus(monday(), days).replaceAll('-', ''), period, 9, lesson, absent, '', subject, '', '', '', ...rooms, '', '"5a"', '"Grippe"', `"${text}"`, 0, '', kind, '202611291200', ''].join(';');
  return cp1252(`${[row(0, 2, 12, 'WEB', 'M', ['105', ''], 'C', 'Aufgaben im Heft'), row(1, 1, 21, 'SCH', 'Bio', ['100', '204'], 'R', '')].join('\r\n')}\r\n`);
}

/** @param {string} day @param {number} days */
function plus(day, days) {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Where the pages are. */
const today = () => new Intl.DateTimeFormat('sv', { timeZone: 'Europe/Berlin' }).format(new Date());

/** The Monday of the week that pages show first, where they are. */
function monday() {
  const day = new Date(`${today()}T00:00:00Z`);
  const weekday = (day.getUTCDay() + 6) % 7;
  day.setUTCDate(day.getUTCDate() + (weekday > 4 ? 7 - weekday : -weekday));
  return day.toISOString().slice(0, 10);
}

suite('timetable', (suite) => {
  /** @type {Person} */ let petra;
  /** @type {Person} */ let maria;
  /** @type {Person} */ let emilia;

  const { step, look } = story(suite, 'timetable');

  const button = (person, name) => person.page.getByRole('button', { name, exact: true });
  const heading = (person, name) => person.page.getByRole('heading', { name });
  const open = (person) => person.page.getByRole('link', { name: person.words.timetable.nav, exact: true }).first().click();
  const upload = (name, buffer) => petra.page.locator('input[type=file]').setInputFiles({ name, mimeType: 'text/plain', buffer });
  const read = (name, rows) => upload(name, file(rows));
  /** Of the row of a period, what stands in the column of a day (from 1). */
  const cell = (person, period, day) => person.page.getByRole('table').getByRole('row').filter({ has: person.page.getByRole('rowheader', { name: `${period}.` }) }).getByRole('cell').nth(day - 1);
  const lessons = (person) => person.page.getByRole('article').locator('visible=true');

  step('without a plan the page says so, and only admins manage it', async () => {
    const browser = await suite.browser();
    const url = suite.stack.url('nord');
    [petra, maria, emilia] = await Promise.all([
      Person.signedIn(browser, url, admin, DESK),
      Person.signedIn(browser, url, teacher, DESK),
      Person.signedIn(browser, url, pupils[0], PHONE),
    ]);
    await open(emilia);
    await emilia.page.getByText(emilia.words.timetable.none).waitFor();
    await look(emilia, 'none');
    await open(petra);
    await petra.page.getByRole('link', { name: petra.words.timetable.manage }).click();
    await heading(petra, petra.words.timetable.manage).waitFor();
    await look(petra, 'manage');
  });

  step('a broken file changes nothing, and says line and field of what is wrong', async () => {
    const { page, words } = petra;
    // Before today, wherever the box is: what is read in for later stays beside what comes from the folder.
    await page.getByLabel(words.timetable.from).fill(plus(monday(), -7));
    const rows = gpu001();
    rows[2] = rows[2].with(5, 'Mo');
    await read('GPU001.TXT', rows);
    await heading(petra, '1 Fehler in der Datei').waitFor();
    await page.getByText(words.timetable.at(3, 6)).waitFor();
    await look(petra, 'broken');
    await button(petra, words.timetable.other).click();
  });

  step('a file is looked at and applied, and the same file again changes nothing', async () => {
    const { page, words } = petra;
    await read('GPU001.TXT', gpu001());
    await heading(petra, words.timetable.draft('GPU001.TXT', 53)).waitFor();
    await page.locator('summary').first().click();
    assert.equal(await page.getByRole('table', { name: words.timetable.added, exact: true }).getByRole('row').count(), 54);
    await look(petra, 'draft');
    await button(petra, words.timetable.apply).click();
    await page.getByText(words.timetable.applied).waitFor();
    await page.getByText(/53 Stunden, eingelesen von Petra Hoffmann/).waitFor();
    await read('GPU001.TXT', gpu001());
    await page.getByText(words.timetable.same).waitFor();
    await button(petra, words.timetable.other).click();
  });

  step('times of periods and A weeks are set by hand', async () => {
    const { page, words } = petra;
    for (let n = 0; n < 3; n += 1) await button(petra, words.timetable.addBell).click();
    await page.getByLabel('Beginn der 3. Stunde').fill('09:55');
    await page.getByLabel('Ende der 3. Stunde').fill('10:40');
    await button(petra, words.timetable.save).first().click();
    await page.getByText(words.timetable.saved).waitFor();
    await page.getByLabel(words.timetable.weeks).selectOption({ label: words.timetable.weekA });
    await page.getByLabel(words.timetable.weeks).scrollIntoViewIfNeeded();
    await look(petra, 'settings');
  });

  step('a teacher says which short name is hers, sees her own week, and those of classes and rooms', async () => {
    const { page, words } = maria;
    await open(maria);
    await page.getByLabel(words.timetable.short).selectOption('WEB');
    await look(maria, 'who am I');
    await button(maria, words.timetable.thatsMe).click();
    await cell(maria, 2, 1).getByText('5a').waitFor();
    await page.getByText(words.timetable.aWeek).waitFor();
    await page.getByRole('cell', { name: 'Pause, 20 Minuten' }).waitFor();
    await look(maria, 'own week');
    await page.getByLabel(words.timetable.of, { exact: true }).selectOption('class');
    await page.getByLabel(words.timetable.which.class).selectOption('5a');
    await cell(maria, 6, 2).getByText('Eth').waitFor();
    assert.equal(await cell(maria, 6, 2).getByRole('article').count(), 2);
    await look(maria, 'class');
    await page.getByLabel(words.timetable.of, { exact: true }).selectOption('room');
    await page.getByLabel(words.timetable.which.room).selectOption('Große Halle');
    await cell(maria, 6, 1).getByText('08B, 5a').or(cell(maria, 6, 1).getByText('5a, 08B')).first().waitFor();
    assert.equal(await lessons(maria).count(), 1);
    // By keyboard alone.
    await button(maria, words.timetable.after).focus();
    await page.keyboard.press('Enter');
    await page.getByText(words.timetable.bWeek).waitFor();
  });

  step('a pupil sees the own class day by day, and nobody’s name while the school hides them', async () => {
    const { page, words } = emilia;
    await heading(emilia, new RegExp(words.timetable.monday)).waitFor();
    assert.equal(await lessons(emilia).count(), 28);
    assert.equal(await page.getByText('SCH', { exact: true }).locator('visible=true').count(), 0);
    await look(emilia, 'pupil');
    const asked = (query) => page.evaluate(async (query) => (await fetch(`/api/timetable/week?${query}`)).status, query);
    for (const other of ['class&name=8b', 'teacher&name=WEB', 'room&name=101']) assert.equal(await asked(`week=${monday()}&of=${other}`), 403);
    const text = await page.evaluate(async (day) => (await fetch(`/api/timetable/week?week=${day}`)).text(), monday());
    assert.ok(!text.includes('WEB') && !text.includes(teacher.name), 'names do not leave the box');
  });

  step('substitutions reach those whom they concern at once, in words', async () => {
    const { page, words } = petra;
    await page.getByLabel(words.timetable.file).selectOption('changes');
    await upload('GPU014.TXT', gpu014());
    await heading(petra, '„GPU014.TXT“: 2 Vertretungen').waitFor();
    await page.locator('summary').first().click();
    await page.getByRole('cell', { name: words.timetable.cancelled, exact: true }).waitFor();
    await look(petra, 'substitutions');
    await button(petra, words.timetable.apply).click();
    await page.getByText(words.timetable.changesApplied).waitFor();
    await emilia.page.getByText(emilia.words.timetable.told).waitFor();
    const cancelled = lessons(emilia).filter({ hasText: emilia.words.timetable.cancelled });
    await cancelled.getByText('Aufgaben im Heft').waitFor();
    await lessons(emilia).filter({ hasText: emilia.words.timetable.otherRoom }).getByText('204 instead of 100').waitFor();
    await look(emilia, 'pupil with substitutions');
    assert.ok(!(await emilia.page.evaluate(async (day) => (await fetch(`/api/timetable/week?week=${day}`)).text(), monday())).includes('Grippe'));
  });

  step('the screen in the lobby needs no login but its secret, and renewed, the old one shows nothing', async () => {
    const { page, words } = petra;
    await page.getByLabel(words.timetable.noteDay, { exact: true }).fill(today());
    await page.getByLabel(words.timetable.note, { exact: true }).fill('Feueralarm um 10 Uhr');
    await button(petra, words.timetable.save).last().click();
    await page.getByText(words.timetable.saved).waitFor();
    await button(petra, words.timetable.newAddress).click();
    const first = await page.getByLabel(words.timetable.address).inputValue();
    await page.getByLabel(words.timetable.address).scrollIntoViewIfNeeded();
    await look(petra, 'lobby');
    const context = await page.context().browser().newContext({ locale: 'de-DE', timezoneId: 'Europe/Berlin', viewport: { width: 1920, height: 1080 } });
    const lobby = { page: await context.newPage() };
    await lobby.page.goto(first);
    await lobby.page.getByRole('heading', { name: words.timetable.screen }).waitFor();
    await lobby.page.getByText('Feueralarm um 10 Uhr').waitFor();
    await look(lobby, 'screen');
    assert.deepEqual(await context.cookies(), []);
    await button(petra, words.timetable.newAddress).click();
    await until('another address', 5_000, async () => (await page.getByLabel(words.timetable.address).inputValue()) !== first);
    await lobby.page.reload();
    await lobby.page.getByText(words.timetable.gone).waitFor();
    await look(lobby, 'screen gone');
    await context.close();
  });

  step('a conference of the class is joined from its lesson', async () => {
    const { page, words } = emilia;
    await maria.openRoom(CLASSES.nord.room);
    await maria.page.getByRole('button', { name: maria.words.start.open }).click();
    await maria.page.getByRole('button', { name: maria.words.start.submit }).click();
    // The third period of Monday, wherever today is.
    await page.clock.setSystemTime(new Date(`${monday()}T10:00:00+01:00`));
    await page.reload();
    await page.getByRole('link', { name: new RegExp(words.timetable.join) }).locator('visible=true').first().waitFor();
    await look(emilia, 'join');
  });

  step('a lesson is changed by hand, for one day or for every week', async () => {
    const { page, words } = petra;
    await open(petra);
    await page.getByLabel(words.timetable.which.class).selectOption('5a');
    await cell(petra, 4, 3).getByText('Ge').waitFor();
    await button(petra, words.timetable.byHand).click();
    await look(petra, 'by hand');
    await page.getByRole('button', { name: 'Ge am Mittwoch ändern' }).click();
    await page.getByRole('dialog').waitFor();
    await look(petra, 'by hand, one day');
    await page.getByLabel('Hinweis', { exact: true }).fill('Ausflug');
    await page.getByRole('dialog').getByRole('button', { name: words.timetable.save }).click();
    await lessons(emilia).filter({ hasText: 'Ausflug' }).waitFor();
    await page.getByRole('button', { name: 'Mittwoch, 6. Stunde: Stunde anlegen' }).click();
    await page.getByLabel('Fach', { exact: true }).fill('Chor');
    await page.getByLabel(/^Räume/).fill('Aula');
    await look(petra, 'by hand, every week');
    await page.getByRole('dialog').getByRole('button', { name: words.timetable.save }).click();
    await lessons(emilia).filter({ hasText: 'Chor' }).getByText('Aula').waitFor();
    await page.getByRole('link', { name: words.timetable.manage }).click();
  });

  step('a file that is put into the folder on the box is applied by itself', async () => {
    const { page, words } = petra;
    await page.getByRole('switch', { name: words.timetable.watch }).click();
    const folder = joinPath(suite.stack.node('nord').data, 'timetable');
    mkdirSync(folder, { recursive: true });
    writeFileSync(joinPath(folder, 'GPU001.TXT'), file(gpu001().map((row) => row.with(3, row[3] === 'Ku' ? 'Mu' : row[3]))));
    await lessons(emilia).filter({ hasText: 'Mu' }).first().waitFor();
    await page.getByText(words.timetable.taken, { exact: true }).waitFor();
    await page.getByText(words.timetable.taken, { exact: true }).scrollIntoViewIfNeeded();
    await look(petra, 'folder');
  });

  step('while the cloud is away a change still reaches everybody in the school', async () => {
    const { page, words } = petra;
    suite.stack.pauseCore();
    try {
      await page.getByRole('switch', { name: words.timetable.hide }).click();
      await emilia.page.getByText(teacher.name).locator('visible=true').first().waitFor();
      await look(emilia, 'with names');
    } finally {
      suite.stack.resumeCore();
    }
    // And it holds where it is ordered.
    await until('the core has it', 20_000, async () => (await page.evaluate(async () => (await fetch('/api/session')).json())).core_online);
  });

  step('a plan that is taken away uncovers for everybody what it lay over', async () => {
    const { page, words } = petra;
    await page.getByRole('button', { name: new RegExp(words.timetable.remove, 'i') }).first().click();
    await page.getByRole('dialog').waitFor();
    await look(petra, 'take away');
    await button(petra, words.timetable.removeNow).click();
    await lessons(emilia).filter({ hasText: 'Ku' }).first().waitFor();
    assert.equal(await lessons(emilia).filter({ hasText: 'Mu' }).count(), 0);
    // Whoever comes first is not signed in yet.
    const faults = [petra, maria].flatMap((person) => person.faults).filter((fault) => !(fault.includes('401') && fault.includes('/api/session')));
    assert.deepEqual(faults, []);
  });
});
