/** Whether somebody is signed in, and the way in and out. */
import { BoxClient, ProblemError } from '../protocol';
import { Cell, type Readable } from './cell';
import { MemoryOutbox, openOutboxDb } from './outbox-db';
import { accountKey, openPasses, type Passes } from './passes';
import { Route, type RouteOptions } from './route';
import { School } from './school';
import { outboxChannel, sessionChannel, webLocks } from './tabs';

/** A box that does not answer is asked again this often. */
const ASK_AGAIN_MS = 3_000;
/** With a pass at hand, a box that is silent for so long is not waited for. */
const ASK_MAX_MS = 3_000;

export type Phase =
  | { at: 'starting' }
  /** The page is there, the box does not answer; or it does, and is still loading. */
  | { at: 'unreachable'; loading: boolean }
  | { at: 'signed-out'; ended: boolean }
  | { at: 'signed-in'; school: School };

type Begin = Pick<RouteOptions, 'view' | 'begin'>;

export interface SessionOptions {
  box?: BoxClient;
  makeGateway?: (url: string, pass: () => string) => BoxClient;
  openPasses?: () => Promise<Passes>;
  /** Makes what a signed-in person has; tests bring their own. */
  makeSchool?: (begin: Begin, onEnded: () => void) => Promise<School>;
  /** Another account took over in another tab: the page begins anew. */
  onTakenOver?: () => void;
}

export class Session {
  private readonly cell = new Cell<Phase>({ at: 'starting' });
  private readonly box: BoxClient;
  private readonly tabs: ReturnType<typeof sessionChannel>;
  private kept: Promise<Passes> | null = null;

  constructor(private readonly options: SessionOptions = {}) {
    this.box = options.box ?? new BoxClient();
    this.tabs = sessionChannel((account) => {
      const phase = this.cell.value;
      const mine = phase.at === 'signed-in' ? phase.school.me.account : null;
      if (account !== mine) this.options.onTakenOver?.();
    });
  }

  get phase(): Readable<Phase> {
    return this.cell;
  }

  private passes(): Promise<Passes> {
    return (this.kept ??= (this.options.openPasses ?? openPasses)());
  }

  /** Finds out who is signed in; keeps asking while nobody answers. */
  async start(): Promise<void> {
    const passes = await this.passes();
    if (await passes.left()) {
      // Somebody left while the box could not be told. Whoever is next begins at the door in any case.
      await this.box.with({ timeoutMs: ASK_MAX_MS }).logout().then(() => passes.forget(), () => {});
      this.cell.set({ at: 'signed-out', ended: false });
      return;
    }
    while (!(await this.tryToEnter(passes))) {
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS * (0.75 + 0.5 * Math.random())));
    }
  }

  /** @returns whether it is known who is there */
  private async tryToEnter(passes: Passes): Promise<boolean> {
    const pass = await passes.get();
    let loading: boolean;
    try {
      const view = await this.box.with(pass ? { timeoutMs: ASK_MAX_MS } : {}).session();
      await this.enter({ view });
      return true;
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status === 401) {
        await passes.forget();
        this.cell.set({ at: 'signed-out', ended: false });
        return true;
      }
      loading = isLoading(error);
    }
    if (pass) {
      const makeGateway = this.options.makeGateway ?? ((url, pass) => new BoxClient(url, undefined, pass));
      try {
        const view = await makeGateway(pass.url, () => pass.pass).with({ timeoutMs: ASK_MAX_MS }).session();
        if (accountKey(view) === pass.account) {
          await this.enter({ view, begin: { pass, own: loading ? 'loading' : 'gone' } });
          return true;
        }
      } catch (error) {
        if (error instanceof ProblemError && [401, 403].includes(error.problem.status)) await passes.forget();
        loading ||= isLoading(error);
      }
    }
    this.cell.set({ at: 'unreachable', loading });
    return false;
  }

  /** Throws `ProblemError` (`wrong-credentials`, `too-many-tries`) or `Unreachable`. */
  async login(login: string, password: string): Promise<void> {
    const view = await this.box.login(login.trim().toLowerCase(), password);
    // What was kept was somebody else's, or is older.
    await (await this.passes()).forget().catch(() => {});
    this.tabs.tell(view.account);
    await this.enter({ view });
  }

  async logout(): Promise<void> {
    const phase = this.cell.value;
    if (phase.at === 'signed-in') await phase.school.route.logout();
    this.leave(false);
    this.tabs.tell(null);
  }

  /** To the door: the box is back, but knows nobody any more. What was written stays. */
  async signInAgain(): Promise<void> {
    await (await this.passes()).forget();
    this.leave(true);
  }

  /** The same browser may have signed in as somebody else meanwhile (cookies are shared): look again. */
  check(): void {
    const phase = this.cell.value;
    if (phase.at === 'signed-in') phase.school.nudge();
  }

  private async enter(begin: Begin): Promise<void> {
    const make = this.options.makeSchool ?? ((begin, onEnded) => this.makeSchool(begin, onEnded));
    const school = await make(begin, () => this.leave(true));
    this.cell.set({ at: 'signed-in', school });
    await school.start();
  }

  private leave(ended: boolean): void {
    const phase = this.cell.value;
    if (phase.at !== 'signed-in') return;
    phase.school.close();
    this.cell.set({ at: 'signed-out', ended });
  }

  private async makeSchool(begin: Begin, onEnded: () => void): Promise<School> {
    const { makeGateway, onTakenOver } = this.options;
    const { view } = begin;
    const own = webLocks();
    // Tabs that cannot agree on an owner must not share numbers: each is a device of its own then.
    const db = own ? await openOutboxDb().catch(() => null) : null;
    const shared = db !== null;
    const outbox = shared ? { db, own, channel: outboxChannel(accountKey(view)) } : { db: new MemoryOutbox() };
    const route = new Route({
      ...begin,
      own: this.box,
      passes: await this.passes(),
      onEnded,
      ...(makeGateway ? { makeGateway } : {}),
      ...(onTakenOver ? { onTakenOver } : {}),
    });
    return new School({ view, route, outbox, onEnded });
  }
}

function isLoading(error: unknown): boolean {
  return error instanceof ProblemError && error.problem.code === 'loading';
}
