import { svelte } from '@sveltejs/vite-plugin-svelte';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Writes `name.gz` beside each file that gets smaller by it: the box need not compress while it serves. */
function compressed(): Plugin {
  let folder = '';
  return {
    name: 'compressed',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const name of readdirSync(folder, { recursive: true }) as string[]) {
        if (!/\.(js|css|html|svg|webmanifest)$/.test(name)) continue;
        const bytes = readFileSync(join(folder, name));
        const zipped = gzipSync(bytes, { level: 9 });
        if (zipped.length < bytes.length * 0.9) writeFileSync(join(folder, `${name}.gz`), zipped);
      }
    },
  };
}

/** Scripts of letters that few names here need: fetched when one does, not kept for a day without the box. */
const RARE = /\/inter-(cyrillic|greek|vietnamese)/;
const WORKER = 'sw.js';
/** Sources that the first page loads in any case. */
const FIRST_PAGE = /node_modules\/(svelte|idb|esm-env|clsx)\/|src\/protocol\/|src\/session\/[a-z-]+\.ts$(?<!devices\.ts|meter\.ts|imports\.ts)|src\/ui\/(app|router|context|dates|title)|src\/ui\/parts\/(Avatar|initials|Empty|Failed|Logo)|src\/ui\/shell\/toast|src\/ui\/text\/de\./;

/** Tells the service worker what this build is made of. Before `compressed`, so that there is one truth. */
function offlineShell(): Plugin {
  let folder = '';
  return {
    name: 'offline-shell',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    writeBundle() {
      const names = (readdirSync(folder, { recursive: true }) as string[]).map((name) => name.replaceAll('\\', '/'));
      const files = names.filter((name) => /\.\w+$/.test(name) && name !== WORKER && !name.endsWith('.gz') && !RARE.test(`/${name}`));
      const worker = readFileSync(join(folder, WORKER), 'utf8');
      const hash = createHash('sha256').update(worker);
      for (const name of files.sort()) hash.update(name).update(readFileSync(join(folder, name)));
      const shell = {
        version: hash.digest('hex').slice(0, 16),
        files: files.map((name) => (name === 'index.html' ? '/' : `/${name}`)),
      };
      if (!worker.includes('__SHELL__')) throw new Error('the service worker does not ask for its files');
      writeFileSync(join(folder, WORKER), worker.replaceAll('__SHELL__', JSON.stringify(shell)));
    },
  };
}

export default defineConfig({
  plugins: [svelte(), offlineShell(), compressed()],
  build: {
    target: 'es2022',
    // A polyfill would be an inline script, and data: URLs need a looser Content-Security-Policy.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    sourcemap: false,
    rolldownOptions: {
      input: { index: 'index.html', sw: 'src/worker/worker.ts' },
      output: {
        entryFileNames: (chunk) => (chunk.name === 'sw' ? WORKER : 'assets/[name]-[hash].js'),
        // What the first page needs in one file: cut up by who else uses it, it would compress far worse.
        codeSplitting: {
          groups: [
            { name: 'base', test: FIRST_PAGE },
            { name: 'base', test: /@lucide/, minShareCount: 2 },
          ],
        },
      },
    },
  },
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: {
    include: ['tests/**/*.test.ts'],
    environment: 'node',
    restoreMocks: true,
    testTimeout: 5_000,
  },
});
