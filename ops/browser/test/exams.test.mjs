/** Exams are planned where there is room for them, seen by those who write them, and moved, also while the cloud is away. */
import assert from 'node:assert/strict';
import { CLASSES, Person } from '../lib/people.mjs';
import { story } from '../lib/story.mjs';
import { suite } from '../lib/suite.mjs';
import { until } from '../lib/until.mjs';

const { admin, teacher, pupils } = CLASSES.nord;
const DESK = /** @type {const} */ ({ language: 'de', theme: 'light', viewport: { width: 1280, height: 800 } });
const PHONE = /** @type {const} */ ({ language: 'en', theme: 'dark', viewport: { width: 390, height: 844 } });
const DAY_MS = 86_400_000;

/** A Monday some weeks ahead, where the browsers are, and days after it. */
function dayAhead(days) {
  const now = new Date(`${new Intl.DateTimeFormat('sv', { timeZone: 'Europe/Berlin' }).format(new Date())}T00:00:00Z`);
  const monday = now.getTime() - ((now.getUTCDay() + 6) % 7) * DAY_MS + 14 * DAY_MS;
  return new Date(monday + days * DAY_MS).toISOString().slice(0, 10);
}

suite('exams', (suite) => {
  /** @type {Person} */ let petra;
  /** @type {Person} */ let maria;
  /** @type {Person} */ let emilia;

  const { step, look } = story(suite, 'exams');

  const button = (person, name) => person.page.getByRole('button', { name, exact: true });
  const open = (person) => person.page.getByRole('link', { name: person.words.exams.nav, exact: true }).first().click();
  const dialog = (person) => person.page.getByRole('dialog');
  const cell = (person, day) => dialog(person).locator(`input[type=radio][value="${day}"]`);
  const choose = async (person, day) => {
    await cell(person, day).waitFor({ state: 'attached' });
    await cell(person, day).focus();
    await person.page.keyboard.press('Space');
  };
  const begin = async (person, subject) => {
    const { words } = person;
    await button(person, words.exams.plan).click();
    await dialog(person).getByLabel(words.exams.subject).fill(subject);
    const group = dialog(person).getByLabel(CLASSES.nord.room);
    if (!(await group.isChecked())) await group.check();
  };
  const submit = (person) => dialog(person).getByRole('button', { name: person.words.exams.submit, exact: true }).click();

  step('without exams the page says so, and a pupil cannot plan any', async () => {
    const browser = await suite.browser();
    const url = suite.stack.url('nord');
    [petra, maria, emilia] = await Promise.all([
      Person.signedIn(browser, url, admin, DESK),
      Person.signedIn(browser, url, teacher, DESK),
      Person.signedIn(browser, url, pupils[0], PHONE),
    ]);
    await open(emilia);
    await emilia.page.getByText(emilia.words.exams.none).waitFor();
    await look(emilia, 'none');
    assert.equal(await button(emilia, emilia.words.exams.plan).count(), 0);
    await open(maria);
    await maria.page.getByText(maria.words.exams.none).waitFor();
    assert.equal(await button(maria, maria.words.exams.rules).count(), 0, 'only admins set the rules');
  });

  step('a teacher plans one by keyboard, and the class has it at once', async () => {
    const { page, words } = maria;
    await begin(maria, 'Mathematik: Brüche');
    await choose(maria, dayAhead(0));
    await page.keyboard.press('ArrowRight');
    assert.ok(await cell(maria, dayAhead(1)).isChecked());
    await page.getByText(words.exams.nothingYet).waitFor();
    await look(maria, 'plan');
    await submit(maria);
    await page.getByText(words.exams.saved).waitFor();
    await dialog(maria).waitFor({ state: 'detached' });
    await page.getByText('Mathematik: Brüche').waitFor();
    await look(maria, 'planned');
    await emilia.page.getByText('Mathematik: Brüche').waitFor();
    assert.equal(await emilia.page.getByText(teacher.name).count(), 0, 'who planned it is not told to pupils');
    await look(emilia, 'pupil');
    await emilia.goHome();
    await emilia.page.getByRole('heading', { name: emilia.words.exams.next }).waitFor();
    await look(emilia, 'home');
    await open(emilia);
  });

  step('an admin decides how many there may be, and on which days none', async () => {
    const { page, words } = petra;
    await open(petra);
    await button(petra, words.exams.rules).click();
    await dialog(petra).getByLabel(words.exams.over).selectOption('refuse');
    await dialog(petra).getByLabel(words.exams.blockFrom, { exact: true }).fill(dayAhead(3));
    await dialog(petra).getByLabel(words.exams.blockUntil, { exact: true }).fill(dayAhead(3));
    await dialog(petra).getByLabel(words.exams.why).fill('Wandertag');
    await dialog(petra).getByRole('button', { name: words.exams.block, exact: true }).click();
    await dialog(petra).getByText('Wandertag').waitFor();
    await look(petra, 'rules');
    await dialog(petra).getByRole('button', { name: words.exams.saveRules, exact: true }).click();
    await page.getByText(words.exams.rulesSaved).waitFor();
  });

  step('a day that is full says so, and takes no second one; a blocked one cannot be chosen', async () => {
    const { page, words } = maria;
    await begin(maria, 'Deutsch: Diktat');
    await choose(maria, dayAhead(1));
    await dialog(maria).getByText(words.exams.refuses).waitFor();
    await dialog(maria).getByText(/Mathematik: Brüche, /).waitFor();
    assert.ok(await cell(maria, dayAhead(3)).isDisabled());
    await look(maria, 'full');
    await page.setViewportSize(PHONE.viewport);
    await look(maria, 'full on a phone');
    await page.setViewportSize(DESK.viewport);
    await submit(maria);
    await dialog(maria).getByText(words.exams.dayFull).waitFor();
    // What was typed is still there.
    await choose(maria, dayAhead(2));
    await submit(maria);
    await dialog(maria).waitFor({ state: 'detached' });
    await page.getByText('Deutsch: Diktat').waitFor();
  });

  step('while the cloud is away one is moved and one cancelled, and everybody in the school knows', async () => {
    const { page, words } = maria;
    suite.stack.pauseCore();
    try {
      await page.getByRole('button', { name: words.exams.change('Deutsch: Diktat') }).click();
      await choose(maria, dayAhead(4));
      await dialog(maria).getByRole('button', { name: words.exams.saveChange, exact: true }).click();
      await dialog(maria).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: words.exams.cancelOf('Mathematik: Brüche') }).click();
      await look(maria, 'cancel');
      await dialog(maria).getByRole('button', { name: words.exams.cancel, exact: true }).click();
      await dialog(maria).waitFor({ state: 'detached' });
      await emilia.page.getByText('Mathematik: Brüche').waitFor({ state: 'detached' });
      const friday = new Intl.DateTimeFormat('en-GB', { weekday: 'long', timeZone: 'UTC' }).format(Date.parse(dayAhead(4)));
      await emilia.page.getByText(new RegExp(friday)).waitFor();
    } finally {
      suite.stack.resumeCore();
    }
    // And it holds where it is ordered.
    await until('all is secured', 20_000, async () => {
      const response = await page.evaluate(async () => (await fetch('/api/session')).json());
      return response.core_online;
    });
    // Whoever comes first is not signed in yet.
    const faults = [petra, maria, emilia].flatMap((person) => person.faults).filter((fault) => !(fault.includes('401') && fault.includes('/api/session')));
    assert.deepEqual(faults, []);
  });
});
