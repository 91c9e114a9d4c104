/**
 * What this browser has written and the cloud has not yet secured. Each operation is durable here before it is sent, and
 * stays until it is secured, so that a closed tab, a dead box or a cut line loses nothing.
 *
 * All tabs of one account write into the same database; one of them owns the numbering (a Web Lock) and sends.
 */
import {
  ProblemError,
  Unreachable,
  type AccountId,
  type Body,
  type DeviceId,
  type DeviceMarks,
  type LogIndex,
  type SchoolId,
  type SubmitAnswer,
  type Submission,
} from '../protocol';
import { Cell, type Readable } from './cell';
import { NEW_ROW, type OutboxDb } from './outbox-db';
import * as rules from './outbox-rules';
import { malformed, unlooked } from './outbox-errors';
import { randomName } from './random';

/** First and longest wait after a failed submission. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 20_000;
/** A box that misses numbers which the cloud has will get them from there; one that never does lost the device's past. */
const STUCK_TRIES_MAX = 6;
/** `sync::NUMBER_TAKEN`: not what was written was refused, but its number was another's. */
const NUMBER_TAKEN = 'number-taken';

export interface OutboxEntry {
  /** Stable from writing to securing. */
  id: number;
  device: DeviceId;
  seq: number | null;
  saved: boolean;
  at: number;
  body: Body;
}

export interface RefusedEntry {
  id: number;
  at: number;
  body: Body;
  reason: string;
}

export class OutboxFull extends Error {}

/** Only one tab at a time gets it; `undefined` where tabs cannot agree (then the database is this tab's own). */
export type Ownership = (name: string, signal: AbortSignal, whileOwned: () => Promise<void>) => Promise<void>;

/** Tells the other tabs of this browser. */
export interface Channel {
  post(): void;
  onpost: (() => void) | null;
  close(): void;
}

export interface OutboxOptions {
  school: SchoolId;
  /** Who writes. */
  account: AccountId;
  db: OutboxDb;
  box: { submit(request: Submission): Promise<SubmitAnswer>; device(device: DeviceId): Promise<DeviceMarks> };
  /** Which node `box` is now: what one says of `saved` holds for no other. */
  node?: () => unknown;
  own?: Ownership | undefined;
  channel?: Channel | undefined;
  /** Once per entry and page, also for what an earlier page left behind. */
  onRefused?: (entry: RefusedEntry) => void;
  /** The session is over: nothing is sent until it is back. */
  onSignedOut?: () => void;
  /** A new device name was taken: the live stream should follow it. */
  onDevice?: (device: DeviceId) => void;
  /** The log's head, as far as this page knows. */
  head?: () => number | null;
  now?: () => number;
  random?: () => number;
}

