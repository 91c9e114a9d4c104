/**
 * A conference as one person has it, over all connections that it takes: ticket, join, and when the node is lost the
 * other one at once, then both in turn until it works or the person leaves. What was on (microphone, camera, screen,
 * hand) is on again after each join; the last pictures stay until new ones come.
 */
import { ProblemError, type Claims, type MediaNode, type Order, type Rules, type Stay, type TicketAnswer } from '../../protocol';
import { Cell, type Readable } from '../cell';
import { Hand } from './hand';
import { Link, type NodeDoor, type Sent } from './link';
import { AWAIT_MS, keyed, withAwaited } from './people';
import { missing } from './rules';
import {
  NO_RULES,
  NOBODY,
  type ConferencePhase,
  type ConferenceState,
  type Local,
  type Person,
  type Quality,
  type Shown,
  type Snapshot,
  type Wanted,
} from './types';
import { worse } from './watch';

/** The first try at the other node is at once; then these, doubled, jittered. */
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4_000;
/** A connection that lasted this long was a good one: the next loss begins counting anew. */
const STEADY_MS = 10_000;
/** After so many failures in a row the box is asked for a new ticket: nodes may have been placed anew. */
const FAILURES_PER_TICKET = 3;
/** The box may be what is gone: a known ticket is not held up longer by it. */
const TICKET_PATIENCE_MS = 3_000;
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
  private former: { link: Link; people: readonly Person[]; pictures: readonly Shown[] } | null = null;
  private formerTimer: ReturnType<typeof setTimeout> | undefined;
  private granted: { ticket: string; claims: Claims } | null = null;
  private joins = 0;
  private over = false;
  private endLost: ((reason: string) => void) | null = null;
  private readonly now: () => number;
  private readonly wait: (ms: number) => Promise<void>;

  constructor(private readonly options: ConferenceOptions) {
    this.now = options.now ?? (() => performance.now());
    this.wait = options.wait ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
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
      if (!(await this.haveTicket(failures))) return;
      const { granted } = this;
      if (!granted || this.over) return;
      const node: MediaNode = (standby ? granted.claims.standby : null) ?? granted.claims.primary;
      this.phase(this.joins === 0 && failures === 0 ? { at: 'joining' } : this.again(failures));
      const link = this.makeLink(granted, node);
      const lost = new Promise<string>((resolve) => (this.endLost = resolve));
      try {
        await link.open();
      } catch (error) {
        link.close();
        if (this.over) return;
        if (this.hopeless(error)) return;
        failures += 1;
        standby = !standby;
        await this.pause(failures);
        continue;
      }
      if (this.over) {
        link.close();
        return;
      }
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
      standby = node === granted.claims.primary;
      this.phase(this.again(failures));
      // The first try at the other node is at once.
      if (failures > 0) await this.pause(failures);
      failures += 1;
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
    const { phase, node, people } = this.cell.value;
    const { link } = this;
    const reading = link?.watch.reading ?? null;
    return {
      phase: phase.at,
      node: node?.name ?? null,
      nodeKind: node?.kind ?? null,
      connection: link?.connection ?? 'none',
      joins: this.joins,
      participants: people
        .filter((person) => !person.awaited)
        .map(({ id, name, me, microphone, camera, screen, hand }) => {
          const { perSecond, decoded } = link?.frames(id) ?? { perSecond: 0, decoded: 0 };
          return { id, name, me, microphone, camera, screen, hand: hand !== null, framesPerSecond: perSecond, framesDecoded: decoded };
        }),
      audioEnergy: reading?.media.reduce((sum, stat) => sum + stat.audioEnergy, 0) ?? 0,
      bytesReceived: reading?.bytesReceived ?? 0,
      roundTripMs: reading?.roundTripMs ?? null,
    };
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

  private makeLink(granted: { ticket: string; claims: Claims }, node: MediaNode): Link {
    const { door, makePeer } = this.options;
    return new Link({
      door,
      makePeer,
      ...granted,
      node,
      local: this.local,
      now: this.now,
      onChange: (link) => link === this.link && this.show(),
      onLost: (link, reason) => link === this.link && this.endLost?.(reason),
    });
  }

  private adopt(link: Link): void {
    this.link = link;
    this.joins += 1;
    this.viewSent = '';
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
    const present = keyed(link.participants, link.me);
    const me = present.find((person) => person.me);
    this.hand.follow(me);
    this.restoreRules(link, me);
    const people = former ? withAwaited(present, former.people) : present;
    const keyOf = new Map(present.map((person) => [person.id, person.key]));
    const pictures: Shown[] = link.pictures.flatMap(({ participant, kind, stream, paused }) => {
      const key = keyOf.get(participant);
      return key === undefined ? [] : [{ key, kind, stream, paused }];
    });
    for (const old of former?.pictures ?? []) {
      const person = people.find((person) => person.key === old.key);
      const covered = pictures.some((picture) => picture.key === old.key && picture.kind === old.kind);
      if (person && !covered && (person.awaited || person[old.kind])) pictures.push(old);
    }
    const speakers = link.speakers.flatMap(({ participant, level }): [string, number][] => {
      const key = keyOf.get(participant);
      return key === undefined ? [] : [[key, level]];
    });
    const qualities = link.qualities.flatMap(({ participant, quality }): [string, Quality][] => {
      const key = keyOf.get(participant);
      return key === undefined ? [] : [[key, quality]];
    });
    this.cell.update((state) => ({
      ...state,
      phase: link.waiting ? { at: 'waiting' } : { at: 'connected' },
      node: { name: link.node.name, kind: link.node.kind },
      people,
      pictures,
      voices: link.voices,
      speakers: new Map(speakers),
      quality: worse(link.watch.quality, link.qualities.find(({ participant }) => participant === link.me)?.quality),
      qualities: new Map(qualities),
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
    const idOf = new Map(keyed(link.participants, link.me).map((person) => [person.key, person.id]));
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
    this.link?.close();
    this.former?.link.close();
    this.endLost?.('left');
  }
}
