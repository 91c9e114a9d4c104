import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Stay, ToNode } from '../src/protocol';
import { Cell } from '../src/session/cell';
import { attendanceCsv } from '../src/session/conference/attendance';
import { Call } from '../src/session/conference/call';
import { Conference } from '../src/session/conference/conference';
import { NO_RULES } from '../src/session/conference/types';
import type { Devices } from '../src/session/devices';
import { mainTile, tilesOf } from '../src/ui/conference/tiles';
import { claims, FakeNodes, FakePeer, FakeTrack } from './support/peer';

const FREE = { microphone: true, camera: true, screen: true };

/** Devices that are on, and what was asked of them. */
function fakeDevices() {
  const device = (kind: 'audio' | 'video') => ({ on: true, track: new FakeTrack(kind) as unknown as MediaStreamTrack });
  const state = new Cell({ microphone: device('audio'), camera: device('video') });
  const remembered: boolean[] = [];
  const set = (kind: 'microphone' | 'camera') => async (on: boolean, remember = true) => {
    remembered.push(remember);
    state.update((now) => ({ ...now, [kind]: { ...now[kind], on } }));
  };
  const devices = { state, setMicrophone: set('microphone'), setCamera: set('camera'), captureScreen: async () => new FakeTrack('video'), close: () => {} };
  return { devices: devices as unknown as Devices, remembered };
}

describe('a moderated conference', () => {
  let nodes: FakeNodes;
  let conference: Conference;

  function begin(): Conference {
    return new Conference({
      ticket: async () => ({ type: 'granted', ticket: 't1', claims: claims() }),
      door: nodes,
      makePeer: () => new FakePeer() as unknown as RTCPeerConnection,
      random: () => 1,
    });
  }
  const run = async () => {
    void conference.run({ microphone: null, camera: null, screen: null }, { microphone: false, camera: false, screen: false });
    await vi.advanceTimersByTimeAsync(10);
  };
  const phase = () => conference.state.value.phase;
  const told = (self: FakeNodes['self']) => {
    nodes.self = self;
    nodes.roster(nodes.last, `me-${nodes.joined.length}`);
  };
  const sent = (type: ToNode['type']) => nodes.last.sent.filter((message) => message.type === type);

  beforeEach(() => {
    vi.useFakeTimers();
    FakePeer.made = [];
    nodes = new FakeNodes();
    conference = begin();
  });
  afterEach(() => {
    conference.leave();
    vi.useRealTimers();
  });

  it('waits before the door, and is in when the roster comes', async () => {
    nodes.lobby = true;
    await run();
    expect(phase()).toEqual({ at: 'waiting' });
    expect(conference.state.value.people).toEqual([]);
    told({});
    expect(phase()).toEqual({ at: 'connected' });
  });

  it.each(['removed', 'refused', 'room-closed', 'replaced'])('is over when the node says %s', async (reason) => {
    await run();
    nodes.last.handlers.onMessage({ type: 'closing', reason });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(phase()).toEqual({ at: 'failed', code: reason });
    expect(nodes.tries).toEqual(['box']);
  });

  it('does not ask again and again where a moderator has shut it out', async () => {
    nodes.down.set('box', 'blocked');
    await run();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(phase()).toEqual({ at: 'failed', code: 'blocked' });
    expect(nodes.tries).toEqual(['box']);
  });

  it('keeps a hand down that a moderator has lowered, and takes over one that the node still knows', async () => {
    await run();
    conference.setHand(true);
    told({ hand: 1 });
    told({ hand: null });
    expect(conference.state.value.hand).toBe(false);
    nodes.last.handlers.onClose();
    await vi.advanceTimersByTimeAsync(10);
    expect(sent('hand')).toEqual([]);

    conference.leave();
    nodes.self = { hand: 3 };
    conference = begin();
    await run();
    expect(conference.state.value.hand).toBe(true);
    conference.setHand(false);
    told({ hand: 3 });
    expect(conference.state.value.hand).toBe(false);
  });

  it('gives the attendance list to whoever asked, and gives up on a node that sends none', async () => {
    await run();
    const asked = conference.attendance();
    expect(sent('moderate')).toEqual([{ type: 'moderate', order: { type: 'attendance' } }]);
    nodes.last.handlers.onMessage({ type: 'attendance', stays: [] });
    await expect(asked).resolves.toEqual([]);
    const vain = expect(conference.attendance()).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(6_000);
    await vain;
  });

  it('tells another node what held at the former one, as a moderator only', async () => {
    const rules = { ...NO_RULES, lobby: true, camera_locked: true, cameras_to_moderators: true };
    for (const role of ['moderator', 'participant'] as const) {
      nodes.self = { role };
      await run();
      nodes.last.handlers.onMessage({ type: 'rules', rules });
      nodes.last.handlers.onClose();
      await vi.advanceTimersByTimeAsync(10);
      const expected = [{ type: 'lobby', on: true }, { type: 'lock', kind: 'camera', on: true }, { type: 'cameras_to_moderators', on: true }];
      expect(sent('moderate')).toEqual(role === 'moderator' ? expected.map((order) => ({ type: 'moderate', order })) : []);
      conference.leave();
      conference = begin();
    }
  });

  describe('with one’s own devices', () => {
    let call: Call;
    let remembered: boolean[];

    beforeEach(async () => {
      const fake = fakeDevices();
      remembered = fake.remembered;
      call = new Call(conference, fake.devices);
      void call.run();
      await vi.advanceTimersByTimeAsync(10);
    });

    it('is off when a moderator mutes, and says so before it is on again', async () => {
      told({ muted: true, microphone: false });
      expect(call.controls.value.microphone).toBe(false);
      expect(remembered).toEqual([false]);
      nodes.last.sent.length = 0;
      await call.toggleMicrophone();
      expect(nodes.last.sent.slice(0, 2)).toEqual([{ type: 'unmute' }, { type: 'publish', microphone: true, camera: true, screen: false }]);
    });

    it('cannot be switched on while it is locked, and stays off afterwards', async () => {
      told({ may: { microphone: false, camera: false, screen: false } });
      expect(call.controls.value).toMatchObject({ microphone: false, camera: false });
      await call.toggleMicrophone();
      await call.toggleCamera();
      call.pushToTalk(true);
      expect(await call.toggleScreen()).toBe(false);
      expect(call.controls.value).toMatchObject({ microphone: false, camera: false, screen: false });
      told({ may: FREE });
      expect(call.controls.value).toMatchObject({ microphone: false, camera: false });
      await call.toggleCamera();
      expect(call.controls.value.camera).toBe(true);
    });

    it('stops sharing when that is locked', async () => {
      await call.toggleScreen();
      expect(call.controls.value.screen).toBe(true);
      told({ may: { ...FREE, screen: false } });
      expect(call.controls.value).toMatchObject({ screen: false, screenTrack: null });
    });
  });
});

