/**
 * A conference as one person has it, over all connections that it takes: ticket, join, and when the node is lost the
 * other one at once, over the connection that stands by there; without one a join, then both nodes in turn until it works
 * or the person leaves. What was on (microphone, camera, screen, hand) is on again after each change; the last pictures
 * stay until new ones come.
 */
import { ProblemError, type MediaNode, type MoveReason, type Order, type Stay, type TicketAnswer } from '../../protocol';
import { Cell, type Readable } from '../cell';
import { Hand } from './hand';
import { covered, LINGER_MS } from './handover';
import { Link, type LinkOptions, type NodeDoor, type Sent } from './link';
import { AWAIT_MS } from './people';
import { HeldRules } from './rules';
import { keysById, shown, type Former } from './shown';
import { Past, snapshot } from './snapshot';
import { Spare } from './spare';
import { otherNode, Tickets, type Granted } from './tickets';
import {
  NOTHING_YET,
  type ConferencePhase,
  type ConferenceState,
  type Local,
  type Snapshot,
  type Wanted,
} from './types';
import { LOOK_EVERY_MS } from './watch';

/** The first try at the other node is at once; then these, doubled, jittered. */
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4_000;
/** A connection that lasted this long was a good one: the next loss begins counting anew. */
const STEADY_MS = 10_000;
/**
 * So long a node may send nothing, not even an answer, while the one that stands by answers. The death of its process is
 * told by its connection at once: this is for a line that is cut and a machine that hangs, and must not take a busy one for
 * those. At the first look both are asked.
 */
const SILENT_MS = 3.9 * LOOK_EVERY_MS;

export interface ConferenceOptions {
  ticket: () => Promise<TicketAnswer>;
  door: NodeDoor;
  makePeer: () => RTCPeerConnection;
  now?: () => number;
  random?: () => number;
  wait?: (ms: number) => Promise<void>;
}

/** Reasons of a node that no other node and no other try will change. */
const FINAL = ['room-closed', 'replaced', 'removed', 'refused'];
/** The same, of a node that does not let one in. */
const SHUT = ['room-closed', 'blocked'];

const NOTHING: Local = { microphone: null, camera: null, screen: null };

export class Conference {
  private readonly cell = new Cell<ConferenceState>(NOTHING_YET);
  private local: Local = { ...NOTHING };
  private sent: Sent = { microphone: false, camera: false, screen: false };
  private readonly hand = new Hand();
  private readonly held = new HeldRules();
  private wanted: readonly Wanted[] | null = null;
  private link: Link | null = null;
  /** In a planned move: in use beside the present one, and shown once it has everything. */
  private next: Link | null = null;
  private moving = false;
  /** The connection before: its last pictures are shown until the next one has its own. */
  private former: Former | null = null;
  private formerTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly tickets: Tickets;
  private readonly past = new Past();
  private over = false;
  private endLost: ((reason: string) => void) | null = null;
  private readonly now: () => number;
  private readonly wait: (ms: number) => Promise<void>;
  private readonly spare: Spare;

  constructor(private readonly options: ConferenceOptions) {
    this.now = options.now ?? (() => performance.now());
    this.wait = options.wait ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    const random = options.random ?? Math.random;
    this.spare = new Spare({ onChange: () => this.show(), now: this.now, random, wait: this.wait });
    this.tickets = new Tickets({
      ask: options.ticket,
      wait: this.wait,
      pause: (failures) => this.pause(failures),
      onQueued: (position) => this.phase({ at: 'queued', position }),
      isOver: () => this.over,
      isHopeless: (error) => this.hopeless(error),
    });
  }

  get state(): Readable<ConferenceState> {
    return this.cell;
  }

  /** Runs until `leave()`, or until the conference is over. */
  async run(local: Local, sent: Sent): Promise<void> {
    this.local = { ...local };
    this.sent = { ...sent };
    let standby = false;
    let failures = 0;
    while (!this.over) {
      const link: Link | null = this.successor() ?? (await this.join(standby, failures));
      if (this.over) return link?.close();
      if (!link) {
        failures += 1;
        standby = !standby;
        await this.pause(failures);
        continue;
      }
      const lost = new Promise<string>((resolve) => (this.endLost = resolve));
      this.adopt(link);
      if (link.isOver) this.endLost?.('lost at once');
      const since = this.now();
      const reason = await lost;
      if (this.over) return;
      this.past.lost(link, reason);
      if (FINAL.includes(reason)) {
        this.end({ at: 'failed', code: reason });
        return;
      }
      if (this.now() - since >= STEADY_MS) failures = 0;
      this.freeze(link);
      if (this.next || this.spare.current) continue;
      standby = link.node === this.tickets.granted?.claims.primary;
      this.phase(this.again(failures));
      // The first try at the other node is at once.
      if (failures > 0) await this.pause(failures);
      failures += 1;
    }
  }

