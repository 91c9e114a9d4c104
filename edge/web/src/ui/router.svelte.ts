/** Where the page is: real paths (the box answers each of them with the app), and the focus that follows. */
import { tick } from 'svelte';

export type Place =
  | { at: 'home' }
  | { at: 'messages'; room: string | null }
  | { at: 'check' }
  | { at: 'people'; page: 'list' | 'import' }
  | { at: 'timetable'; page: 'week' | 'manage' }
  | { at: 'exams' }
  | { at: 'conference'; conference: string }
  /** Of the lobby: nobody signs in for it. */
  | { at: 'screen'; secret: string }
  | { at: 'unknown' };

const ID = '([A-Za-z0-9_:-]{1,64})';
const ROOM = new RegExp(`^/messages/${ID}$`);
const SCREEN = new RegExp(`^/screen/${ID}$`);
const CONFERENCE = new RegExp(`^/conference/${ID}$`);

export function parse(path: string): Place {
  const clean = path.length > 1 ? path.replace(/\/+$/, '') : path;
  if (clean === '/') return { at: 'home' };
  if (clean === '/messages') return { at: 'messages', room: null };
  if (clean === '/check') return { at: 'check' };
  if (clean === '/people') return { at: 'people', page: 'list' };
  if (clean === '/people/import') return { at: 'people', page: 'import' };
  if (clean === '/exams') return { at: 'exams' };
  if (clean === '/timetable') return { at: 'timetable', page: 'week' };
  if (clean === '/timetable/manage') return { at: 'timetable', page: 'manage' };
  const room = ROOM.exec(clean)?.[1];
  if (room) return { at: 'messages', room };
  const secret = SCREEN.exec(clean)?.[1];
  if (secret) return { at: 'screen', secret };
  const conference = CONFERENCE.exec(clean)?.[1];
  if (conference) return { at: 'conference', conference };
  return { at: 'unknown' };
}

class Router {
  place = $state.raw<Place>(parse(location.pathname));
  /** A page that would lose something asks first: it gets what is to be done, and says whether to do it at once. */
  guard: ((leave: () => void) => boolean) | null = null;
  private path = location.pathname;

  constructor() {
    window.addEventListener('popstate', () => this.moved());
    document.addEventListener('click', (event) => this.follow(event));
  }

  go(path: string, replace = false): void {
    if (path === location.pathname || !this.mayLeave(() => this.go(path, replace))) return;
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
    this.show();
  }

  /** Whether the page can be left now; if not, it does what is given once it can. */
  mayLeave(leave: () => void): boolean {
    return this.guard === null || this.guard(leave);
  }

  /** The browser's own buttons have moved already: a page that is not to be left is put back. */
  private moved(): void {
    const to = location.pathname;
    if (to !== this.path && !this.mayLeave(() => this.go(to))) history.pushState(null, '', this.path);
    else this.show();
  }

  private show(): void {
    this.path = location.pathname;
    this.place = parse(location.pathname);
    void tick().then(() => focusHeading());
  }

  /** Links within the app do not load the page again. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target !== '' || link.origin !== location.origin || link.hash !== '') return;
    event.preventDefault();
    this.go(link.pathname);
  }
}

/** Screen readers begin to read where the new page begins. */
function focusHeading(): void {
  const heading = document.querySelector<HTMLElement>('[data-page-heading]');
  if (!heading || heading.contains(document.activeElement)) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

export const router = new Router();
