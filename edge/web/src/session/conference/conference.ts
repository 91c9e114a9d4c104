/**
 * A conference as one person has it, over all connections that it takes: ticket, join, and when the node is lost the
 * other one at once, over the connection that stands by there; without one a join, then both nodes in turn until it works
 * or the person leaves. What was on (microphone, camera, screen, hand) is on again after each change; the last pictures
 * stay until new ones come.
 */
import { ProblemError, type Claims, type MediaNode, type Order, type Rules, type Stay, type TicketAnswer } from '../../protocol';
import { Cell, type Readable } from '../cell';
import { Hand } from './hand';
import { Link, type LinkOptions, type NodeDoor, type Sent } from './link';
import { AWAIT_MS } from './people';
import { missing } from './rules';
import { keysById, shown, type Former } from './shown';
import { snapshot } from './snapshot';
import { Spare } from './spare';
import {
  NO_RULES,
  NOBODY,
  type ConferencePhase,
  type ConferenceState,
  type Local,
  type Person,
  type Snapshot,
  type Wanted,
} from './types';
import { LOOK_EVERY_MS } from './watch';

/** The first try at the other node is at once; then these, doubled, jittered. */
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4_000;
/** A connection that lasted this long was a good one: the next loss begins counting anew. */
const STEADY_MS = 10_000;
/** After so many failures in a row the box is asked for a new ticket: nodes may have been placed anew. */
const FAILURES_PER_TICKET = 3;
/** The box may be what is gone: a known ticket is not held up longer by it. */
const TICKET_PATIENCE_MS = 3_000;
/**
 * So long a node may send nothing, not even an answer, while the one that stands by answers. Two looks: at the first both
 * are asked.
 */