export class Outbox {
  private readonly list = new Cell<readonly OutboxEntry[]>([]);
  private readonly refusedList = new Cell<readonly RefusedEntry[]>([]);
  private readonly problemCell = new Cell<string | null>(null);
  private readonly stop = new AbortController();
  private deviceName: DeviceId | null = null;
  private sinceHead: LogIndex | null = null;
  /** Refused ones that `onRefused` was called for. */
  private readonly told = new Set<number>();
  private owner = false;
  private checked = false;
  private pumping = false;
  private again = false;
  private failures = 0;
  private stuckTries = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: OutboxOptions) {}

  /** Whose rows these are, in a database that all schools and accounts of this browser share. */
  private get writer(): string {
    return `${this.options.school}:${this.options.account}`;
  }

  /** Not yet secured, in order of writing. */
  get entries(): Readable<readonly OutboxEntry[]> {
    return this.list;
  }

  get refused(): Readable<readonly RefusedEntry[]> {
    return this.refusedList;
  }

  /** Why the node takes nothing at the moment although it answers (`disk-full`, `busy`, ...); null: it does, or is not there. */
  get problem(): Readable<string | null> {
    return this.problemCell;
  }

  get device(): DeviceId | null {
    return this.deviceName;
  }

  /** Names from before, of what is not yet secured. */
  get earlierNames(): DeviceId[] {
    return rules.earlierNames(this.deviceName, this.list.value);
  }

  /** From where on verdicts on what is kept may have come while no page was there. */
  get since(): LogIndex | null {
    return this.list.value.length > 0 ? this.sinceHead : null;
  }

  /** Reads what an earlier page left behind, and begins to send as soon as this tab owns the numbers. */
  async start(): Promise<void> {
    const { channel, own } = this.options;
    if (channel) channel.onpost = () => void this.refresh().then(() => this.pump());
    await this.refresh();
    const owned = async () => {
      this.owner = true;
      this.checked = false;
      void this.pump();
      await new Promise<void>((resolve) => this.stop.signal.addEventListener('abort', () => resolve()));
      this.owner = false;
    };
    const lock = own ? own(`schulhof:outbox:${this.writer}`, this.stop.signal, owned) : owned();
    // Ends with the page, or by `close()`.
    lock.catch(() => {});
  }

  close(): void {
    this.stop.abort();
    clearTimeout(this.timer);
    this.options.channel?.close();
    this.options.db.close();
  }

  /** Durable in this browser when it resolves. */
  async add(body: Body): Promise<void> {
    await this.change((state) => {
      rules.supersede(state, body);
      this.push(state, body);
    });
    void this.pump();
  }

  private push(state: rules.OutboxState, body: Body): void {
    if (state.rows.length >= rules.OUTBOX_LEN_MAX) throw new OutboxFull('the outbox is full');
    const at = rules.tick(state.device, (this.options.now ?? Date.now)());
    const { head } = this.options;
    if (state.rows.length === 0) state.device.since = head?.() ?? null;
    const { device } = state.device;
    state.rows.push({ id: NEW_ROW, account: this.writer, device, seq: null, saved: false, unanswered: 0, at, body });
  }

  /** The writer has seen to it. */
  async forgetRefused(id: number): Promise<void> {
    await this.change((state) => {
      state.refused = state.refused.filter((row) => row.id !== id);
    });
  }

  /** Writes it anew, at the end. */
  async sendAgain(id: number): Promise<void> {
    await this.change((state) => {
      const row = state.refused.find((other) => other.id === id);
      if (!row) return;
      state.refused = state.refused.filter((other) => other !== row);
      this.push(state, row.body);
    });
    void this.pump();
  }

  /** The node speaks of this device, or of an earlier name: in the greeting of a live stream (`greeting`), or as it moves on. */
  async marks(marks: DeviceMarks, greeting: boolean): Promise<void> {
    if (!this.owner || (marks.device !== this.deviceName && !this.earlierNames.includes(marks.device))) return;
    await this.change((state) => {
      rules.takeMarks(state, marks);
      if (greeting) rules.fallBack(state, marks);
    });
    if (greeting) this.nudge();
  }

  /**
   * The core refused an operation when it came to its place: it has used its number, and is over. Any tab may hear of it
   * first, and the one that owns the numbers may be gone by now: whoever hears it writes it down.
   */
  async rejected(device: DeviceId, seq: number, reason: string): Promise<void> {
    await this.change((state) => {
      const row = state.rows.find((other) => other.seq === seq && other.device === device);
      if (!row) return;
      if (reason === NUMBER_TAKEN) rules.writeAgain(state, row.id, randomName());
      else rules.refuse(state, row.id, reason);
    });
    if (reason === NUMBER_TAKEN) void this.pump();
  }

  /** Another node serves now: what it holds is its own. */
  moved(): void {
    this.checked = false;
    this.stuckTries = 0;
    this.problemCell.set(null);
    this.nudge();
  }

  /** The way to the box may be back: do not wait any longer. */
  nudge(): void {
    this.failures = 0;
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (!this.owner || this.stop.signal.aborted) return;
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    clearTimeout(this.timer);
    try {
      do {
        this.again = false;
        await this.check();
        while (await this.sendOne());
      } while (this.again);
      this.failures = 0;
      this.problemCell.set(null);
    } catch (error) {
      this.failed(error);
    } finally {
      this.pumping = false;
    }
    // Somebody asked meanwhile, and it ended with a failure: that was about a moment before.
    if (this.again) void this.pump();
  }

  /** Once per page and node: whether it knows more of this device than we ever sent, and what it misses. */
  private async check(): Promise<void> {
    if (this.checked || this.list.value.length === 0) return;
    const device = this.deviceName;
    if (device === null) return;
    for (const name of [device, ...this.earlierNames]) {
      const marks = await this.from((box) => box.device(name));
      await this.change((state) => {
        if (rules.isForeign(state, marks)) rules.renew(state, randomName());
        else {
          rules.takeSaved(state, marks);
          rules.fallBack(state, marks);
        }
      });
    }
    this.checked = true;
  }

  /** Asks the node that serves now. If another one serves when the answer comes, it says nothing any more. */
  private async from<T>(ask: (box: OutboxOptions['box']) => Promise<T>): Promise<T> {
    const { box, node } = this.options;
    const asked = node?.();
    const answer = await ask(box);
    if (asked !== node?.()) throw new Unreachable('another node serves now');
    return answer;
  }

  /** @returns whether there is more to send now */
  private async sendOne(): Promise<boolean> {
    const { device, operations } = await this.change((state) => rules.nextBatch(state));
    if (operations.length === 0 || this.stop.signal.aborted) return false;
    let answer: SubmitAnswer;
    try {
      answer = await this.submit(device, operations);
    } catch (error) {
      if (unlooked(error)) await this.change((state) => rules.settle(state, operations));
      const reason = malformed(error);
      if (reason === null) throw error;
      // Such a batch will never be taken. Alone, the first one shows whether it is the one.
      answer = await this.submitFirst(device, operations);
    }
    if (answer.results.some((result) => result.reason === 'device-of-another')) {
      // The box was set up anew, or this database is a copy: numbers of a name of our own.
      await this.change((state) => rules.renew(state, randomName()));
      return true;
    }
    const { stuck } = await this.change((state) => {
      rules.settle(state, operations);
      return rules.takeAnswer(state, answer, randomName());
    });
    if (!stuck) {
      this.stuckTries = 0;
      return this.list.value.some((entry) => !entry.saved);
    }
    this.stuckTries += 1;
    if (this.stuckTries >= STUCK_TRIES_MAX) {
      this.stuckTries = 0;
      await this.change((state) => rules.renew(state, randomName()));
      return true;
    }
    throw new Error('the box misses earlier numbers');
  }

  private submit(device: DeviceId, operations: Submission['operations']): Promise<SubmitAnswer> {
    return this.from((box) => box.submit({ account: this.options.account, device, operations }));
  }

  private async submitFirst(device: DeviceId, operations: Submission['operations']): Promise<SubmitAnswer> {
    const [first] = operations;
    if (first === undefined) throw new Error('nothing to submit');
    try {
      return await this.submit(device, [first]);
    } catch (error) {
      const reason = malformed(error);
      if (reason === null) throw error;
      const marks = { device, saved: first.seq - 1, secured: 0 };
      return { results: [{ seq: first.seq, state: 'refused', reason }], marks };
    }
  }

  private failed(error: unknown): void {
    if (error instanceof ProblemError && error.problem.status === 401) {
      this.options.onSignedOut?.();
      return;
    }
    this.problemCell.set(error instanceof ProblemError && !error.problem.code.startsWith('http-') ? error.problem.code : null);
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.failures, 10));
    this.failures += 1;
    const asked = error instanceof ProblemError ? (error.problem.retry_after_s ?? 0) * 1_000 : 0;
    const wait = Math.max(asked, ceiling * (0.5 + 0.5 * (this.options.random ?? Math.random)()));
    if (!this.stop.signal.aborted) this.timer = setTimeout(() => void this.pump(), wait);
  }

  private async change<T>(change: (state: rules.OutboxState) => T): Promise<T> {
    let after: rules.OutboxState | undefined;
    const result = await this.options.db.transact(this.writer, (state) => {
      const result = change(state);
      after = state;
      return result;
    });
    if (after && this.show(after)) this.options.channel?.post();
    return result;
  }

  private async refresh(): Promise<void> {
    if (this.stop.signal.aborted) return;
    await this.options.db.transact(this.writer, (state) => this.show(state));
  }

  /** @returns whether anything is different from before */
  private show(state: rules.OutboxState): boolean {
    const { device, since } = state.device;
    this.sinceHead = since;
    if (device !== this.deviceName) {
      this.deviceName = device;
      this.options.onDevice?.(device);
    }
    const entries = state.rows.map(({ id, device, seq, saved, at, body }) => ({ id, device, seq, saved, at, body }));
    const refused = state.refused.map(({ id, at, body, reason }) => ({ id, at, body, reason }));
    const fresh = refused.filter(({ id }) => !this.told.has(id));
    const changed = differ(entries, this.list.value) || differ(refused, this.refusedList.value);
    // First what is refused: nothing is for a moment in neither list.
    if (differ(refused, this.refusedList.value)) this.refusedList.set(refused);
    if (differ(entries, this.list.value)) this.list.set(entries);
    for (const entry of fresh) {
      this.told.add(entry.id);
      this.options.onRefused?.(entry);
    }
    return changed;
  }
}

function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}
