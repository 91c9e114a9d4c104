/**
 * Which node serves this page: the one it came from (the box, as a rule), or the cloud gateway while that one is gone.
 *
 * `navigator.onLine` lies: failed requests and the live stream's own heartbeat raise a suspicion, and only questions that
 * stay without an answer for `GONE_AFTER_MS` make a move. The way back asks for an answer that is steady, and for longer
 * each time that the box has gone again soon. Whoever holds a page changes nothing but the node that it asks.
 */
import {
  BoxClient,
  browserSocket,
  isUnreachable,
  ProblemError,
  Unreachable,
  type NodeKind,
  type NodeName,
  type SessionView,
  type SocketLike,
} from '../protocol';
import { Cell, type Readable } from './cell';
import { Nap } from './nap';
import { keptPass, lifetimeMs, type KeptPass, type Passes } from './passes';

/** A suspicion becomes a move after this: longer than a process needs to start again, shorter than a person's patience. */
export const GONE_AFTER_MS = 2_500;
/** A request without an answer for so long is a suspicion; the request itself goes on. */
const SLOW_MS = 3_000;
/** A question whether somebody is there. */
const PROBE_MAX_MS = 2_500;
/** Between two of them: while it is not yet clear; while the gateway serves; while nobody does (doubled up to the last). */
const DOUBT_EVERY_MS = 700;
const AWAY_EVERY_MS = 2_000;
const LOST_EVERY_MAX_MS = 5_000;
/** While the gateway loads the school, which it does at the first question. */
const LOADING_EVERY_MS = 1_000;
/** The box has to answer for so long before it serves again; the same again at most by chance, so that not all come at once. */
export const STEADY_MS = 4_000;
/** Gone again within this: the next way back takes twice as long, at most 2^`STRIKES_MAX` times. */
const CALM_MS = 120_000;
const STRIKES_MAX = 5;

/** How the page's own node is. */
export type Own =
  | 'there'
  | 'gone'
  /** Loading the school's state: soon. */
  | 'loading'
  /** There, but it does not know this session (it was set up anew). */
  | 'signed-out';

export interface RouteState {
  at: 'own' | 'gateway';
  own: Own;
  /** Nobody serves: the gateway is there, but is still loading the school's state. */
  gatewayLoads: boolean;
  /** The node that serves now. */
  node: NodeName;
  kind: NodeKind;
}

export interface RouteOptions {
  /** Of the own node, or of the gateway if the page begins there. */
  view: SessionView;
  own: BoxClient;
  passes: Passes;
  /** The page begins at the gateway: the own node does not answer. */
  begin?: { pass: KeptPass; own: Own };
  makeGateway?: (url: string, pass: () => string) => BoxClient;
  connect?: (address: string, protocols: string[]) => SocketLike;
  /** Neither node takes the session any more. */
  onEnded: () => void;
  /** Somebody else is signed in on this browser. */
  onTakenOver?: () => void;
  random?: () => number;
}

