/** Whether somebody is signed in, and the way in and out. */
import { BoxClient, ProblemError, type SessionView } from '../protocol';
import { Cell, type Readable } from './cell';
import { MemoryOutbox, openOutboxDb } from './outbox-db';
import { accountKey, openPasses, type KeptPass, type Passes } from './passes';
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
  /** Signed in with the password of a sheet of paper: nothing else goes before there is an own one. */
  | { at: 'first-password'; view: SessionView; box: BoxClient }
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
  /** A password is being changed: the live stream may hear of the session's end before the answer is here. */
  private changing = false;

  constructor(private readonly options: SessionOptions = {}) {
    this.box = options.box ?? new BoxClient();
    this.tabs = sessionChannel((account) => {
      const phase = this.cell.value;
      const mine = phase.at === 'signed-in' ? phase.school.me.account : phase.at === 'first-password' ? phase.view.account : null;
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
    while (!(await this.tryToEnter(passes))) await askAgain();
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
      try {
        const view = await this.gateway(pass).with({ timeoutMs: ASK_MAX_MS }).session();
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

  /**
   * Another password for who is signed in. The old one's sessions end with it: this page goes on with a new one.
   * Throws `ProblemError` (`wrong-password`, `weak-password`, `too-many-tries`) or `Unreachable`.
   */
  async changePassword(old: string, password: string): Promise<void> {
    const phase = this.cell.value;
    this.changing = true;
    try {
      // The own node's: the session of a pass ends with the password, and there would be no other.
      await (phase.at === 'first-password' ? phase.box : this.box).password({ old, new: password });
    } finally {
      this.changing = false;
    }
    if (phase.at === 'signed-in') phase.school.close();
    while (!(await this.tryToEnter(await this.passes()))) await askAgain();
  }

  async logout(): Promise<void> {
    const phase = this.cell.value;
    if (phase.at === 'signed-in') await phase.school.route.logout();
    if (phase.at === 'first-password') {
      await phase.box.logout();
      await (await this.passes()).forget();
    }
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
    if (phase.at === 'first-password') void this.checkFirst(phase.box);
  }

  /** It may have been changed in another tab. */
  private async checkFirst(box: BoxClient): Promise<void> {
    const view = await box.session().catch(() => null);
    const phase = this.cell.value;
    if (view && !view.must_change_password && phase.at === 'first-password' && phase.box === box) {
      await this.tryToEnter(await this.passes());
    }
  }

  private gateway({ url, pass }: KeptPass): BoxClient {
    return (this.options.makeGateway ?? ((url, pass) => new BoxClient(url, undefined, pass)))(url, () => pass);
  }

  private async enter(begin: Begin): Promise<void> {
    if (begin.view.must_change_password) {
      const box = begin.begin ? this.gateway(begin.begin.pass) : this.box;
      this.cell.set({ at: 'first-password', view: begin.view, box });
      return;
    }
    const make = this.options.makeSchool ?? ((begin, onEnded) => this.makeSchool(begin, onEnded));
    const school = await make(begin, () => this.leave(true));
    this.cell.set({ at: 'signed-in', school });
    await school.start();
  }

  private leave(ended: boolean): void {
    const phase = this.cell.value;
    if (this.changing || (phase.at !== 'signed-in' && phase.at !== 'first-password')) return;
    if (phase.at === 'signed-in') phase.school.close();
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

function askAgain(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS * (0.75 + 0.5 * Math.random())));
}
