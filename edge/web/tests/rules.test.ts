/** What holds for the sources as a whole. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { de } from '../src/ui/text/de';
import { en } from '../src/ui/text/en';
import { de as peopleDe } from '../src/ui/text/people/de';
import { en as peopleEn } from '../src/ui/text/people/en';

const SOURCES = join(import.meta.dirname, '../src');

const files = (folder: string): string[] =>
  (readdirSync(join(SOURCES, folder), { recursive: true }) as string[])
    .filter((name) => /\.(ts|svelte)$/.test(name))
    .map((name) => join(SOURCES, folder, name));

const imports = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');

describe('layers', () => {
  it('of the protocol use nothing above them', () => {
    for (const file of files('protocol')) {
      for (const used of imports(file)) expect([file, used]).toEqual([file, expect.stringMatching(/^\.\/\w+$/)]);
    }
  });

  it('of the session use no component, no framework and no document', () => {
    for (const file of files('session')) {
      for (const used of imports(file)) {
        expect([file, used]).not.toEqual([file, expect.stringMatching(/svelte|\/ui\/|lucide/)]);
      }
      expect(readFileSync(file, 'utf8')).not.toMatch(/\bdocument\.|\bwindow\./);
    }
  });

  it('keep files short', () => {
    const all = [...files('protocol'), ...files('session'), ...files('ui')];
    const long = all.filter((file) => !file.includes('/text/') && !file.endsWith('/types.ts') && readFileSync(file, 'utf8').split('\n').length > 400);
    expect(long).toEqual([]);
  });
});

describe('texts', () => {
  it('have a word in both languages for each reason that the school can give', () => {
    const reject = readFileSync(join(SOURCES, '../../../shared/school/src/reject.rs'), 'utf8');
    const codes = [...reject.matchAll(/^\s+\w+ = "([a-z-]+)",/gm)].map((match) => match[1] ?? '');
    expect(codes.length).toBeGreaterThan(10);
    const read = (path: string) => readFileSync(join(SOURCES, '../../..', path), 'utf8');
    codes.push(/NUMBER_TAKEN: &str = "([a-z-]+)"/.exec(read('shared/sync/src/outbox.rs'))?.[1] ?? '?');
    for (const door of ['problem', 'operations', 'body', 'ticket', 'login', 'blob']) {
      const refusals = [...read(`edge/src/door/${door}.rs`).matchAll(/StatusCode::[A-Z_]+,\s*"([a-z-]+)"/g)];
      expect(refusals.length).toBeGreaterThan(0);
      codes.push(...refusals.map((match) => match[1] ?? ''));
    }
    expect(codes).toEqual(expect.arrayContaining(['not-a-member', 'number-taken', 'disk-full', 'busy']));
    for (const { problems } of [de, en]) expect(codes.filter((code) => !(code in problems.codes))).toEqual([]);
    expect(Object.keys(en.problems.codes)).toEqual(Object.keys(de.problems.codes));
  });

  it('are never empty and never the same by oversight', () => {
    const walk = (a: unknown, b: unknown, path: string): string[] => {
      if (typeof a === 'string') return a === '' || b === '' ? [path] : [];
      if (typeof a !== 'object' || a === null) return [];
      const other = b as Record<string, unknown>;
      return Object.entries(a).flatMap(([key, value]) => walk(value, other[key], `${path}.${key}`));
    };
    expect(walk(de, en, 'text')).toEqual([]);
    expect(walk(peopleDe, peopleEn, 'people')).toEqual([]);
  });

  it('have a word in both languages for each problem of a list', () => {
    const source = readFileSync(join(SOURCES, '../../../shared/wire/src/import.rs'), 'utf8');
    const [, doc = ''] = /((?:^ +\/\/\/.*`no-header`.*\n)(?:^ +\/\/\/.*\n)*)/m.exec(source) ?? [];
    const codes = [...doc.matchAll(/`([a-z-]+)`/g)].map((match) => match[1] ?? '');
    expect(codes).toEqual(expect.arrayContaining(['no-header', 'login-taken', 'too-many-rows']));
    for (const { problems } of [peopleDe, peopleEn]) expect(codes.filter((code) => !(code in problems.codes))).toEqual([]);
  });
});