const SILENT_MS = 1.9 * LOOK_EVERY_MS;
/** Of a queue's time; the box jitters it already. */
const QUEUE_WAIT_MIN_MS = 500;

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
  private readonly cell = new Cell<ConferenceState>({
    phase: { at: 'ticket' },
    node: null,
    people: [],
    pictures: [],
    voices: [],
    speakers: new Map(),
    quality: 'excellent',
    qualities: new Map(),
    rules: NO_RULES,
    lobby: NOBODY,
    hand: false,
  });
  private local: Local = { ...NOTHING };
  private sent: Sent = { microphone: false, camera: false, screen: false };
  private readonly hand = new Hand();
  /** What held at the former node, if one has led there and the present one has not told yet what it knows. */
  private held: { node: string; rules: Rules } | null = null;
  private wanted: readonly Wanted[] | null = null;
  private viewSent = '';
  private link: Link | null = null;
  /** The connection before: its last pictures are shown until the next one has its own. */
  private former: Former | null = null;
  private formerTimer: ReturnType<typeof setTimeout> | undefined;
  private granted: { ticket: string; claims: Claims } | null = null;
  private joins = 0;
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
      const ready = this.spare.take();
      const link: Link | null = ready ?? (await this.join(standby, failures));
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
      if (FINAL.includes(reason)) {
        this.end({ at: 'failed', code: reason });
        return;
      }
      if (this.now() - since >= STEADY_MS) failures = 0;
      this.freeze(link);
      if (this.spare.current) continue;
      standby = link.node === this.granted?.claims.primary;
      this.phase(this.again(failures));
      // The first try at the other node is at once.
      if (failures > 0) await this.pause(failures);
      failures += 1;
    }
  }

  /** @returns nothing: it did not work, or the conference is over */
  private async join(standby: boolean, failures: number): Promise<Link | null> {
    if (!(await this.haveTicket(failures))) return null;
    const { granted } = this;
    if (!granted || this.over) return null;
    const node = (standby ? granted.claims.standby : null) ?? granted.claims.primary;
    this.phase(this.joins === 0 && failures === 0 ? { at: 'joining' } : this.again(failures));
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
    if (changed) this.link?.replace(kind, track).catch(() => {});
    this.link?.publish(this.sent);
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
    this.sendView();
  }

  snapshot(): Snapshot {
    return snapshot(this.cell.value, this.link, this.spare.current?.node.name ?? null, this.joins);
  }

  /** Gets a ticket when there is none that may still be good. @returns false when the conference cannot be joined */
  private async haveTicket(failures: number): Promise<boolean> {
    const known = this.granted !== null;
    if (known && (failures === 0 || failures % FAILURES_PER_TICKET !== 0)) return true;
    for (let tries = 1; !this.over; tries += 1) {
      let answer: TicketAnswer;
      try {
        const asking = this.options.ticket();
        const late = known ? this.wait(TICKET_PATIENCE_MS).then(() => null) : new Promise<null>(() => {});
        const first = await Promise.race([asking, late]);
        if (first === null) {
          asking.catch(() => {});
          return true;
        }
        answer = first;
      } catch (error) {
        if (this.hopeless(error)) return false;
        if (known) return true;
        await this.pause(tries);
        continue;
      }
      if (answer.type === 'granted') {
        this.granted = answer;
        return true;
      }
      if (known) return true;
      this.phase({ at: 'queued', position: answer.position });
      await this.wait(Math.max(answer.retry_after_ms, QUEUE_WAIT_MIN_MS));
    }
    return false;
  }

  /** Ends on what no other try will change. A refused ticket is given up, so that a new one is asked for. */
  private hopeless(error: unknown): boolean {
    if (!(error instanceof ProblemError)) return false;
    const { status, code } = error.problem;
    const ofNode = this.granted !== null;
    if (ofNode && SHUT.includes(code)) {
      this.end({ at: 'failed', code });
      return true;
    }
    if (ofNode && (status === 401 || status === 403)) {
      this.granted = null;
      return false;
    }
    if (status === 429 || status >= 500 || ofNode) return false;
    this.end({ at: 'failed', code });
    return true;
  }

  private makeLink(granted: { ticket: string; claims: Claims }, node: MediaNode, onLost: LinkOptions['onLost'], standby = false): Link {
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
    const { granted } = this;
    if (!granted) return;
    const { primary, standby } = granted.claims;
    const other = link.node.name === primary.name ? standby : primary;
    this.spare.drop();
    if (!other) return;
    this.spare.seek((onLost) =>
      this.makeLink(granted, other, (link, reason) => (link === this.link ? this.endLost?.(reason) : onLost()), true),
    );
  }

  private adopt(link: Link): void {
    this.link = link;
    this.joins += 1;
    this.viewSent = '';
    link.activate();
    // What changed while the connection opened.
    for (const kind of ['microphone', 'camera', 'screen'] as const) {
      link.replace(kind, this.local[kind]).catch(() => {});
    }
    link.publish(this.sent);
    if (this.hand.raised) link.hand(true);
    this.hand.joined();
    this.former?.link.close();
    clearTimeout(this.formerTimer);
    if (this.former) this.formerTimer = setTimeout(() => this.forgetFormer(), AWAIT_MS);
    this.show();
    this.seekSpare(link);
  }

  /** The pictures of a lost connection stay as they are. */
  private freeze(link: Link): void {
    const { people, pictures, rules } = this.cell.value;
    if (people.some((person) => person.me && person.role === 'moderator')) this.held = { node: link.node.name, rules };
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
    this.restoreRules(link, me);
    this.cell.update((before) => ({
      ...before,
      ...state,
      phase: link.waiting ? { at: 'waiting' } : { at: 'connected' },
      node: { name: link.node.name, kind: link.node.kind },
      // What stands by is silent, and plays already when it is needed.
      voices: [...link.voices, ...(this.spare.current?.voices ?? [])],
      rules: link.rules,
      lobby: link.lobby,
      hand: this.hand.raised,
    }));
    this.sendView();
  }

  private restoreRules(link: Link, me: Person | undefined): void {
    const { held } = this;
    if (!held || !me) return;
    this.held = null;
    if (me.role !== 'moderator' || held.node === link.node.name) return;
    for (const order of missing(held.rules, link.rules)) link.order(order);
  }

  private sendView(): void {
    const { link, wanted } = this;
    if (!link || wanted === null) return;
    const idOf = new Map([...keysById(link, this.former)].map(([id, key]) => [key, id]));
    const tiles = wanted.flatMap(({ key, kind, height }) => {
      const participant = idOf.get(key);
      return participant === undefined ? [] : [{ participant, kind, height }];
    });
    const text = JSON.stringify(tiles);
    if (text === this.viewSent) return;
    this.viewSent = text;
    link.view(tiles);
  }

  private again(failures: number): ConferencePhase {
    return this.joins === 0 ? { at: 'joining' } : { at: 'reconnecting', attempt: failures + 1 };
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
    this.link?.close();
    this.former?.link.close();
    this.endLost?.('left');
  }
}
