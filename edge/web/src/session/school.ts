/**
 * What a signed-in person has: rooms, conversations, people, the outbox, and the live stream that keeps them current.
 * One per sign-in; `close()` ends it.
 */
import {
  EventStream,
  ProblemError,
  hlcTick,
  type AccountId,
  type Attachment,
  type BlobHash,
  type Body,
  type ConferenceId,
  type ConferenceView,
  type Day,
  type DeviceId,
  type DeviceMarks,
  type GroupView,
  type Link,
  type LiveEvent,
  type PersonView,
  type RoomId,
  type RoomView,
  type SessionView,
  type TicketAnswer,
} from '../protocol';
import { Cell, type Readable } from './cell';
import { EarlierNames } from './earlier-names';
import { Outbox, type OutboxOptions, type RefusedEntry } from './outbox';
import { randomName } from './random';
import { Rooms } from './rooms';
import type { Route } from './route';
import { Timeline } from './timeline';

/** Conversations that are kept in memory; one that is opened again after that is fetched again. */
const TIMELINES_MAX = 20;
/** How long somebody waits for a node's first word on what was just written, and how often it is looked for. */
const ANSWER_MAX_MS = 3_000;
const ANSWER_LOOK_MS = 50;
/** Days of changes that are told at a time. */
const DAYS_TOLD_MAX = 30;

export interface SchoolOptions {
  view: SessionView;
  /** Which node serves; all that is asked goes that way. */
  route: Route;
  outbox: Pick<OutboxOptions, 'db' | 'own' | 'channel'>;
  onEnded: () => void;
}

export class School {
  readonly me: SessionView;
  readonly route: Route;
  readonly rooms: Rooms;
  readonly outbox: Outbox;
  private readonly stream: EventStream;
  private readonly earlier: EarlierNames;
  private readonly timelines = new Map<RoomId, Timeline>();
  private readonly linkCell = new Cell<Link>('connecting');
  private readonly coreCell: Cell<boolean>;
  private readonly peopleCell = new Cell<readonly PersonView[] | null>(null);
  private readonly groupsCell = new Cell<readonly GroupView[] | null>(null);
  private readonly timetableCell = new Cell(0);
  private readonly examsCell = new Cell(0);
  /** What somebody waits for the answer to: its refusal is told there. */
  private readonly attempts = new Set<string>();
  private readonly substitutedCell = new Cell<readonly Day[]>([]);
  private readonly lastRefused = new Cell<RefusedEntry | null>(null);
  private greeted = false;
  private greeting: DeviceMarks | null = null;

  constructor(private readonly options: SchoolOptions) {
    const { view, route } = options;
    this.me = view;
    this.route = route;
    this.coreCell = new Cell(view.core_online);
    this.rooms = new Rooms(() => route.ask((box) => box.rooms()));
    this.outbox = new Outbox({
      ...options.outbox,
      school: view.school,
      account: view.account,
      box: {
        submit: (request) => route.once((box) => box.submit(request)),
        device: (device) => route.once((box) => box.device(device)),
      },
      node: () => route.node,
      onRefused: (entry) => {
        if (!this.attempts.has(JSON.stringify(entry.body))) this.lastRefused.set(entry);
      },
      onSignedOut: options.onEnded,
      head: () => this.stream.position,
      onDevice: () => this.greeted && this.stream.restart(),
    });
    this.outbox.entries.subscribe(() => this.showOutbox());
    this.outbox.refused.subscribe(() => this.showOutbox());
    this.stream = new EventStream({
      device: () => this.outbox.device,
      from: () => this.outbox.since,
      onEvent: (event) => this.take(event),
      onLink: (link) => {
        this.linkCell.set(link);
        if (link === 'lost') route.suspect();
      },
      connect: (path) => route.connect(path),
    });
    this.earlier = new EarlierNames({
      outbox: this.outbox,
      connect: (path) => route.connect(path),
      onRejected: (device, seq, reason) => this.rejected(device, seq, reason),
    });
    route.onMoved(() => {
      this.greeting = null;
      this.stream.move();
      this.earlier.move();
      this.outbox.moved();
    });
  }

  /** The way to the node that serves. */
  get link(): Readable<Link> {
    return this.linkCell;
  }

