/**
 * The offline shell: keeps the built client, so that the page opens while the box is dead. Made anew by each build; never
 * touches the API. A new version is taken over at once, as all that it answers from its store bears a hash or is the same.
 *
 * Specification: Service Workers (W3C). Must not import anything that a page imports: it is one file at the root.
 */
import { kindOf, outdated, PREFIX, type Shell } from './rules';

/** Put in by `vite.config.ts`. */
declare const __SHELL__: Shell;

interface WaitingEvent extends Event {
  waitUntil(until: Promise<unknown>): void;
}
interface FetchEvent extends WaitingEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Scope {
  readonly location: Location;
  addEventListener(type: 'install' | 'activate', listener: (event: WaitingEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
}
const scope = self as unknown as Scope;

const NAME = PREFIX + __SHELL__.version;
/** A box that has not answered by then is not waited for. */
const PATIENCE_MS = 2_000;
/** After that, what belongs to the same page is not waited for either. */
const IMPATIENT_FOR_MS = 10_000;
let impatientUntil = 0;

scope.addEventListener('install', (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(NAME);
      // What has no hash must not come from an older visit.
      const requests = __SHELL__.files.map((path) => new Request(path, { cache: path.startsWith('/assets/') ? 'default' : 'reload' }));
      await cache.addAll(requests);
      await scope.skipWaiting();
    })(),
  );
});

scope.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      for (const name of outdated(await caches.keys(), NAME)) await caches.delete(name);
      await scope.clients.claim();
    })(),
  );
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const kind = kindOf(request, scope.location.origin, __SHELL__);
  if (kind === 'page') event.respondWith(page(event));
  else if (kind === 'hashed') event.respondWith(kept(request).then((found) => found ?? fetch(request)));
  else if (kind === 'file') event.respondWith(fresh(request).catch(async () => (await kept(request)) ?? Response.error()));
});

async function page(event: FetchEvent): Promise<Response> {
  try {
    const answer = await fresh(event.request);
    if (answer.ok) event.waitUntil(renew(answer.clone()));
    // Something in between that answers with an error of its own is no box.
    if (answer.ok || answer.type === 'opaqueredirect') return answer;
  } catch {
    impatientUntil = Date.now() + IMPATIENT_FOR_MS;
  }
  return (await kept('/')) ?? Response.error();
}

/** From the box, if it is quick. */
async function fresh(request: Request): Promise<Response> {
  if (Date.now() < impatientUntil && request.mode !== 'navigate') throw new Error('the box does not answer');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the box does not answer')), PATIENCE_MS);
  });
  try {
    return await Promise.race([fetch(request), patience]);
  } finally {
    clearTimeout(timer);
  }
}

/** Of this version, else of the one before. */
async function kept(request: Request | string): Promise<Response | undefined> {
  const own = await (await caches.open(NAME)).match(request);
  return own ?? caches.match(request);
}

/** The page is the same, but its headers name other nodes now: they are kept with it. */
async function renew(answer: Response): Promise<void> {
  const cache = await caches.open(NAME);
  const old = await cache.match('/');
  const policy = 'content-security-policy';
  if (!old || old.headers.get(policy) === answer.headers.get(policy)) return;
  const copy = answer.clone();
  if ((await old.text()) === (await answer.text())) await cache.put('/', copy);
}
