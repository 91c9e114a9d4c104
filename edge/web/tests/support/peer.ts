/** A peer connection and a media node for the conference: no network, no media, but the same order of things. */
import { ProblemError, Unreachable, type Claims, type Control, type ControlHandlers, type IceServer, type JoinAnswer, type JoinRequest, type Participant, type ToNode } from '../../src/protocol';
import type { NodeDoor } from '../../src/session/conference/link';

export class FakeTrack {
  enabled = true;
  constructor(readonly kind: 'audio' | 'video') {}
  stop() {}
}

// The session layer only carries streams about.
globalThis.MediaStream ??= class {
  constructor(readonly tracks: unknown[]) {}
} as unknown as typeof MediaStream;

interface Init {
  direction: string;
  sendEncodings?: { rid?: string }[];
}

export class FakePeer {
  static made: FakePeer[] = [];
  connectionState = 'new';
  iceConnectionState = 'new';
  onconnectionstatechange: (() => void) | null = null;
  oniceconnectionstatechange: (() => void) | null = null;
  localDescription: { sdp: string } | null = null;
  /** As they were when the offer was set, with which a browser begins to look for ways. */
  iceServersInTime: readonly RTCIceServer[] = [];
  private configuration: RTCConfiguration = { bundlePolicy: 'max-bundle' };
  readonly transceivers: { kind: string; init: Init; mid: string; sender: { track: unknown; replaceTrack: (track: unknown) => Promise<void> }; receiver: { track: FakeTrack } }[] = [];
  bytes = 0;
  /** Whether media comes. */
  flowing = true;
  closed = false;

  constructor() {
    FakePeer.made.push(this);
  }

  addTransceiver(what: string | FakeTrack, init: Init) {
    const kind = typeof what === 'string' ? what : what.kind;
    const sender = {
      track: typeof what === 'string' ? null : what,
      replaceTrack: async (track: unknown) => {
        sender.track = track as null;
      },
    };
    const made = { kind, init, mid: String(this.transceivers.length), sender, receiver: { track: new FakeTrack(kind as 'audio') } };
    this.transceivers.push(made);
    return made;
  }

  createOffer() {
    return Promise.resolve({ type: 'offer', sdp: 'offer' });
  }

  setLocalDescription(description: { sdp: string }) {
    this.localDescription = description;
    this.iceServersInTime = this.configuration.iceServers ?? [];
    return Promise.resolve();
  }

  setRemoteDescription({ sdp }: { sdp: string }) {
    if (sdp === 'answer') queueMicrotask(() => this.become('connected'));
    return Promise.resolve();
  }

  getConfiguration() {
    return this.configuration;
  }

  setConfiguration(configuration: RTCConfiguration) {
    this.configuration = configuration;
  }

  become(state: string) {
    this.connectionState = this.iceConnectionState = state;
    this.onconnectionstatechange?.();
    this.oniceconnectionstatechange?.();
  }

  getStats() {
    if (this.flowing) this.bytes += 1_000;
    return Promise.resolve(
      new Map<string, unknown>([
        ['p', { type: 'candidate-pair', nominated: true, bytesReceived: this.bytes, currentRoundTripTime: 0.01 }],
        ['v', { type: 'inbound-rtp', mid: '6', framesDecoded: this.bytes / 100, packetsReceived: 10, packetsLost: 0 }],
      ]),
    );
  }

  close() {
    this.closed = true;
    this.connectionState = 'closed';
  }
}

interface Joined {
  node: string;
  ticket: string;
  sent: ToNode[];
  handlers: ControlHandlers;
  closed: boolean;
}

/** Two nodes, `http://box` and `http://relay`, by url. */
export class FakeNodes implements NodeDoor {
  readonly down = new Map<string, 'unreachable' | 'refused' | 'blocked'>();
  readonly tries: string[] = [];
  /** Joins that only stand by, by node. */
  readonly standbys: string[] = [];
  readonly joined: Joined[] = [];
  /** Whether the node answers on the control channel. */
  hearing = true;
  /** The same of one node alone. */
  readonly silent = new Set<string>();
  participants: Participant[] = [];
  iceServers: IceServer[] = [];
  /** Who comes has to wait to be let in. */
  lobby = false;
  /** As the node knows one. */
  self: Partial<Participant> = {};

  join(url: string, request: JoinRequest): Promise<JoinAnswer> {
    const node = url.replace('http://', '');
    (request.standby ? this.standbys : this.tries).push(node);
    const down = this.down.get(node);
    if (down === 'unreachable') return Promise.reject(new Unreachable());
    if (down === 'refused') return Promise.reject(new ProblemError({ code: 'ticket-expired', status: 401, title: '' }));
    if (down === 'blocked') return Promise.reject(new ProblemError({ code: 'blocked', status: 403, title: '' }));
    return Promise.resolve({ session: `${request.ticket}${request.standby ? '/standby' : ''}`, answer: 'answer', node, node_kind: node === 'box' ? 'box' : 'relay', ice_servers: this.iceServers });
  }

  control(url: string, session: string, handlers: ControlHandlers): Control {
    const [ticket = '', standby] = session.split('/');
    const joined: Joined = { node: url.replace('http://', ''), ticket, sent: [], handlers, closed: false };
    this.joined.push(joined);
    const me = `me-${this.joined.length}`;
    const enter = () => {
      if (this.lobby) handlers.onMessage({ type: 'waiting' });
      else this.roster(joined, me);
    };
    queueMicrotask(() => {
      handlers.onMessage({ type: 'welcome', you: me, node: joined.node, node_kind: 'box' });
      if (!standby) enter();
    });
    return {
      send: (message) => {
        joined.sent.push(message);
        if (message.type === 'activate') queueMicrotask(enter);
      },
      heardAt: () => (this.hearing && !this.silent.has(joined.node) ? performance.now() : 0),
      close: () => (joined.closed = true),
    };
  }

  /** Ids are those of tickets: the same at every node. */
  roster(joined: Joined, me: string) {
    const others = this.participants.map((person) => ({ ...person, id: `${person.account}-1` }));
    const own: Participant = { id: me, account: 'anna', name: 'Anna', role: 'participant', microphone: true, camera: true, screen: false, hand: null, muted: false, may: { microphone: true, camera: true, screen: true }, ...this.self };
    joined.handlers.onMessage({ type: 'roster', participants: [own, ...others] });
    joined.handlers.onMessage({
      type: 'slots',
      audio: [],
      video: others.map(({ id }, slot) => ({ slot, participant: id, kind: 'camera' as const, paused: false })),
    });
  }

  get last(): Joined {
    const last = this.joined.at(-1);
    if (!last) throw new Error('nobody has joined');
    return last;
  }
}

export function claims(standby = true): Claims {
  const node = (name: string, kind: 'box' | 'relay') => ({ name, kind, url: `http://${name}` });
  return {
    v: 1, id: 't', school: 'nord', room: 'c', account: 'anna', name: 'Anna', role: 'participant', audio_slots: 3, video_slots: 9,
    primary: node('box', 'box'), standby: standby ? node('relay', 'relay') : null, expires_at_ms: 0,
  };
}
