/** Whether somebody is signed in, and the way in and out. */
import { BoxClient, ProblemError, type SessionView } from '../protocol';
import { Cell, type Readable } from './cell';
import { MemoryOutbox, openOutboxDb } from './outbox-db';
import { School } from './school';
import { outboxChannel, sessionChannel, webLocks } from './tabs';

/** A box that does not answer is asked again this often. */
const ASK_AGAIN_MS = 3_000;

export type Phase =
  | { at: 'starting' }
  /** The page is there, the box does not answer. */
  | { at: 'unreachable' }
  | { at: 'signed-out'; ended: boolean }
  | { at: 'signed-in'; school: School };

export interface SessionOptions {
  box?: BoxClient;
  /** Makes what a signed-in person has; tests bring their own. */
  makeSchool?: (view: SessionView, onEnded: () => void) => Promise<School>;
  /** Another account took over in another tab: the page begins anew. */
  onTakenOver?: () => void;
}

export class Session {
  private readonly cell = new Cell<Phase>({ at: 'starting' });
  private readonly box: BoxClient;
  private readonly tabs: ReturnType<typeof sessionChannel>;

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

  /** Finds out who is signed in; keeps asking while the box does not answer. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.enter(await this.box.session());
        return;
      } catch (error) {
        if (error instanceof ProblemError && error.problem.status === 401) {
          this.cell.set({ at: 'signed-out', ended: false });
          return;
        }
        this.cell.set({ at: 'unreachable' });
        await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      }
    }
  }

  /** Throws `ProblemError` (`wrong-credentials`, `too-many-tries`) or `Unreachable`. */
  async login(login: string, password: string): Promise<void> {
    const view = await this.box.login(login.trim().toLowerCase(), password);
    this.tabs.tell(view.account);
    await this.enter(view);
  }

  async logout(): Promise<void> {
    await this.box.logout();
    this.leave(false);
    this.tabs.tell(null);
  }

  /** The same browser may have signed in as somebody else meanwhile (cookies are shared): look again. */
  async check(): Promise<void> {
    const phase = this.cell.value;
    if (phase.at !== 'signed-in') return;
    try {
      const view = await this.box.session();
      if (view.account !== phase.school.me.account) this.options.onTakenOver?.();
      else phase.school.nudge();
    } catch (error) {
      if (error instanceof ProblemError && error.problem.status === 401) this.leave(true);
    }
  }

  private async enter(view: SessionView): Promise<void> {
    const make = this.options.makeSchool ?? ((view, onEnded) => makeSchool(this.box, view, onEnded));
    const school = await make(view, () => this.leave(true));
    this.cell.set({ at: 'signed-in', school });
    await school.start();
  }

  private leave(ended: boolean): void {
    const phase = this.cell.value;
    if (phase.at !== 'signed-in') return;
    phase.school.close();
    this.cell.set({ at: 'signed-out', ended });
  }
}

async function makeSchool(box: BoxClient, view: SessionView, onEnded: () => void): Promise<School> {
  const own = webLocks();
  const account = `${view.school}:${view.account}`;
  // Tabs that cannot agree on an owner must not share numbers: each is a device of its own then.
  const db = own ? await openOutboxDb().catch(() => null) : null;
  const shared = db !== null;
  const outbox = shared ? { db, own, channel: outboxChannel(account) } : { db: new MemoryOutbox() };
  return new School({ view, box, outbox, onEnded });
}