export class Route {
  private readonly cell: Cell<RouteState>;
  private readonly moves = new Set<() => void>();
  private gateway: BoxClient | null = null;
  private pass: KeptPass | null = null;
  /** Requests at the node that serves now; given up when another one does. */
  private here = new AbortController();
  private client: BoxClient;
  private suspected = false;
  private looking = false;
  private closed = false;
  private readonly nap = new Nap();
  private deadSince: number | null = null;
  private steadySince: number | null = null;
  private steadyMs = 0;
  private returnedAt = -Infinity;
  private strikes = 0;
  private lostFor = 0;
  private refreshTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: RouteOptions) {
    const { view, begin } = options;
    const at = begin ? 'gateway' : 'own';
    this.cell = new Cell<RouteState>({ at, own: begin?.own ?? 'there', gatewayLoads: false, node: view.served_by, kind: view.served_by_kind });
    this.client = options.own;
    if (begin) this.know(begin.pass);
    this.learn(view);
    this.use(at);
    if (begin) this.look();
  }

  get state(): Readable<RouteState> {
    return this.cell;
  }

  /** The door of the node that serves. */
  get box(): BoxClient {
    return this.client;
  }

  /** What changes with each move: answers that were asked for before it are another node's. */
  get node(): unknown {
    return this.here;
  }

  /** Called after each move. */
  onMoved(moved: () => void): void {
    this.moves.add(moved);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.refreshTimer);
    this.here.abort();
    this.nap.end();
  }

  /** Asks the node that serves; what cannot be answered there is asked once more if another one serves then. */
  async ask<T>(question: (box: BoxClient) => Promise<T>): Promise<T> {
    const { here } = this;
    try {
      return await this.once(question);
    } catch (error) {
      if (!(error instanceof Unreachable) || this.closed) throw error;
      await this.decided(here);
      if (here === this.here) throw error;
      return this.once(question);
    }
  }

  /** Asks once: for what must not be asked again elsewhere without being noted down. */
  async once<T>(question: (box: BoxClient) => Promise<T>): Promise<T> {
    const slow = setTimeout(() => this.suspect(), SLOW_MS);
    const { here } = this;
    try {
      return await question(this.client);
    } catch (error) {
      if (here === this.here) this.failed(error);
      // With a gateway at hand, an own node that has lost the session is as good as gone.
      if (isNotSignedIn(error) && this.gateway) throw new Unreachable(error);
      throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  connect(path: string): SocketLike {
    const { base, subprotocols } = this.client;
    return (this.options.connect ?? browserSocket)(base + path, subprotocols);
  }

  /** Something says that the node that serves may be gone. */
  suspect(): void {
    this.suspected = true;
    this.look();
  }

  /** The page is visible again, or the network changed: look now. */
  nudge(): void {
    if (this.cell.value.at === 'own' && !this.suspected) void this.refresh();
    else this.look();
  }

  /** Ends the session at the own node, and here. */
  async logout(): Promise<void> {
    const { own, passes } = this.options;
    try {
      await own.with({ timeoutMs: PROBE_MAX_MS }).logout();
      await passes.forget();
    } catch (error) {
      if (isNotSignedIn(error)) await passes.forget();
      // Its cookie cannot be taken back from here: the next page does so as soon as the box answers.
      else if (isUnreachable(error)) await passes.leave();
      else throw error;
    }
    this.close();
  }

  private failed(error: unknown): void {
    if (isUnreachable(error) || isNotSignedIn(error)) this.suspect();
    else if (error instanceof ProblemError && error.problem.status === 403 && this.cell.value.at === 'gateway') this.suspect();
  }

  /** Resolves when it is clear whether the node is there, or another one serves. */
  private async decided(here: AbortController): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        if (here === this.here && this.suspected && !this.closed && this.deadSince !== null && Date.now() - this.deadSince < 2 * GONE_AFTER_MS) return;
        clearInterval(timer);
        resolve();
      };
      const timer = setInterval(done, 200);
      done();
    });
  }

  private look(): void {
    this.nap.end();
    if (this.looking || this.closed) return;
    this.looking = true;
    this.deadSince ??= Date.now();
    void this.run().finally(() => (this.looking = false));
  }

  private async run(): Promise<void> {
    while (!this.closed && (this.suspected || this.cell.value.at === 'gateway')) {
      const wait = this.cell.value.at === 'own' ? await this.doubtOwn() : await this.awaitOwn();
      if (wait === 0 || this.closed) continue;
      await this.nap.sleep(wait, this.random());
    }
  }

  /** At the own node, under suspicion. @returns how long to wait; 0: it is decided */
  private async doubtOwn(): Promise<number> {
    const own = await this.probe(this.options.own);
    if (this.closed) return 0;
    if (own === 'there') {
      this.suspected = false;
      this.deadSince = null;
      this.lostFor = 0;
      this.note({ own, gatewayLoads: false });
      return 0;
    }
    const now = Date.now();
    this.deadSince ??= now;
    if (own === 'signed-out' && !this.gateway) return this.end();
    if (own === 'gone' && now - this.deadSince < GONE_AFTER_MS) return DOUBT_EVERY_MS;
    if (this.gateway) {
      const gateway = await this.probe(this.gateway);
      if (this.closed) return 0;
      if (gateway === 'there') {
        this.note({ own, gatewayLoads: false });
        this.move('gateway');
        return AWAY_EVERY_MS;
      }
      this.note({ own, gatewayLoads: gateway === 'loading' });
      if (gateway === 'loading') return LOADING_EVERY_MS;
      if (gateway === 'signed-out') await this.dropPass();
      if (own === 'signed-out' && gateway === 'signed-out') return this.end();
    }
    this.note({ own });
    this.lostFor += 1;
    return Math.min(LOST_EVERY_MAX_MS, DOUBT_EVERY_MS * 2 ** Math.min(this.lostFor, 10));
  }

  /** At the gateway: looks for the own node. */
  private async awaitOwn(): Promise<number> {
    const own = await this.probe(this.options.own);
    if (this.closed) return 0;
    const now = Date.now();
    this.note({ own });
    if (own !== 'there') this.steadySince = null;
    else {
      if (this.steadySince === null) {
        this.steadySince = now;
        this.steadyMs = STEADY_MS * 2 ** this.strikes * (1 + this.random());
      }
      if (now - this.steadySince >= this.steadyMs) {
        this.move('own');
        return 0;
      }
    }
    if (this.suspected && this.gateway) {
      const gateway = await this.probe(this.gateway);
      if (this.closed) return 0;
      if (gateway === 'signed-out') {
        await this.dropPass();
        if (own === 'signed-out') return this.end();
        this.move('own');
        this.suspected = own !== 'there';
        return DOUBT_EVERY_MS;
      }
      if (gateway === 'there') this.suspected = false;
      else if (own === 'there') {
        this.move('own');
        return 0;
      }
    }
    return AWAY_EVERY_MS;
  }

  private end(): number {
    this.closed = true;
    void this.options.passes.forget();
    this.options.onEnded();
    return 0;
  }

  private move(at: RouteState['at']): void {
    const now = Date.now();
    if (at === 'own') this.returnedAt = now;
    else this.strikes = now - this.returnedAt < CALM_MS ? Math.min(this.strikes + 1, STRIKES_MAX) : 0;
    this.suspected = false;
    this.deadSince = this.steadySince = null;
    this.lostFor = 0;
    const left = this.here;
    this.use(at);
    left.abort();
    for (const moved of this.moves) moved();
  }

  private use(at: RouteState['at']): void {
    this.here = new AbortController();
    const door = at === 'gateway' && this.gateway ? this.gateway : this.options.own;
    this.client = door.with({ signal: this.here.signal });
    const seen = at === 'own' ? this.ownNode : this.gatewayNode;
    this.note({ at, ...seen });
  }

  private ownNode: Partial<RouteState> = {};
  private gatewayNode: Partial<RouteState> = { kind: 'gateway' };

  private async probe(box: BoxClient): Promise<Own> {
    const isOwn = box === this.options.own;
    try {
      const view = await box.with({ timeoutMs: PROBE_MAX_MS }).session();
      if (view.account !== this.options.view.account || view.school !== this.options.view.school) {
        if (isOwn) this.options.onTakenOver?.();
        return 'signed-out';
      }
      this.learn(view, isOwn);
      return 'there';
    } catch (error) {
      if (!(error instanceof ProblemError)) return 'gone';
      const { status, code } = error.problem;
      if (status === 401 || (status === 403 && !isOwn)) return 'signed-out';
      return code === 'loading' ? 'loading' : 'gone';
    }
  }

  /** What a session's view says of the ways. */
  private learn(view: SessionView, isOwn = this.cell.value.at === 'own'): void {
    const seen = { node: view.served_by, kind: view.served_by_kind };
    if (isOwn) this.ownNode = seen;
    else this.gatewayNode = seen;
    if ((this.cell.value.at === 'own') === isOwn) this.note(seen);
    const pass = keptPass(view);
    if (pass && pass.pass !== this.pass?.pass) {
      this.know(pass);
      void this.options.passes.keep(pass).catch(() => {});
    }
  }

  private know(pass: KeptPass): void {
    const moved = pass.url !== this.pass?.url;
    this.pass = pass;
    const make = this.options.makeGateway ?? ((url, pass) => new BoxClient(url, undefined, pass));
    if (moved || !this.gateway) this.gateway = make(pass.url, () => this.pass?.pass ?? '');
    clearTimeout(this.refreshTimer);
    const life = lifetimeMs(pass.pass);
    if (life !== null && !this.closed) this.refreshTimer = setTimeout(() => void this.refresh(), life / 2);
  }

  /** A new pass comes with each look at the session. */
  private async refresh(): Promise<void> {
    try {
      const view = await this.once((box) => box.session());
      if (view.account !== this.options.view.account) this.options.onTakenOver?.();
      else this.learn(view);
    } catch {
      // The suspicion is raised; the next look brings a pass, too.
    }
  }

  private async dropPass(): Promise<void> {
    this.gateway = null;
    this.pass = null;
    clearTimeout(this.refreshTimer);
    await this.options.passes.forget().catch(() => {});
  }

  private note(change: Partial<RouteState>): void {
    const next = { ...this.cell.value, ...change };
    if (JSON.stringify(next) !== JSON.stringify(this.cell.value)) this.cell.set(next);
  }

  private random(): number {
    return (this.options.random ?? Math.random)();
  }
}

function isNotSignedIn(error: unknown): boolean {
  return error instanceof ProblemError && error.problem.status === 401 && error.problem.code !== 'other-account';
}
