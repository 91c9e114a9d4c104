/** The ways to a media node that a browser is told of by the answer to its join. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Conference } from '../src/session/conference/conference';
import { claims, FakeNodes, FakePeer, FakeTrack } from './support/peer';

describe('ways to a node', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    FakePeer.made = [];
  });

  afterEach(() => vi.useRealTimers());

  it('are told to the browser before it begins to look for any', async () => {
    const nodes = new FakeNodes();
    nodes.iceServers = [{ urls: ['turns:node:443?transport=tcp'], username: '1:anna', credential: 'secret' }];
    const conference = new Conference({
      ticket: () => Promise.resolve({ type: 'granted', ticket: 't1', claims: claims(false) }),
      door: nodes,
      makePeer: () => new FakePeer() as unknown as RTCPeerConnection,
      random: () => 1,
    });
    const microphone = new FakeTrack('audio') as unknown as MediaStreamTrack;
    void conference.run({ microphone, camera: null, screen: null }, { microphone: true, camera: false, screen: false });
    await vi.advanceTimersByTimeAsync(10);
    const [peer] = FakePeer.made;
    expect(peer?.iceServersInTime).toEqual(nodes.iceServers);
    expect(peer?.getConfiguration().bundlePolicy).toBe('max-bundle');
    conference.leave();
  });
});
