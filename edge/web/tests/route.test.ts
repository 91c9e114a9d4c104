import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Unreachable, type BoxClient } from '../src/protocol';
import { GATEWAY, passOf, twoNodes } from './support/nodes';

const rooms = (box: BoxClient) => box.rooms() as unknown as Promise<string[]>;

describe('the way to the school', () => {
  let world: ReturnType<typeof twoNodes>;
  const at = () => world.route.state.value.at;
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    vi.useFakeTimers();
    // Timers that `AbortSignal.timeout` has are the real ones.
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const control = new AbortController();
      setTimeout(() => control.abort(), ms);
      return control.signal;
    });
    world = twoNodes();
  });
  afterEach(() => {
    world.route.close();
    vi.useRealTimers();
  });

  /** The box is gone and the page has noticed. */
  async function toGateway() {
    world.box.health = 'refused';
    world.route.suspect();
    await pass(5_000);
    expect(at()).toBe('gateway');
  }

  it('is the page’s own, with its cookie and without a pass', async () => {
    expect(await world.route.ask(rooms)).toEqual(['box']);
    expect(world.box.asked.at(-1)).toMatchObject({ authorization: null, credentials: 'same-origin' });
    expect(world.gateway.asked).toEqual([]);
  });

  it('is the gateway within seconds when the box is gone, and what was asked is answered there', async () => {
    world.box.health = 'refused';
    const answer = world.route.ask(rooms);
    await pass(4_500);
    expect(await answer).toEqual(['gateway']);
    expect(world.route.state.value).toEqual({ at: 'gateway', own: 'gone', gatewayLoads: false, node: 'gateway-1', kind: 'gateway' });
    expect(world.gateway.asked.at(-1)).toMatchObject({ authorization: expect.stringMatching(/^Bearer [\w-]+\.[\w-]+$/), credentials: 'omit' });
    expect(world.told.moves).toEqual(['gateway']);
  });

  it('is the gateway within seconds when the box hangs', async () => {
    world.box.health = 'hangs';
    const answer = world.route.ask(rooms);
    await pass(9_000);
    expect(await answer).toEqual(['gateway']);
  });

  it('stays where it is over a short break', async () => {
    world.box.health = 'refused';
    world.route.suspect();
    await pass(1_000);
    world.box.health = 'there';
    await pass(10_000);
    expect(world.told.moves).toEqual([]);
  });

  it('stays, and says so, when the gateway is gone too; and takes whichever is back first', async () => {
    world.box.health = world.gateway.health = 'refused';
    const answer = world.route.ask(rooms).catch((error: unknown) => error);
    await pass(10_000);
    expect(await answer).toBeInstanceOf(Unreachable);
    expect(world.route.state.value).toMatchObject({ at: 'own', own: 'gone' });
    world.gateway.health = 'there';
    await pass(10_000);
    expect(at()).toBe('gateway');
  });

  it('goes back by itself when the box answers steadily, and not before', async () => {
    await toGateway();
    for (let i = 0; i < 4; i += 1) {
      world.box.health = 'there';
      await pass(2_500);
      world.box.health = 'refused';
      await pass(2_500);
    }
    expect(at()).toBe('gateway');
    world.box.health = 'there';
    await pass(12_000);
    expect(world.route.state.value).toEqual({ at: 'own', own: 'there', gatewayLoads: false, node: 'nord', kind: 'box' });
    expect(world.told.moves).toEqual(['gateway', 'own']);
  });

  it('asks for a longer steady time each time that the box is gone again soon', async () => {
    const back: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      await toGateway();
      world.box.health = 'there';
      const from = Date.now();
      while (at() === 'gateway') await pass(500);
      back.push(Date.now() - from);
    }
    for (let i = 1; i < back.length; i += 1) expect(back[i]).toBeGreaterThan((back[i - 1] ?? 0) * 1.3);
    expect(back[0]).toBeLessThan(12_000);
  });

  it('gives up what is on its way at the node that it leaves', async () => {
    const { node } = world.route;
    world.box.health = 'hangs';
    const submitted = world.route.once(rooms).catch((error: unknown) => error);
    await pass(9_000);
    expect(await submitted).toBeInstanceOf(Unreachable);
    expect(world.route.node).not.toBe(node);
    expect(world.gateway.asked.some(({ path }) => path === '/api/rooms')).toBe(false);
  });

  it('goes over the gateway when the box loads, or was set up anew and knows nobody', async () => {
    world.box.health = 'loading';
    const answer = world.route.ask(rooms).catch(() => null);
    await pass(3_000);
    await answer;
    expect(world.route.state.value).toMatchObject({ at: 'gateway', own: 'loading' });
    world.box.health = 'signed-out';
    await pass(60_000);
    expect(world.route.state.value).toMatchObject({ at: 'gateway', own: 'signed-out' });
    expect(world.told.ended).toBe(0);
  });

  it('says that the gateway is loading the school, and goes there as soon as it has', async () => {
    world.box.health = 'refused';
    world.gateway.health = 'loading';
    world.route.suspect();
    await pass(5_000);
    expect(world.route.state.value).toMatchObject({ at: 'own', own: 'gone', gatewayLoads: true });
    world.gateway.health = 'there';
    await pass(2_500);
    expect(world.route.state.value).toMatchObject({ at: 'gateway', gatewayLoads: false });
  });

  it('ends the session only when neither node takes it, and forgets the pass', async () => {
    world.box.health = world.gateway.health = 'signed-out';
    void world.route.ask(rooms).catch(() => {});
    await pass(5_000);
    expect(world.told.ended).toBe(1);
    expect(await world.passes.get()).toBeNull();
  });

  it('forgets a pass that the gateway does not take any more', async () => {
    await toGateway();
    world.gateway.health = 'signed-out';
    await world.route.once(rooms).catch(() => {});
    await pass(5_000);
    expect(at()).toBe('own');
    expect(await world.passes.get()).toBeNull();
    expect(world.told.ended).toBe(0);
  });

  it('keeps the pass fresh: asks for another one at half its life', async () => {
    const first = await world.passes.get();
    expect(first).toMatchObject({ account: 'nord:anna', url: GATEWAY });
    await pass(12 * 3_600_000 + 1_000);
    const second = await world.passes.get();
    expect(second?.pass).not.toBe(first?.pass);
    expect(world.box.asked.filter(({ path }) => path === '/api/session')).toHaveLength(1);
  });

  it('opens the live stream with the pass among its subprotocols at the gateway, and without at the box', async () => {
    const opened: [string, string[]][] = [];
    world.route.close();
    world = twoNodes({
      connect: (address, protocols) => {
        opened.push([address, protocols]);
        return { onmessage: null, onclose: null, send: () => {}, close: () => {} };
      },
    });
    world.route.connect('/api/events?after=7');
    await toGateway();
    world.route.connect('/api/events?after=7');
    expect(opened).toEqual([
      ['/api/events?after=7', []],
      [`${GATEWAY}/api/events?after=7`, ['schulhof', expect.stringMatching(/^bearer\.[\w-]+\.[\w-]+$/)]],
    ]);
  });

  it('begins at the gateway when the page was opened while the box is dead', async () => {
    world.route.close();
    const pass = { account: 'nord:anna', school: 'nord', url: GATEWAY, pass: passOf('anna', Date.now()) };
    const view = { ...world.gateway.view() };
    world = twoNodes({ view, begin: { pass, own: 'gone' } }, 'refused');
    expect(await world.route.ask(rooms)).toEqual(['gateway']);
    expect(world.route.state.value).toMatchObject({ at: 'gateway', own: 'gone', gatewayLoads: false, node: 'gateway-1' });
    world.box.health = 'there';
    await vi.advanceTimersByTimeAsync(15_000);
    expect(world.route.state.value).toEqual({ at: 'own', own: 'there', gatewayLoads: false, node: 'nord', kind: 'box' });
  });

  it('remembers to end the box’s session when somebody leaves while it is dead', async () => {
    await toGateway();
    const left = world.route.logout();
    await pass(3_000);
    await left;
    expect(await world.passes.left()).toBe(true);
    expect(await world.passes.get()).toBeNull();
  });

  it('begins anew when somebody else has signed in on this browser', async () => {
    await toGateway();
    world.box.account = 'ben';
    world.box.health = 'there';
    await pass(5_000);
    expect(world.told.takenOver).toBeGreaterThan(0);
    expect(at()).toBe('gateway');
  });
});