describe('the attendance list', () => {
  const columns = { name: 'Name', role: 'Rolle', from: 'Von', to: 'Bis', minutes: 'Minuten', present: 'da', roles: { moderator: 'Leitung', participant: 'Teilnahme' } };
  const at = (text: string) => new Date(text).getTime();
  const stay = (name: string, to_ms: number | null): Stay => ({ account: name, name, role: 'participant', from_ms: at('2026-11-30T08:00:05'), to_ms });

  it('is read by spreadsheets, with whatever a name contains', () => {
    const stays = [stay('Emilia "Mia"; Müller', at('2026-11-30T08:45:00')), stay('=HYPERLINK(1)', null)];
    expect(attendanceCsv(stays, columns, ';', at('2026-11-30T08:30:05'))).toBe(
      '\uFEFF"Name";"Rolle";"Von";"Bis";"Minuten"\r\n' +
        '"Emilia ""Mia""; Müller";"Teilnahme";"2026-11-30 08:00:05";"2026-11-30 08:45:00";"45"\r\n' +
        '"\'=HYPERLINK(1)";"Teilnahme";"2026-11-30 08:00:05";"da";"30"\r\n',
    );
  });
});

describe('the spotlight', () => {
  const person = (key: string, screen = false) => ({
    key, id: key, account: key, name: key, role: 'participant' as const, me: key === 'me', microphone: true, camera: true, screen, hand: null, muted: false, may: FREE, awaited: false,
  });

  it('goes before screens and speakers, shows the screen of who is in it, and may be on oneself', () => {
    const tiles = tilesOf([person('me'), person('anna', true), person('ben', true)], []);
    expect(mainTile(tiles, 'anna', 'ben')?.id).toBe('ben/screen');
    expect(mainTile(tiles, 'anna', 'me')?.id).toBe('me/camera');
    expect(mainTile(tiles, 'anna', 'nobody')?.id).toBe('anna/screen');
  });
});
