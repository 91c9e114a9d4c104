/** Three people of Nord in a conference, whose pictures and voices are watched while something happens to the media nodes. */
import { assembled, join, open, snapshot } from './conference.mjs';
import { begin, listen, measured } from './gaps.mjs';
import { CLASSES, Person } from './people.mjs';
import { LOOKS, sources } from './sources.mjs';
import { until } from './until.mjs';

/** The dead node is started again, after ever longer pauses, and a connection to it sought after some seconds. */
const READY_MAX_MS = 90_000;
const FLOWING_MAX_MS = 20_000;
/** A picture or voice that came so lately is there. */
const FRESH_MS = 400;
/** So long it is watched that nothing happens by itself. */
const CALM_MS = 2_000;
/** What stumbles right after a change belongs to it. */
const AFTER_MS = 1_000;

/** @typedef {import('../../../edge/web/src/session/conference/types').Snapshot} Snapshot */

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Trio {
  /** @param {Person[]} people */
  constructor(people) {
    this.people = people;
  }

  /** @param {import('./suite.mjs').Suite} suite */
  static async gather(suite) {
    const { room, teacher, pupils } = CLASSES.nord;
    const people = await Promise.all(
      [teacher, pupils[0], pupils[1]].map(async (who, n) => {
        const own = sources(LOOKS[n], { width: 640, height: 360 }, { steady: true });
        suite.cleanup(own.close);
        return Person.signedIn(await suite.browser(own.args), suite.stack.url('nord'), who, { bypassCSP: true });
      }),
    );
    const trio = new Trio(people);
    for (const person of people) await listen(person, trio.othersOf(person).map((other) => LOOKS[people.indexOf(other)].pitchHz));
    suite.onFailure(() => trio.tell());
    const [maria, ...others] = people;
    await open(maria, room);
    await Promise.all(others.map(join));
    await assembled(people);
    return trio;
  }

  othersOf(person) {
    return this.people.filter((other) => other !== person);
  }

  views() {
    return Promise.all(this.people.map(snapshot));
  }

  /** Everybody is in, with another node standing by, and everything flows. @returns {Promise<string[]>} the node of each */
  async ready() {
    let nodes = [];
    await until('everybody is in, with another node standing by', READY_MAX_MS, async () => {
      const now = await this.views();
      nodes = now.map((view) => view?.node);
      return now.every((view) => view?.phase === 'connected' && view.standby !== null);
    });
    await until('everybody sees and hears everybody', FLOWING_MAX_MS, async () => {
      await this.begin();
      await pause(FRESH_MS);
      return fresh(await this.look());
    });
    return nodes;
  }

  /** Who is where, and what is missing at whom. */
  async tell() {
    const [views, looks] = [await this.views(), await this.look()];
    for (const [n, { name }] of this.people.entries()) console.error(`${name}: ${JSON.stringify(views[n])}\n  ${JSON.stringify(looks[n])}`);
  }

  begin() {
    return Promise.all(this.people.map((person) => begin(person, this.othersOf(person).map(({ name }) => name))));
  }

  look() {
    return Promise.all(this.people.map(measured));
  }

  /**
   * What is away, in two calm seconds and while `happen` happens, until everybody is `there` and everything flows again.
   * @param {() => unknown} happen
   * @param {number} maxMs
   * @param {(now: Snapshot, before: Snapshot) => boolean} there
   */
  async through(happen, maxMs, there) {
    await this.begin();
    await pause(CALM_MS);
    const calm = await this.look();
    const before = await this.views();
    await this.begin();
    await happen();
    await until('everybody is elsewhere, and everything flows', maxMs, async () => {
      const now = await this.views();
      return now.every((view, n) => view?.phase === 'connected' && there(view, before[n])) && fresh(await this.look());
    });
    await pause(AFTER_MS);
    return { calm, during: await this.look() };
  }
}

const fresh = (now) => now.every(({ still, silent }) => [...still, ...silent].every((ms) => ms < FRESH_MS));

/** The longest of all pages. @param {'pictures' | 'voices' | 'older'} kind */
export const worst = (now, kind) => Math.max(...now.flatMap((of) => of[kind]));

/** Of each page's others. */
export const told = (now, kind) => now.map((of) => of[kind].map((ms) => ms.toFixed(0)).join(' ')).join(' | ');