  /** Whether that node reaches the core. */
  get coreOnline(): Readable<boolean> {
    return this.coreCell;
  }

  /** Who can be seen; null until `loadPeople` has brought them. */
  get people(): Readable<readonly PersonView[] | null> {
    return this.peopleCell;
  }

  get groups(): Readable<readonly GroupView[] | null> {
    return this.groupsCell;
  }

  /** Counts the changes of the timetable: what is shown of it is to be asked for again. */
  get timetable(): Readable<number> {
    return this.timetableCell;
  }

  /** The same of the exam plan. */
  get exams(): Readable<number> {
    return this.examsCell;
  }

  /** Days on which something of one's own is other than it was; until they were looked at. */
  get substituted(): Readable<readonly Day[]> {
    return this.substitutedCell;
  }

  sawTimetable(): void {
    if (this.substitutedCell.value.length > 0) this.substitutedCell.set([]);
  }

  get refusal(): Readable<RefusedEntry | null> {
    return this.lastRefused;
  }

  async start(): Promise<void> {
    await this.outbox.start();
    this.stream.start();
  }

  close(): void {
    this.stream.stop();
    this.earlier.stop();
    this.outbox.close();
    this.route.close();
  }

  /** The page is visible again, or the network changed. */
  nudge(): void {
    this.route.nudge();
    this.stream.nudge();
    this.earlier.nudge();
    this.outbox.nudge();
  }

  timeline(room: RoomId): Timeline {
    let timeline = this.timelines.get(room);
    if (timeline) {
      // Last used is last in line to be forgotten.
      this.timelines.delete(room);
    } else {
      const { account, name } = this.me;
      timeline = new Timeline(room, { account, name }, (room, before, limit) =>
        this.route.ask(async (box) => ({ node: this.route.state.value.at, page: await box.messages(room, before, limit) })),
      );
      timeline.setOutbox(this.outbox.entries.value, this.outbox.refused.value);
      timeline.load().catch(() => {});
    }
    this.timelines.set(room, timeline);
    for (const forgotten of this.timelines.keys()) {
      if (this.timelines.size <= TIMELINES_MAX) break;
      this.timelines.delete(forgotten);
    }
    return timeline;
  }

  async loadPeople(): Promise<void> {
    const [people, groups] = await this.route.ask((box) => Promise.all([box.people(), box.groups()]));
    this.peopleCell.set(people);
    this.groupsCell.set(groups);
  }

  post(room: RoomId, text: string, attachments: readonly Attachment[] = []): Promise<void> {
    const files = attachments.length > 0 ? { attachments: [...attachments] } : {};
    return this.outbox.add({ type: 'message.post', room, text, ...files });
  }

  /** Resolves when the file is whole at the node that serves. */
  async upload(file: File, signal: AbortSignal, told: (share: number) => void): Promise<Attachment> {
    const { described, hashOf, upload } = await import('./files');
    const hash = await hashOf(file, signal);
    await upload((question) => this.route.ask(question), file, hash, signal, told);
    return described(file, hash);
  }

  /** An address of a file for `src` and `href`; null where it must be fetched (see `file`). */
  fileUrl(room: RoomId, hash: BlobHash): string | null {
    return this.route.box.fileUrl(room, hash);
  }

  file(room: RoomId, hash: BlobHash): Promise<Blob> {
    return this.route.ask((box) => box.file(room, hash));
  }

  /** Everything that is shown of a room has been seen. */
  markRead(room: RoomId): void {
    const known = this.rooms.find(room);
    const upto = this.timelines.get(room)?.newest ?? 0;
    if (!known || upto <= known.read_upto) return;
    this.rooms.read(room, upto);
    this.outbox.add({ type: 'read.mark', room, upto }).catch(() => {});
  }

  directRoom(person: AccountId): RoomView | undefined {
    return this.rooms.list.value.find((room) => room.kind === 'direct' && room.with === person);
  }

  openDirect(person: AccountId): Promise<void> {
    return this.outbox.add({ type: 'room.direct', with: person });
  }

  async openConference(room: RoomId, title: string): Promise<ConferenceId> {
    const conference = randomName();
    await this.outbox.add({ type: 'conference.open', conference, room, title, expected: null });
    return conference;
  }

