/** Walks through everything that there is to see, for looking at each page: the same way for audits and for pictures. */
import { assembled, join, open } from './conference.mjs';
import { CLASSES, Person } from './people.mjs';

/** @typedef {(name: string, person: Person) => Promise<void>} Look */

/**
 * Two people, a teacher whose pages are looked at and a pupil for company.
 * @param {import('playwright-core').Browser} browser
 * @param {import('./stack.mjs').Stack} stack
 * @param {import('./people.mjs').Options} options
 * @param {Look} look called on each page and dialog
 */
export async function tour(browser, stack, options, look) {
  const { room, teacher, pupils } = CLASSES.nord;
  const url = stack.url('nord');
  const visitor = await Person.visit(browser, url, options);
  await look('login', visitor);
  await visitor.close();

  const [person, pupil] = await Promise.all([
    Person.signedIn(browser, url, teacher, options),
    Person.signedIn(browser, url, pupils[0]),
  ]);
  const { page, words } = person;

  await page.getByRole('main').getByRole('link', { name: room }).first().waitFor();
  await look('home', person);
  await page.getByRole('button', { name: words.settings.open }).click();
  await look('settings', person);
  await page.getByRole('link', { name: words.settings.check }).click();
  await page.getByLabel(words.check.preview).waitFor();
  await look('camera and sound', person);

  await person.inNavigation('messages').click();
  await page.getByRole('navigation', { name: words.nav.messages }).getByRole('link', { name: room }).waitFor();
  await look('rooms', person);
  await page.getByRole('button', { name: words.messages.direct }).click();
  await page.getByRole('dialog').getByRole('listitem').nth(3).waitFor();
  await look('direct message dialog', person);
  await page.keyboard.press('Escape');
  await person.openRoom(room);
  await pupil.openRoom(room);
  await pupil.write(room, 'Ich habe eine Frage zu den Hausaufgaben: https://de.wikipedia.org/wiki/Bruchrechnung – Nummer 3?');
  await person.write(room, 'Gute Frage!\nNummer 3 a bis d, die anderen sind freiwillig.');
  await person.message('Nummer 3 a bis d').last().waitFor();
  await person.message('Ich habe eine Frage').last().waitFor();
  await look('conversation', person);
  await page.getByRole('button', { name: words.start.open }).click();
  await page.getByRole('dialog').waitFor();
  await look('start dialog', person);
  await page.keyboard.press('Escape');

  await open(person, room, () => look('device check', person));
  await assembled([person]);
  await look('conference alone', person);
  await join(pupil);
  await assembled([person, pupil]);
  await look('conference', person);
  await page.getByRole('button', { name: words.conference.people }).click();
  await look('conference with the list of people', person);
  // A phone has no keys, and no button for them.
  const keys = page.getByRole('button', { name: words.conference.keys });
  if (await keys.isVisible()) {
    await keys.click();
    await page.getByRole('dialog').waitFor();
    await look('keys dialog', person);
    await page.keyboard.press('Escape');
  }
  await page.getByRole('button', { name: words.conference.leave }).first().click();
  await page.getByRole('dialog').waitFor();
  await look('leave dialog', person);
  await page.getByRole('dialog').getByRole('button', { name: words.conference.leaveAll }).click();
  await page.getByRole('link', { name: words.toHome }).waitFor();
  await look('after the conference', person);
  await Promise.all([person.close(), pupil.close()]);
}
