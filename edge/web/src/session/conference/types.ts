/** What the conference page is told. */
import type { AccountId, Known, May, MediaRole, NodeKind, NodeName, ParticipantId, Quality, Rules, SourceKind } from '../../protocol';

export type ConferencePhase =
  | { at: 'ticket' }
  /** No place is free: asked again by itself. */
  | { at: 'queued'; position: number }
  | { at: 'joining' }
  /** Until a moderator lets one in. */
  | { at: 'waiting' }
  | { at: 'connected' }
  /** The last pictures stand still; it goes on at the other node by itself. */
  | { at: 'reconnecting'; attempt: number }
  | { at: 'left' }
  /** `code` of the problem: no such conference, closed, not a member. */
  | { at: 'failed'; code: string };

export type { Quality };

export interface Person {
  /** Stable across a change of the node: account and how many-eth connection of it. */
  key: string;
  /** New on each connection; empty while the person has not come to the present node yet. */
  id: ParticipantId;
  account: AccountId;
  name: string;
  role: MediaRole;
  me: boolean;
  microphone: boolean;
  camera: boolean;
  screen: boolean;
  /** Place in the queue of raised hands, from 1. */
  hand: number | null;
  /** By a moderator. */
  muted: boolean;
  /** What the room's locks leave to the person. */
  may: May;
  /** Was there before the node changed, and is expected back. */
  awaited: boolean;
}

/** A picture that is being received on a slot. */
export interface Picture {
  participant: ParticipantId;
  kind: SourceKind;
  stream: MediaStream;
  /** The line does not carry it now: its last image stands still. */
  paused: boolean;
}

/** A picture that is shown of somebody: `key` is the person's. */
export interface Shown {
  key: string;
  kind: SourceKind;
  stream: MediaStream;
  paused: boolean;
}

/** What the page wants to see, most important first. */
export interface Wanted {
  key: string;
  kind: SourceKind;
  /** In device pixels. */
  height: number;
}

export interface Local {
  microphone: MediaStreamTrack | null;
  camera: MediaStreamTrack | null;
  screen: MediaStreamTrack | null;
}

export interface ConferenceState {
  phase: ConferencePhase;
  node: { name: NodeName; kind: NodeKind } | null;
  people: readonly Person[];
  pictures: readonly Shown[];
  /** One per slot, also of connections that stand by or follow; who speaks in them changes. */
  voices: readonly MediaStream[];
  /** Of them, those that play but are not to be heard yet. */
  quiet: readonly MediaStream[];
  /** Who is heard, by key, loudest first, with levels 0..127. */
  speakers: ReadonlyMap<string, number>;
  quality: Quality;
  /** Of all whose connection is known, by key: one's own, and to moderators everybody's. */
  qualities: ReadonlyMap<string, Quality>;
  /** What moderators have decided for all. */
  rules: Rules;
  /** As moderators are told: who waits to be let in, and who was removed. */
  lobby: Lobby;
  /** One's own hand is up, as far as this page knows. */
  hand: boolean;
}

export interface Lobby {
  waiting: readonly Known[];
  blocked: readonly Known[];
}

export const NO_RULES: Rules = {
  lobby: false,
  microphone_locked: false,
  camera_locked: false,
  screen_locked: false,
  cameras_to_moderators: false,
  spotlight: null,
};
export const NOBODY: Lobby = { waiting: [], blocked: [] };

export const NOTHING_YET: ConferenceState = {
  phase: { at: 'ticket' },
  node: null,
  people: [],
  pictures: [],
  voices: [],
  quiet: [],
  speakers: new Map(),
  quality: 'excellent',
  qualities: new Map(),
  rules: NO_RULES,
  lobby: NOBODY,
  hand: false,
};

/** For tests and support: read-only, see `Conference.snapshot`. */
export interface Snapshot {
  phase: ConferencePhase['at'];
  node: string | null;
  nodeKind: NodeKind | null;
  /** At which a connection is kept ready. */
  standby: string | null;
  connection: RTCPeerConnectionState | 'none';
  /** Successful joins since the page joined: 1 without any failover. */
  joins: number;
  /** Why the last connections in use ended, each with its node. */
  losses: readonly string[];
  participants: {
    id: ParticipantId;
    name: string;
    me: boolean;
    microphone: boolean;
    camera: boolean;
    screen: boolean;
    hand: boolean;
    /** Decoded per second on all slots that carry this person's pictures. */
    framesPerSecond: number;
    framesDecoded: number;
  }[];
  /** Sum of what the audio slots have received (`totalAudioEnergy`), ever growing while somebody is heard. */
  audioEnergy: number;
  bytesReceived: number;
  roundTripMs: number | null;
}