  conference(conference: ConferenceId): Promise<ConferenceView> {
    return this.route.ask((box) => box.conference(conference));
  }

  ticket(conference: ConferenceId): Promise<TicketAnswer> {
    return this.route.ask((box) => box.ticket(conference));
  }

  closeConference(conference: ConferenceId): Promise<void> {
    return this.outbox.add({ type: 'conference.close', conference });
  }

  /**
   * Kept until it is secured, as a message is; what a node says of it within a moment is the answer: null, or why not. Without
   * a node, and when the core decides otherwise later, it is told as with everything that is kept.
   */
  async attempt(body: Body): Promise<string | null> {
    const text = JSON.stringify(body);
    this.attempts.add(text);
    const { entries, refused } = this.outbox;
    const earlier = new Set(refused.value.map(({ id }) => id));
    try {
      await this.outbox.add(body);
      const own = ({ body }: { body: Body }) => JSON.stringify(body) === text;
      const until = performance.now() + ANSWER_MAX_MS;
      while (performance.now() < until) {
        const refusal = refused.value.find((entry) => own(entry) && !earlier.has(entry.id));
        if (refusal) {
          await this.outbox.forgetRefused(refusal.id);
          return refusal.reason;
        }
        if (entries.value.filter(own).every(({ saved }) => saved)) return null;
        await new Promise((resolve) => setTimeout(resolve, ANSWER_LOOK_MS));
      }
      return null;
    } finally {
      this.attempts.delete(text);
    }
  }

  /** Something that waits for no line: it is done now, or the reason why not is thrown. Not kept, not tried again. */
  async now(...bodies: Body[]): Promise<void> {
    const at = hlcTick(0, Date.now());
    const operations = bodies.map((body, i) => ({ seq: i + 1, at, body }));
    const account = this.me.account;
    const answer = await this.route.once((box) => box.submit({ account, device: randomName(), operations }));
    const reason = answer.results.find(({ state }) => state === 'refused')?.reason;
    if (reason !== undefined) throw new ProblemError({ code: reason, status: 409, title: '' });
  }

  private take(event: LiveEvent): void {
    this.rooms.take(event);
    switch (event.type) {
      case 'hello':
        this.greeted = true;
        this.coreCell.set(event.core_online);
        // What is secured is dropped only after the verdicts that were missed.
        this.greeting = event.marks;
        if (!event.marks) this.outbox.nudge();
        this.reload();
        break;
      case 'pong':
        if (this.greeting) void this.outbox.marks(this.greeting, true);
        this.greeting = null;
        break;
      case 'reload':
        this.reload();
        break;
      case 'core':
        this.coreCell.set(event.online);
        break;
      case 'marks':
        void this.outbox.marks(event.marks, false);
        break;
      case 'message':
        this.timelines.get(event.message.room)?.take(event.message, this.route.state.value.at);
        break;
      case 'rejected':
        if (this.outbox.device !== null) this.rejected(this.outbox.device, event.seq, event.reason);
        break;
      case 'timetable':
        this.timetableCell.update((count) => count + 1);
        break;
      case 'exams':
        this.examsCell.update((count) => count + 1);
        break;
      case 'substituted':
        this.substitutedCell.update((days) => [...new Set([...days, ...event.days])].sort().slice(0, DAYS_TOLD_MAX));
        break;
      case 'room_gone':
        this.timelines.delete(event.room);
        break;
      case 'session_ended':
        this.options.onEnded();
        break;
      default:
    }
  }

  /** Something may have been missed: the lists that are in use, anew. */
  private reload(): void {
    this.timetableCell.update((count) => count + 1);
    this.examsCell.update((count) => count + 1);
    this.rooms.load().catch(() => {});
    const recent = [...this.timelines.values()].at(-1);
    for (const [room, timeline] of this.timelines) {
      if (timeline === recent) timeline.load().catch(() => {});
      else this.timelines.delete(room);
    }
  }

  private rejected(device: DeviceId, seq: number, reason: string): void {
    for (const timeline of this.timelines.values()) timeline.drop(device, seq);
    void this.outbox.rejected(device, seq, reason);
  }

  private showOutbox(): void {
    for (const timeline of this.timelines.values()) {
      timeline.setOutbox(this.outbox.entries.value, this.outbox.refused.value);
    }
  }
}
