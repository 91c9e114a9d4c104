/**
 * Pictures of everything that there is to see: `SHOTS_DIR=folder node shots.mjs`. Each page and dialog at two sizes, in
 * both languages, light and dark; to be looked at by a person.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { settled } from './lib/audit.mjs';
import { launch } from './lib/browser.mjs';
import { Stack } from './lib/stack.mjs';
import { tour } from './lib/tour.mjs';

const folder = process.env.SHOTS_DIR;
if (!folder) {
  console.error('shots.mjs: say where to with SHOTS_DIR');
  process.exit(1);
}
mkdirSync(folder, { recursive: true });

const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
];

const stack = await Stack.start();
const browser = await launch();
try {
  for (const viewport of SIZES) {
    for (const language of /** @type {const} */ (['de', 'en'])) {
      for (const theme of /** @type {const} */ (['light', 'dark'])) {
        let number = 0;
        await tour(browser, stack, { language, theme, viewport }, async (name, { page }) => {
          number += 1;
          await settled(page);
          const file = `${viewport.width}-${language}-${theme}-${String(number).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png`;
          await page.screenshot({ path: join(folder, file) });
        });
      }
    }
  }
} finally {
  await browser.close();
  await stack.stop();
}
