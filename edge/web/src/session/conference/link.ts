/**
 * One connection to one media node: a peer connection, its one offer and answer, and the control channel. Lives from a
 * join until it is lost or closed; it is never repaired, `Conference` makes the next one. It may stand by first: then it
 * carries nothing until `activate`.
 */
import type {
  Claims,
  Control,
  ControlHandlers,
  JoinAnswer,
  JoinRequest,
  MediaNode,
  MoveReason,
  Order,
  Participant,
  ParticipantId,
  PersonQuality,
  Rules,
  Slot,
  Speaker,
  Stay,
  Tile,
  ToClient,
  ToNode,
} from '../../protocol';
import { addTransceivers, askForLostVoice, type Transceivers } from './offer';
import { NO_RULES, NOBODY, type Lobby, type Local, type Picture } from './types';
import { LOOK_EVERY_MS, read, Watch } from './watch';

/** ICE and DTLS take tens of milliseconds in the building, a second on a bad line; then the other node is tried. */
const CONNECT_TIMEOUT_MS = 6_000;
const TELL_EVERY_MS = 500;
/** After the key frame the next ones have come too: it flows. More would only encode everything twice for longer. */
const STEADY_FRAMES = 6;
/** A node answers at once; whoever asked for a list is not to wait for ever. */
const ATTENDANCE_TIMEOUT_MS = 5_000;

export interface NodeDoor {
  join(url: string, request: JoinRequest, signal: AbortSignal): Promise<JoinAnswer>;
  control(url: string, session: string, handlers: ControlHandlers): Control;
}

export interface LinkOptions {
  door: NodeDoor;
  makePeer: () => RTCPeerConnection;
  ticket: string;
  claims: Claims;
  node: MediaNode;
  local: Local;
  standby: boolean;
  /** Something of the below changed. */
  onChange: (link: Link) => void;
  /** Once: the connection is of no use any more. The reason is for the log. */
  onLost: (link: Link, reason: string) => void;
  /** The node asks one to go on at another one. */
  onMove: (link: Link, reason: MoveReason) => void;
  /** At each look: since then nothing has come, and no answer from the node, which is just asked for one. */
  onSilent: (link: Link, since: number) => void;
  now: () => number;
}

export interface Sent {
  microphone: boolean;
  camera: boolean;
  screen: boolean;
}

export class Link {
  readonly node: MediaNode;
  readonly watch = new Watch();
  me: ParticipantId | null = null;
  participants: readonly Participant[] = [];
  speakers: readonly Speaker[] = [];
  /** As the node sees connections: one's own, and a moderator's of all. */
  qualities: readonly PersonQuality[] = [];
  pictures: readonly Picture[] = [];
  voices: readonly MediaStream[] = [];
  /** Nothing is told until a moderator opens. */
  waiting = false;
  rules: Rules = NO_RULES;
  lobby: Lobby = NOBODY;
  private attendants: ((stays: readonly Stay[]) => void)[] = [];
  private slots: { audio: readonly Slot[]; video: readonly Slot[] } = { audio: [], video: [] };
  private readonly peer: RTCPeerConnection;
  private readonly transceivers: Transceivers;
  private readonly videoStreams: MediaStream[];
  private readonly ending = new AbortController();
  private control: Control | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private over = false;
  private toldAt = 0;
  private viewSent = '';
  private standsBy: boolean;

  constructor(private readonly options: LinkOptions) {
    this.node = options.node;
    this.standsBy = options.standby;
    this.peer = options.makePeer();
    this.transceivers = addTransceivers(this.peer, options.local, options.claims);
    const streamOf = (slot: RTCRtpTransceiver) => new MediaStream([slot.receiver.track]);
    this.videoStreams = this.transceivers.video.map(streamOf);
    this.voices = this.transceivers.audio.map(streamOf);
  }

  get isOver(): boolean {
    return this.over;
  }

  get connection(): RTCPeerConnectionState {
    return this.peer.connectionState;
  }

