/** Chromium as the tests use it: no network but the system's, a camera and a microphone that need no hardware. */
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--autoplay-policy=no-user-gesture-required',
];

/**
 * @param {string[]} [more] further flags
 * @param {Record<string, string>} [environment] further variables
 * @returns {Promise<import('playwright-core').Browser>}
 */
export function launch(more = [], environment = {}) {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: [...FLAGS, ...more], env: { ...process.env, ...environment } });
}
