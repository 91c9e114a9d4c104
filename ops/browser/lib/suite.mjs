/** What all test files share: one running system per file, browsers that end with it, and what a failure leaves behind. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { Stack } from './stack.mjs';

/** Pictures of the pages at the moment of a failure. */
const FAILURES = resolve(fileURLToPath(import.meta.url), '../../../../target/ops-test/browser');

export class Suite {
  /** @type {Stack} */ stack;
  /** @type {import('playwright-core').Browser[]} */ #browsers = [];
  /** @type {(() => unknown)[]} */ #cleanups = [];
  /** @type {((folder: string) => unknown)[]} */ #inquests = [];
  #failed = false;

  /** @param {import('./stack.mjs').Options} [options] */
  async start(options) {
    this.stack = await Stack.start(options);
  }

  /** A browser that ends with the suite. @param {string[]} [flags] @param {Record<string, string>} [environment] */
  async browser(flags, environment) {
    const browser = await launch(flags, environment);
    this.#browsers.push(browser);
    return browser;
  }

  /** To be done at the end of the suite, the last one first. @param {() => unknown} action */
  cleanup(action) {
    this.#cleanups.push(action);
  }

  /** To be done when a claim fails, with a folder for pictures. @param {(folder: string) => unknown} action */
  onFailure(action) {
    this.#inquests.push(action);
  }

  /** One test. Its name says what is true. @param {string} name @param {() => Promise<void>} body */
  claim(name, body) {
    test(name, async () => {
      try {
        await body();
      } catch (error) {
        this.#failed = true;
        await this.#photograph(name);
        for (const inquest of this.#inquests) await (async () => inquest(FAILURES))().catch(() => {});
        throw error;
      }
    });
  }

  async stop() {
    if (this.#failed) this.stack?.printLogs();
    for (const browser of this.#browsers) await browser.close();
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
    await this.stack?.stop();
  }

  async #photograph(name) {
    mkdirSync(FAILURES, { recursive: true });
    const pages = this.#browsers.flatMap((browser) => browser.contexts()).flatMap((context) => context.pages());
    for (const [n, page] of pages.entries()) {
      const path = join(FAILURES, `${name.replaceAll(/[^\p{L}\d]+/gu, '-').slice(0, 60)}-${n + 1}.png`);
      await page.screenshot({ path, timeout: 5_000 }).then(
        () => console.error(`page as it was: ${path}`),
        () => {},
      );
    }
  }
}

/**
 * @param {string} name
 * @param {(suite: Suite) => void} body declares the claims
 * @param {import('./stack.mjs').Options} [options] of the system
 */
export function suite(name, body, options) {
  describe(name, () => {
    const shared = new Suite();
    before(() => shared.start(options));
    after(() => shared.stop());
    body(shared);
  });
}
