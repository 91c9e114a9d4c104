import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProblemError, Unreachable, type Participant, type TicketAnswer } from '../src/protocol';
import { Conference } from '../src/session/conference/conference';
import type { Local } from '../src/session/conference/types';
import { claims, FakeNodes, FakePeer, FakeTrack } from './support/peer';

const ben: Participant = { id: '', account: 'ben', name: 'Ben', role: 'moderator', microphone: true, camera: true, screen: false, hand: null, muted: false, may: { microphone: true, camera: true, screen: true } };
const local = (): Local => ({
  microphone: new FakeTrack('audio') as unknown as MediaStreamTrack,
  camera: new FakeTrack('video') as unknown as MediaStreamTrack,
  screen: null,
});
const ON = { microphone: true, camera: true, screen: false };

describe('conference', () => {
  let nodes: FakeNodes;
  let tickets: (TicketAnswer | Error)[];
  let asked: number;
  let conference: Conference;

  function begin(standby = true): void {
    tickets = [{ type: 'granted', ticket: 't1', claims: claims(standby) }];
    asked = 0;
    conference = new Conference({
      ticket: async () => {
        asked += 1;
        const answer = tickets[Math.min(asked, tickets.length) - 1] ?? new Unreachable();
        if (answer instanceof Error) throw answer;
        return answer;
      },
      door: nodes,
      makePeer: () => new FakePeer() as unknown as RTCPeerConnection,
      random: () => 1,
    });
  }

  const phase = () => conference.state.value.phase.at;
  const connected = async () => {
    void conference.run(local(), ON);
    await vi.advanceTimersByTimeAsync(10);
    expect(phase()).toBe('connected');
  };

  beforeEach(() => {
    vi.useFakeTimers();
    FakePeer.made = [];
    nodes = new FakeNodes();
    nodes.participants = [ben];
    begin();
  });

  afterEach(() => {
    conference.leave();
    vi.useRealTimers();
  });

  it('offers microphone, camera with three layers, screen, then the slots of the ticket', async () => {
    await connected();
    const made = FakePeer.made[0]?.transceivers ?? [];
    const shape = made.map(({ kind, init }) => `${kind} ${init.direction}`);
    expect(shape.slice(0, 3)).toEqual(['audio sendonly', 'video sendonly', 'video sendonly']);
    expect(made[1]?.init.sendEncodings?.map(({ rid }) => rid)).toEqual(['q', 'h', 'f']);
    expect(shape.slice(3)).toEqual([...Array(3).fill('audio recvonly'), ...Array(9).fill('video recvonly')]);
  });

  it('says what it sends, and shows who is there', async () => {
    await connected();
    expect(nodes.last.sent).toContainEqual({ type: 'publish', ...ON });
    expect(conference.state.value.people.map(({ name, me }) => [name, me])).toEqual([['Anna', true], ['Ben', false]]);
    expect(conference.state.value.pictures).toMatchObject([{ key: 'ben#1', kind: 'camera' }]);
    expect(conference.state.value.node).toEqual({ name: 'box', kind: 'box' });
  });

  it('goes to the standby at once when the control channel closes, and everything is on again', async () => {
    await connected();
    conference.setHand(true);
    conference.setSource('microphone', null, false);
    conference.setWanted([{ key: 'ben#1', kind: 'camera', height: 360 }]);
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(10);
    expect(phase()).toBe('connected');
    expect(nodes.tries).toEqual(['box', 'relay']);
    expect(asked).toBe(1);
    expect(nodes.last.ticket).toBe('t1');
    expect(nodes.last.sent).toContainEqual({ type: 'publish', microphone: false, camera: true, screen: false });
    expect(nodes.last.sent).toContainEqual({ type: 'hand', raised: true });
    expect(nodes.last.sent).toContainEqual({ type: 'view', tiles: [{ participant: 'ben-1', kind: 'camera', height: 360 }] });
    expect(conference.snapshot()).toMatchObject({ joins: 2, node: 'relay', nodeKind: 'relay' });
  });

  it('goes to the standby when ICE is disconnected', async () => {
    await connected();
    FakePeer.made[0]?.become('disconnected');
    await vi.advanceTimersByTimeAsync(10);
    expect(nodes.tries).toEqual(['box', 'relay']);
    expect(phase()).toBe('connected');
  });

  it('goes to the standby within three seconds when a hung node sends nothing any more', async () => {
    await connected();
    await vi.advanceTimersByTimeAsync(2_000);
    const peer = FakePeer.made[0];
    if (peer) peer.flowing = false;
    nodes.hearing = false;
    nodes.joined[0]?.handlers.onMessage({ type: 'slots', audio: [{ slot: 0, participant: 'ben-1', kind: 'microphone', paused: false }], video: [] });
    await vi.advanceTimersByTimeAsync(1_400);
    expect(nodes.tries).toEqual(['box']);
    await vi.advanceTimersByTimeAsync(1_600);
    expect(nodes.tries).toEqual(['box', 'relay']);
  });

  it('keeps the last pictures and people until the others have come over too', async () => {
    await connected();
    const picture = conference.state.value.pictures[0]?.stream;
    nodes.down.set('box', 'unreachable');
    nodes.down.set('relay', 'unreachable');
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(10);
    expect(phase()).toBe('reconnecting');
    expect(conference.state.value.pictures[0]?.stream).toBe(picture);
    nodes.participants = [];
    nodes.down.clear();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(phase()).toBe('connected');
    const person = () => conference.state.value.people.find(({ account }) => account === 'ben');
    expect(person()).toMatchObject({ key: 'ben#1', awaited: true });
    expect(conference.state.value.pictures[0]?.stream).toBe(picture);
    nodes.participants = [ben];
    nodes.roster(nodes.last, `me-${nodes.joined.length}`);
    expect(person()).toMatchObject({ key: 'ben#1', awaited: false });
    expect(conference.state.value.pictures[0]?.stream).not.toBe(picture);
  });

  it('lets those go who do not come over', async () => {
    await connected();
    nodes.participants = [];
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(100);
    expect(conference.state.value.people).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(conference.state.value.people.map(({ name }) => name)).toEqual(['Anna']);
    // The one in use, and the one that stands by.
    expect(FakePeer.made.filter((peer) => !peer.closed)).toHaveLength(2);
  });

  it('tries both nodes in turn until one is back', async () => {
    await connected();
    nodes.down.set('box', 'unreachable');
    nodes.down.set('relay', 'unreachable');
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(8_000);
    expect(nodes.tries.slice(1, 5)).toEqual(['relay', 'box', 'relay', 'box']);
    nodes.down.delete('box');
    await vi.advanceTimersByTimeAsync(9_000);
    expect(phase()).toBe('connected');
    expect(conference.state.value.node?.name).toBe('box');
    expect(FakePeer.made.filter((peer) => !peer.closed)).toHaveLength(1);
  });

  it('comes back to the only node when there is no standby', async () => {
    begin(false);
    await connected();
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(10);
    expect(nodes.tries).toEqual(['box', 'box']);
    expect(phase()).toBe('connected');
  });

  it('fetches a new ticket when the node refuses the old one', async () => {
    await connected();
    tickets = [tickets[0] as TicketAnswer, { type: 'granted', ticket: 't2', claims: claims() }];
    nodes.down.set('relay', 'refused');
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(phase()).toBe('connected');
    expect(nodes.last.ticket).toBe('t2');
  });

  it('needs nobody but the nodes to come back: the box may be gone', async () => {
    await connected();
    tickets = [tickets[0] as TicketAnswer, new Unreachable()];
    nodes.down.set('box', 'unreachable');
    nodes.down.set('relay', 'unreachable');
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(6_000);
    expect(asked).toBeGreaterThan(1);
    nodes.down.delete('relay');
    await vi.advanceTimersByTimeAsync(9_000);
    expect(phase()).toBe('connected');
  });

  it('waits in the queue for as long as it is told, then joins', async () => {
    tickets = [{ type: 'queued', position: 4, retry_after_ms: 2_000 }, tickets[0] as TicketAnswer];
    void conference.run(local(), ON);
    await vi.advanceTimersByTimeAsync(10);
    expect(conference.state.value.phase).toEqual({ at: 'queued', position: 4 });
    await vi.advanceTimersByTimeAsync(1_900);
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(phase()).toBe('connected');
  });

  it('says why when there is no such conference, and does not try on', async () => {
    tickets = [new ProblemError({ code: 'unknown-conference', status: 404, title: '' })];
    await conference.run(local(), ON);
    expect(conference.state.value.phase).toEqual({ at: 'failed', code: 'unknown-conference' });
    expect(nodes.tries).toEqual([]);
  });

  it('ends with the conference instead of joining it again', async () => {
    await connected();
    nodes.last.handlers.onMessage({ type: 'closing', reason: 'room-closed' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(conference.state.value.phase).toEqual({ at: 'failed', code: 'room-closed' });
    expect(nodes.tries).toEqual(['box']);
    expect(FakePeer.made.every((peer) => peer.closed)).toBe(true);
  });

  it('moves without a gap when a node is drained: the old connection lives until the new one does', async () => {
    await connected();
    const old = FakePeer.made[0];
    nodes.last.handlers.onMessage({ type: 'closing', reason: 'draining' });
    expect(old?.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(conference.state.value.node?.name).toBe('relay');
    expect(old?.closed).toBe(true);
  });

  it('holds a connection ready at the other node, which carries nothing and is one word away', async () => {
    await connected();
    conference.setWanted([{ key: 'ben#1', kind: 'camera', height: 360 }]);
    await vi.advanceTimersByTimeAsync(6_100);
    expect(nodes.standbys).toEqual(['relay']);
    expect(conference.snapshot()).toMatchObject({ node: 'box', standby: 'relay' });
    expect(nodes.last.sent).toEqual([]);
    const spare = FakePeer.made[1];
    expect(spare?.transceivers.every(({ sender }) => sender.track === null)).toBe(true);
    const heard = conference.state.value.voices;

    nodes.joined[0]?.handlers.onClose();
    await vi.advanceTimersByTimeAsync(1);
    expect(phase()).toBe('connected');
    expect(nodes.tries).toEqual(['box']);
    expect(nodes.last.sent.slice(0, 3)).toEqual([
      { type: 'activate' },
      { type: 'publish', ...ON },
      { type: 'view', tiles: [{ participant: 'ben-1', kind: 'camera', height: 360 }] },
    ]);
    expect(spare?.transceivers[1]?.sender.track).not.toBeNull();
    expect(conference.state.value.voices.every((voice) => heard.includes(voice))).toBe(true);
    expect(conference.snapshot()).toMatchObject({ joins: 2, node: 'relay', standby: null });

    await vi.advanceTimersByTimeAsync(6_100);
    expect(nodes.standbys).toEqual(['relay', 'box']);
    expect(conference.snapshot().standby).toBe('box');
  });

  it('leaves a silent node for the one that stands by within a second, if that one answers', async () => {
    await connected();
    await vi.advanceTimersByTimeAsync(7_000);
    const peer = FakePeer.made[0];
    if (peer) peer.flowing = false;
    nodes.joined[0]?.handlers.onMessage({ type: 'slots', audio: [{ slot: 0, participant: 'ben-1', kind: 'microphone', paused: false }], video: [] });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(conference.snapshot().node, 'it answers: there is just nothing to send').toBe('box');
    nodes.silent.add('box').add('relay');
    await vi.advanceTimersByTimeAsync(500);
    expect(conference.snapshot().node, 'both are silent: it is the line').toBe('box');
    nodes.silent.delete('relay');
    await vi.advanceTimersByTimeAsync(400);
    expect(conference.snapshot()).toMatchObject({ node: 'relay', joins: 2 });
    expect(nodes.tries).toEqual(['box']);
  });

  it('moves when the node asks: make before break, nobody is heard twice, and the former connection lingers', async () => {
    await connected();
    await vi.advanceTimersByTimeAsync(6_100);
    const [first, second] = nodes.joined;
    const [old, next] = FakePeer.made;
    conference.setWanted([{ key: 'ben#1', kind: 'camera', height: 360 }]);
    if (next) next.flowing = false;
    first?.handlers.onMessage({ type: 'move', reason: 'drain' });
    await vi.advanceTimersByTimeAsync(200);
    // In use already, but it has no picture yet.
    expect(second?.sent.map(({ type }) => type)).toEqual(['activate', 'publish', 'view']);
    expect(conference.snapshot()).toMatchObject({ node: 'box', joins: 1, phase: 'connected' });
    expect(conference.state.value.quiet).toHaveLength(3);
    const shown = conference.state.value.pictures[0]?.stream;
    conference.setSource('camera', null, false);
    expect(second?.sent.at(-1)).toEqual({ type: 'publish', microphone: true, camera: false, screen: false });
    first?.handlers.onMessage({ type: 'move', reason: 'drain' });

    if (next) next.flowing = true;
    await vi.advanceTimersByTimeAsync(150);
    expect(conference.snapshot()).toMatchObject({ node: 'relay', joins: 2, phase: 'connected' });
    expect(conference.state.value.quiet).toEqual([]);
    expect(conference.state.value.pictures[0]?.stream).not.toBe(shown);
    expect(old?.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1_100);
    expect(old?.closed).toBe(true);
    expect(nodes.tries).toEqual(['box']);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(conference.snapshot().standby).toBe('box');
  });

  it('moves without a standby by connecting then, and stays where nothing else is', async () => {
    await connected();
    nodes.down.set('relay', 'unreachable');
    nodes.last.handlers.onMessage({ type: 'move', reason: 'drain' });
    await vi.advanceTimersByTimeAsync(100);
    expect(conference.snapshot()).toMatchObject({ node: 'box', joins: 1, phase: 'connected' });
    expect(asked, 'perhaps another ticket leads elsewhere').toBe(2);
    nodes.down.clear();
    nodes.joined[0]?.handlers.onMessage({ type: 'move', reason: 'return' });
    await vi.advanceTimersByTimeAsync(200);
    expect(conference.snapshot()).toMatchObject({ node: 'relay', joins: 2 });
    expect(asked).toBe(2);
  });

  it('goes on at once where it was moving to when the former node dies meanwhile', async () => {
    await connected();
    await vi.advanceTimersByTimeAsync(6_100);
    const next = FakePeer.made[1];
    if (next) next.flowing = false;
    nodes.joined[0]?.handlers.onMessage({ type: 'move', reason: 'drain' });
    await vi.advanceTimersByTimeAsync(100);
    nodes.joined[0]?.handlers.onClose();
    await vi.advanceTimersByTimeAsync(1);
    expect(conference.snapshot()).toMatchObject({ node: 'relay', joins: 2, phase: 'connected' });
    expect(conference.state.value.quiet).toEqual([]);
    expect(nodes.tries).toEqual(['box']);
  });

  it('asks for a standby ever more rarely where there is no place for one', async () => {
    await connected();
    nodes.down.set('relay', 'unreachable');
    await vi.advanceTimersByTimeAsync(120_000);
    expect(nodes.standbys.length).toBeGreaterThan(3);
    expect(nodes.standbys.length).toBeLessThan(7);
    nodes.down.clear();
    await vi.advanceTimersByTimeAsync(61_000);
    expect(conference.snapshot().standby).toBe('relay');
    nodes.last.handlers.onClose();
    expect(conference.snapshot()).toMatchObject({ node: 'box', standby: null });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(conference.snapshot().standby).toBe('relay');
  });

  it('leaves for good, whatever is going on', async () => {
    await connected();
    nodes.down.set('relay', 'unreachable');
    nodes.down.set('box', 'unreachable');
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(300);
    conference.leave();
    const tries = nodes.tries.length;
    nodes.down.clear();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(nodes.tries.length).toBe(tries);
    expect(phase()).toBe('left');
    expect(FakePeer.made.every((peer) => peer.closed)).toBe(true);
  });

  it('puts a screen into its sender without a new offer', async () => {
    await connected();
    const screen = new FakeTrack('video') as unknown as MediaStreamTrack;
    conference.setSource('screen', screen, true);
    await vi.advanceTimersByTimeAsync(1);
    expect(FakePeer.made[0]?.transceivers[2]?.sender.track).toBe(screen);
    expect(nodes.last.sent).toContainEqual({ type: 'publish', microphone: true, camera: true, screen: true });
    expect(nodes.tries).toHaveLength(1);
  });
});
