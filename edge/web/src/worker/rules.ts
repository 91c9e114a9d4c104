/** What the service worker does with a request, and with older versions of itself. Pure. */

/** What one build of the client is made of. */
export interface Shell {
  /** Differs from build to build. */
  version: string;
  /** Paths, `/` for the page itself. */
  files: string[];
}

export const PREFIX = 'schulhof-shell-';

export type Kind =
  /** The app itself, at whatever address: from the box if it answers, else as kept. */
  | 'page'
  /** A file with a hash in its name: as kept, as it never changes. */
  | 'hashed'
  /** A file of the app that may change: like the page. */
  | 'file'
  /** Nobody's business but the page's. */
  | 'none';

export function kindOf(request: { method: string; mode: string; url: string }, origin: string, shell: Shell): Kind {
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== origin) return 'none';
  const { pathname } = url;
  if (pathname === '/api' || pathname.startsWith('/api/')) return 'none';
  if (pathname.startsWith('/assets/')) return 'hashed';
  if (request.mode === 'navigate') return /\.[^/]*$/.test(pathname) ? 'none' : 'page';
  return shell.files.includes(pathname) && pathname !== '/' ? 'file' : 'none';
}

/** Caches to delete: pages of the version before may still be open, and load parts of it late. */
export function outdated(names: readonly string[], current: string): string[] {
  const others = names.filter((name) => name.startsWith(PREFIX) && name !== current);
  return others.slice(0, -1);
}