  /** What needs no join any more. */
  private successor(): Link | null {
    const { next } = this;
    this.next = null;
    if (next && !next.isOver) return next;
    next?.close();
    return this.spare.take();
  }

  /** @returns nothing: it did not work, or the conference is over */
  private async join(standby: boolean, failures: number): Promise<Link | null> {
    const granted = await this.tickets.have(failures);
    if (!granted || this.over) return null;
    const node = (standby ? granted.claims.standby : null) ?? granted.claims.primary;
    this.phase(this.past.joins === 0 && failures === 0 ? { at: 'joining' } : this.again(failures));
    const link = this.makeLink(granted, node, (link, reason) => link === this.link && this.endLost?.(reason));
    try {
      await link.open();
      return link;
    } catch (error) {
      link.close();
      if (!this.over) this.hopeless(error);
      return null;
    }
  }

  leave(): void {
    this.end({ at: 'left' });
  }

  /** Somebody closed the conference for all. */
  close(): void {
    this.end({ at: 'failed', code: 'room-closed' });
  }

  /** Puts a source in or takes it out; what is `on` is told to the others. */
  setSource(kind: keyof Local, track: MediaStreamTrack | null, on: boolean): void {
    const changed = this.local[kind] !== track;
    this.local[kind] = track;
    this.sent = { ...this.sent, [kind]: on };
    for (const link of [this.link, this.next]) {
      if (changed) link?.replace(kind, track).catch(() => {});
      link?.publish(this.sent);
    }
  }

  setHand(raised: boolean): void {
    this.hand.set(raised);
    this.link?.hand(raised);
    this.cell.update((state) => ({ ...state, hand: raised }));
  }

  /** Takes back that a moderator has muted one; the node decides whether one may. */
  unmute(): void {
    this.link?.unmute();
  }

  /** As a moderator. */
  order(order: Order): void {
    this.link?.order(order);
  }

  /** As a moderator: who was there from when to when. */
  async attendance(): Promise<readonly Stay[]> {
    if (!this.link) throw new Error('not connected');
    return this.link.attendance();
  }

  setWanted(wanted: readonly Wanted[]): void {
    this.wanted = wanted;
    for (const link of [this.link, this.next]) if (link) this.sendView(link);
  }

  snapshot(): Snapshot {
    return snapshot(this.cell.value, this.link, this.spare.current?.node.name ?? null, this.past);
  }

  /** Ends on what no other try will change. A refused ticket is given up, so that a new one is asked for. */
  private hopeless(error: unknown): boolean {
    if (!(error instanceof ProblemError)) return false;
    const { status, code } = error.problem;
    const ofNode = this.tickets.granted !== null;
    if (ofNode && SHUT.includes(code)) {
      this.end({ at: 'failed', code });
      return true;
    }
    if (ofNode && (status === 401 || status === 403)) {
      this.tickets.granted = null;
      return false;
    }
    if (status === 429 || status >= 500 || ofNode) return false;
    this.end({ at: 'failed', code });
    return true;
  }

  private makeLink(granted: Granted, node: MediaNode, onLost: LinkOptions['onLost'], standby = false): Link {
    const { door, makePeer } = this.options;
    return new Link({
      door,
      makePeer,
      ...granted,
      node,
      local: standby ? NOTHING : this.local,
      standby,
      now: this.now,
      onChange: (link) => link === this.link && this.show(),
      onLost,
      onSilent: (link, since) => link === this.link && this.doubt(link, since),
      onMove: (link, reason) => void this.move(link, reason),
    });
  }

  /** If the other node answers while this one does not, it is not one's own line that is dead. */
  private doubt(link: Link, since: number): void {
    const spare = this.spare.current;
    if (!spare) return;
    if (this.now() - since >= SILENT_MS && spare.heardAt > since + LOOK_EVERY_MS) link.lose('silent');
    else spare.probe();
  }

  private seekSpare(link: Link): void {
    const { granted } = this.tickets;
    const other = granted && otherNode(granted.claims, link.node);
    this.spare.drop();
    if (!granted || !other) return;
    this.spare.seek((onLost) =>
      this.makeLink(granted, other, (link, reason) => (link === this.link ? this.endLost?.(reason) : onLost()), true),
    );
  }