  /** Joins; resolves when media can flow. Throws what the join threw, or an error of the connection. */
  async open(): Promise<void> {
    const { door, node, ticket, standby } = this.options;
    const { sdp = '' } = await this.peer.createOffer();
    const offer = askForLostVoice(sdp);
    const answer = await door.join(node.url, { ticket, offer, standby }, this.ending.signal);
    this.ending.signal.throwIfAborted();
    this.control = door.control(node.url, answer.session, {
      onMessage: (message) => this.take(message),
      onClose: () => this.lose('control-closed'),
    });
    // Before the offer is set: with it browsers begin to look for ways.
    const { ice_servers: iceServers = [] } = answer;
    if (iceServers.length) this.peer.setConfiguration({ ...this.peer.getConfiguration(), iceServers });
    await this.describe(offer, sdp);
    await this.peer.setRemoteDescription({ type: 'answer', sdp: answer.answer });
    await this.connected();
    this.peer.oniceconnectionstatechange = () => this.judge();
    this.peer.onconnectionstatechange = () => this.judge();
    if (!this.standsBy) this.beginLooking();
  }

  /** What stood by is the connection in use from now on; others are already. */
  activate(): void {
    if (!this.standsBy) return;
    this.standsBy = false;
    this.send({ type: 'activate' });
    if (!this.over) this.beginLooking();
  }

