import { describe, expect, it } from 'vitest';
import { kindOf, outdated } from '../src/worker/rules';

const ORIGIN = 'https://nord.example';
const shell = { version: '1', files: ['/', '/early.js', '/assets/index-a1.js'] };
const kind = (path: string, more: { method?: string; mode?: string } = {}) =>
  kindOf({ method: 'GET', mode: 'no-cors', url: new URL(path, ORIGIN).href, ...more }, ORIGIN, shell);

describe('offline shell', () => {
  it('leaves the API, other origins and everything that writes alone', () => {
    expect(kind('/api/rooms')).toBe('none');
    expect(kind('/api/blobs/abc?room=1', { mode: 'navigate' })).toBe('none');
    expect(kind('https://nord.gateway.example/assets/index-a1.js')).toBe('none');
    expect(kind('/messages/7a', { method: 'POST', mode: 'navigate' })).toBe('none');
    expect(kind('/unknown.txt')).toBe('none');
  });

  it('is the app at each of its addresses, and its files', () => {
    for (const path of ['/', '/messages/7a', '/conference/x?y=z']) expect(kind(path, { mode: 'navigate' })).toBe('page');
    expect(kind('/assets/index-a1.js')).toBe('hashed');
    expect(kind('/early.js')).toBe('file');
    expect(kind('/sw.js', { mode: 'navigate' })).toBe('none');
  });

  it('keeps the version before for pages that are still open, and none that is older', () => {
    expect(outdated(['schulhof-shell-1', 'schulhof-shell-2', 'other', 'schulhof-shell-3'], 'schulhof-shell-3')).toEqual(['schulhof-shell-1']);
    expect(outdated(['schulhof-shell-3'], 'schulhof-shell-3')).toEqual([]);
  });
});
