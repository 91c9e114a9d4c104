/** Claims that build on each other about one school, and a look at each page on the way. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { settled, violations } from './audit.mjs';

/** @typedef {import('./people.mjs').Person} Person */

/**
 * @param {import('./suite.mjs').Suite} suite
 * @param {string} shots how the names of its pictures begin
 */
export function story(suite, shots) {
  let looks = 0;
  let broken = false;

  /** One claim after the other: after a failure the rest would only wait in vain. @param {string} name @param {() => Promise<void>} body */
  const step = (name, body) =>
    suite.claim(name, async () => {
      assert.ok(!broken, 'an earlier claim failed');
      broken = true;
      await body();
      broken = false;
    });

  /** Nothing for axe to find, nothing too wide, and a picture for whoever wants to look (SHOTS_DIR). @param {Person} person @param {string} name */
  const look = async ({ page }, name) => {
    await settled(page);
    if (process.env.SHOTS_DIR) {
      mkdirSync(process.env.SHOTS_DIR, { recursive: true });
      looks += 1;
      await page.screenshot({ path: join(process.env.SHOTS_DIR, `${shots}-${String(looks).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png`) });
    }
    assert.deepEqual(await violations(page), [], name);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), 0, `${name} is too wide`);
  };

  return { step, look };
}
