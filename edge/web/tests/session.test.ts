import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BoxClient, type SessionView } from '../src/protocol';
import type { Own } from '../src/session/route';
import { Session } from '../src/session/session';
import type { School } from '../src/session/school';
import { GATEWAY, passOf, twoNodes } from './support/nodes';

describe('a page that is opened', () => {
  let world: ReturnType<typeof twoNodes>;
  let session: Session;
  const entered: { view: SessionView; begin?: { own: Own } }[] = [];

  beforeEach(() => {
    vi.useFakeTimers();
    world = twoNodes();
    entered.length = 0;
    session = new Session({
      box: new BoxClient('', world.box.fetch),
      makeGateway: world.makeGateway,
      openPasses: () => Promise.resolve(world.passes),
      makeSchool: (begin) => {
        entered.push(begin);
        return Promise.resolve({ me: begin.view, start: () => Promise.resolve(), close: () => {}, nudge: () => {} } as unknown as School);
      },
    });
  });
  afterEach(() => {
    world.route.close();
    vi.useRealTimers();
  });

  const keep = () => world.passes.keep({ account: 'nord:anna', school: 'nord', url: GATEWAY, pass: passOf('anna', Date.now()) });

  it('enters at the box when it answers, whatever pass is kept', async () => {
    await keep();
    await session.start();
    expect(entered.map(({ view }) => view.served_by)).toEqual(['nord']);
    expect(world.gateway.asked).toEqual([]);
  });

  it('enters over the gateway when the box is dead and a pass is kept', async () => {
    await keep();
    world.box.health = 'refused';
    await session.start();
    expect(entered).toMatchObject([{ view: { served_by: 'gateway-1' }, begin: { own: 'gone' } }]);
    expect(session.phase.value.at).toBe('signed-in');
  });

  it('says that it waits, and that somebody loads, and enters when that is over', async () => {
    await keep();
    world.box.health = 'refused';
    world.gateway.health = 'loading';
    const started = session.start();
    await vi.advanceTimersByTimeAsync(100);
    expect(session.phase.value).toEqual({ at: 'unreachable', loading: true });
    world.gateway.health = 'there';
    await vi.advanceTimersByTimeAsync(5_000);
    await started;
    expect(entered).toHaveLength(1);
  });

  it('does not enter with a pass where the box itself says that nobody is signed in, and forgets it', async () => {
    await keep();
    world.box.health = 'signed-out';
    await session.start();
    expect(session.phase.value).toEqual({ at: 'signed-out', ended: false });
    expect(await world.passes.get()).toBeNull();
    expect(entered).toEqual([]);
  });

  it('forgets a pass that the gateway does not take', async () => {
    await keep();
    world.box.health = 'refused';
    world.gateway.health = 'signed-out';
    const started = session.start();
    await vi.advanceTimersByTimeAsync(100);
    expect(await world.passes.get()).toBeNull();
    world.box.health = 'signed-out';
    await vi.advanceTimersByTimeAsync(5_000);
    await started;
    expect(session.phase.value.at).toBe('signed-out');
  });

  it('ends the session of who left while the box was dead, before anybody else is let in', async () => {
    await world.passes.leave();
    world.box.health = 'refused';
    await session.start();
    expect(session.phase.value.at).toBe('signed-out');
    expect(await world.passes.left()).toBe(true);
    world.box.health = 'there';
    await session.start();
    expect(world.box.asked.at(-1)).toMatchObject({ method: 'POST', path: '/api/logout' });
    expect(await world.passes.left()).toBe(false);
    expect(entered).toEqual([]);
  });

  it('asks for an own password first, where the first one was from a sheet, and then enters', async () => {
    world.box.firstPassword = 'kiwi-7';
    await session.start();
    expect(session.phase.value).toMatchObject({ at: 'first-password', view: { account: 'anna' } });
    expect(entered).toEqual([]);
    await expect(session.changePassword('falsch', 'ganz geheim')).rejects.toThrow('wrong-password');
    expect(session.phase.value.at).toBe('first-password');
    await session.changePassword('kiwi-7', 'ganz geheim');
    expect(entered).toMatchObject([{ view: { must_change_password: false } }]);
    expect(session.phase.value.at).toBe('signed-in');
  });

  it('goes on when the first password was changed in another tab', async () => {
    world.box.firstPassword = 'kiwi-7';
    await session.start();
    session.check();
    world.box.firstPassword = null;
    session.check();
    await vi.advanceTimersByTimeAsync(100);
    expect(session.phase.value.at).toBe('signed-in');
    expect(entered).toHaveLength(1);
  });

  it('can be left without an own password', async () => {
    world.box.firstPassword = 'kiwi-7';
    await session.start();
    await session.logout();
    expect(session.phase.value).toEqual({ at: 'signed-out', ended: false });
    expect(world.box.asked.at(-1)).toMatchObject({ path: '/api/logout' });
  });

  it('goes on as a new session after another password, though the live stream calls the old one ended', async () => {
    let ended = () => {};
    const closed: number[] = [];
    const fetch = (path: string, init: RequestInit) => {
      if (path === '/api/password') ended();
      return world.box.fetch(path, init);
    };
    session = new Session({
      box: new BoxClient('', fetch),
      openPasses: () => Promise.resolve(world.passes),
      makeSchool: ({ view }, onEnded) => {
        ended = onEnded;
        const n = entered.push({ view });
        return Promise.resolve({ me: view, start: () => Promise.resolve(), close: () => closed.push(n), nudge: () => {} } as unknown as School);
      },
    });
    await session.start();
    await session.changePassword('alt', 'ganz geheim');
    expect([entered.length, closed]).toEqual([2, [1]]);
    expect(session.phase.value.at).toBe('signed-in');
    ended();
    expect(session.phase.value).toEqual({ at: 'signed-out', ended: true });
  });
});