  /** The node asks one to go on elsewhere. It asks again if that does not work now. */
  private async move(present: Link, reason: MoveReason): Promise<void> {
    if (this.moving || this.over || present !== this.link) return;
    this.moving = true;
    const next = this.spare.take() ?? (await this.openOther(present, reason));
    if (next && present === this.link && !this.over) {
      this.next = next;
      this.bring(next);
      this.show();
      if (await covered(next, present, { now: this.now, wait: this.wait })) this.endLost?.('moved');
      else if (next === this.next) {
        this.next = null;
        next.close();
        if (present === this.link) this.seekSpare(present);
      }
    } else next?.close();
    this.moving = false;
  }

  /** Without a standby: at the ticket's other node, or where a new ticket leads. */
  private async openOther(present: Link, reason: MoveReason): Promise<Link | null> {
    for (const renew of reason === 'return' ? [false] : [false, true]) {
      const granted = renew ? await this.tickets.renew() : this.tickets.granted;
      const node = granted && otherNode(granted.claims, present.node);
      if (!granted || !node || this.over) continue;
      const link = this.makeLink(granted, node, (link, reason) => link === this.link && this.endLost?.(reason), true);
      const opened = await link.open().then(
        () => true,
        () => false,
      );
      if (opened) return link;
      link.close();
    }
    return null;
  }

  /** Into use: what one sends, wants to see and has raised. */
  private bring(link: Link): void {
    link.activate();
    for (const kind of ['microphone', 'camera', 'screen'] as const) {
      link.replace(kind, this.local[kind]).catch(() => {});
    }
    link.publish(this.sent);
    if (this.hand.raised) link.hand(true);
    this.sendView(link);
  }

  private adopt(link: Link): void {
    this.link = link;
    this.past.joins += 1;
    this.bring(link);
    this.hand.joined();
    const { former } = this;
    if (former?.link.isOver) former.link.close();
    else if (former) void this.wait(LINGER_MS).then(() => former.link.close());
    clearTimeout(this.formerTimer);
    if (former) this.formerTimer = setTimeout(() => this.forgetFormer(), AWAIT_MS);
    this.show();
    this.seekSpare(link);
  }

  /** The pictures of a lost connection stay as they are. */
  private freeze(link: Link): void {
    const { people, pictures, rules } = this.cell.value;
    if (people.some((person) => person.me && person.role === 'moderator')) this.held.keep(link.node.name, rules);
    this.former?.link.close();
    this.former = { link, people, pictures };
    this.link = null;
  }

  private forgetFormer(): void {
    this.former?.link.close();
    this.former = null;
    this.show();
  }

  private show(): void {
    const { link, former } = this;
    if (!link || this.over) return;
    const state = shown(link, former);
    const me = state.people.find((person) => person.me && !person.awaited);
    this.hand.follow(me);
    if (me) for (const order of this.held.missing(link.node.name, link.rules, me.role)) link.order(order);
    this.cell.update((before) => ({
      ...before,
      ...state,
      phase: link.waiting ? { at: 'waiting' } : { at: 'connected' },
      node: { name: link.node.name, kind: link.node.kind },
      // What stands by is silent, and plays already when it is needed; who moves is not heard twice.
      voices: [link, this.next, this.spare.current].flatMap((link) => link?.voices ?? []),
      quiet: this.next?.voices ?? [],
      rules: link.rules,
      lobby: link.lobby,
      hand: this.hand.raised,
    }));
    this.sendView(link);
  }

  private sendView(link: Link): void {
    const { wanted, former } = this;
    if (wanted === null) return;
    const idOf = new Map([...keysById(former?.link, this.link, link)].map(([id, key]) => [key, id]));
    link.view(
      wanted.flatMap(({ key, kind, height }) => {
        const participant = idOf.get(key);
        return participant === undefined ? [] : [{ participant, kind, height }];
      }),
    );
  }

  private again(failures: number): ConferencePhase {
    return this.past.joins === 0 ? { at: 'joining' } : { at: 'reconnecting', attempt: failures + 1 };
  }

  private phase(phase: ConferencePhase): void {
    if (!this.over) this.cell.update((state) => ({ ...state, phase }));
  }

  private async pause(failures: number): Promise<void> {
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10));
    await this.wait(ceiling * (0.5 + 0.5 * (this.options.random ?? Math.random)()));
  }

  private end(phase: ConferencePhase): void {
    if (this.over) return;
    this.phase(phase);
    this.over = true;
    clearTimeout(this.formerTimer);
    this.spare.drop();
    this.next?.close();
    this.link?.close();
    this.former?.link.close();
    this.endLost?.('left');
  }
}