  private beginLooking(): void {
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  /** When the node was last heard on the control channel. */
  get heardAt(): number {
    return this.control?.heardAt() ?? 0;
  }

  /** Asks the node for a sign of life. */
  probe(): void {
    this.send({ type: 'ping', n: 0 });
  }

  /** A browser that does not let its offer be changed goes without repetitions of the voice. */
  private async describe(offer: string, own: string): Promise<void> {
    try {
      await this.peer.setLocalDescription({ type: 'offer', sdp: offer });
    } catch {
      await this.peer.setLocalDescription({ type: 'offer', sdp: own });
    }
  }

  private connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error('the media way did not open')), CONNECT_TIMEOUT_MS);
      const judge = () => {
        const state = this.peer.connectionState;
        if (state === 'connected') done(resolve);
        else if (state === 'failed' || state === 'closed') done(() => reject(new Error(`connection ${state}`)));
      };
      const done = (then: () => void) => {
        clearTimeout(timeout);
        this.peer.onconnectionstatechange = null;
        then();
      };
      this.ending.signal.addEventListener('abort', () => done(() => reject(new Error('ended'))), { once: true });
      this.peer.onconnectionstatechange = judge;
      judge();
    });
  }

  private judge(): void {
    const { iceConnectionState: ice, connectionState: state } = this.peer;
    if (ice === 'disconnected' || ice === 'failed' || state === 'failed' || state === 'closed') this.lose(`ice-${ice}`);
  }

  private async look(): Promise<void> {
    if (this.over) return;
    const report = (await this.peer.getStats()) as unknown as Iterable<[string, unknown]>;
    if (this.over) return;
    const now = this.options.now();
    const nodeSilentMs = now - (this.control?.heardAt() ?? now);
    if (this.watch.take(now, read(report), { sources: this.expectedSources(), nodeSilentMs })) {
      this.lose('silent');
      return;
    }
    const since = this.watch.silentSince;
    if (since !== null && nodeSilentMs >= LOOK_EVERY_MS) {
      this.probe();
      this.options.onSilent(this, Math.max(since, now - nodeSilentMs));
    }
    // What only the looks tell (how well it goes) needs no more.
    if (now - this.toldAt >= TELL_EVERY_MS) {
      this.toldAt = now;
      this.options.onChange(this);
    }
  }

  /** How many others send something that a slot here carries. */
  private expectedSources(): number {
    const sending = new Map(this.participants.map((person) => [person.id, person]));
    const sources = new Set<ParticipantId>();
    for (const { participant, kind, paused } of [...this.slots.audio, ...this.slots.video]) {
      const person = participant === null || paused ? undefined : sending.get(participant);
      if (person?.[kind]) sources.add(person.id);
    }
    return sources.size;
  }

  private take(message: ToClient): void {
    if (this.over) return;
    switch (message.type) {
      case 'welcome':
        this.me = message.you;
        break;
      case 'roster':
        this.waiting = false;
        this.participants = message.participants;
        break;
      case 'slots':
        this.slots = message;
        this.pictures = message.video.flatMap(({ slot, participant, kind, paused }) => {
          const stream = this.videoStreams[slot];
          return participant === null || !stream ? [] : [{ participant, kind, stream, paused }];
        });
        break;
      case 'speakers':
        this.speakers = message.speakers;
        break;
      case 'quality':
        this.qualities = message.people;
        break;
      case 'closing':
        this.lose(message.reason);
        return;
      case 'move':
        this.options.onMove(this, message.reason);
        return;
      case 'waiting':
        this.waiting = true;
        break;
      case 'rules':
        this.rules = message.rules;
        break;
      case 'lobby':
        this.lobby = message;
        break;
      case 'attendance':
        for (const take of this.attendants.splice(0)) take(message.stays);
        return;
      case 'pong':
        return;
    }
    this.options.onChange(this);
  }

  publish(sent: Sent): void {
    this.send({ type: 'publish', ...sent });
  }

  /** Said when it is news. */
  view(tiles: Tile[]): void {
    const text = JSON.stringify(tiles);
    if (text === this.viewSent) return;
    this.viewSent = text;
    this.send({ type: 'view', tiles });
  }

  hand(raised: boolean): void {
    this.send({ type: 'hand', raised });
  }

  unmute(): void {
    this.send({ type: 'unmute' });
  }

  order(order: Order): void {
    this.send({ type: 'moderate', order });
  }

  attendance(): Promise<readonly Stay[]> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error('the node sent no list')), ATTENDANCE_TIMEOUT_MS);
      this.attendants.push((stays) => {
        clearTimeout(timeout);
        resolve(stays);
      });
      this.order({ type: 'attendance' });
    });
  }

  private send(message: ToNode): void {
    if (!this.over) this.control?.send(message);
  }

  /** Puts another source into the sender, or none. No renegotiation. */
  async replace(kind: keyof Local, track: MediaStreamTrack | null): Promise<void> {
    if (!this.over) await this.transceivers[kind].sender.replaceTrack(track);
  }

  /** Whether every picture that the other connection shows comes steadily here too, and somebody is heard if somebody is there. */
  async covers(other: Link): Promise<boolean> {
    const sends = new Set(other.participants.flatMap((person) => (person.camera || person.screen ? [person.id] : [])));
    const wanted = other.slots.video.filter(({ participant, paused }) => participant !== null && !paused && sends.has(participant));
    const own = ({ participant, kind }: Slot) => this.slots.video.find((slot) => slot.participant === participant && slot.kind === kind);
    const talks = (link: Link) => link.slots.audio.some(({ participant }) => participant !== null);
    if (!wanted.every(own) || (talks(other) && !talks(this))) return false;
    const { media } = read((await this.peer.getStats()) as unknown as Iterable<[string, unknown]>);
    const decoded = new Set(media.filter(({ framesDecoded }) => framesDecoded >= STEADY_FRAMES).map(({ mid }) => mid));
    return wanted.every((slot) => decoded.has(this.transceivers.video[own(slot)?.slot ?? -1]?.mid ?? ''));
  }

  /** Decoded pictures of a person, per second and since the join. */
  frames(participant: ParticipantId): { perSecond: number; decoded: number } {
    let perSecond = 0;
    let decoded = 0;
    for (const slot of this.slots.video) {
      const mid = this.transceivers.video[slot.slot]?.mid;
      if (slot.participant !== participant || mid === null || mid === undefined) continue;
      perSecond += this.watch.framesPerSecond(mid);
      decoded += this.watch.reading?.media.find((stat) => stat.mid === mid)?.framesDecoded ?? 0;
    }
    return { perSecond, decoded };
  }

  lose(reason: string): void {
    if (this.over) return;
    this.stop();
    this.options.onLost(this, reason);
  }

  /** Stops listening; pictures stand still. `close()` frees the rest. */
  private stop(): void {
    this.over = true;
    clearInterval(this.timer);
    this.ending.abort();
    this.peer.oniceconnectionstatechange = null;
    this.peer.onconnectionstatechange = null;
  }

  /** Leaves the room on the node. */
  close(): void {
    this.stop();
    this.control?.close();
    this.peer.close();
  }
}
