import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Twin, Way, type FrameTold, type Screen } from '../src/ui/conference/twin';

class FakeStream {
  active = true;
}

class FakeScreen implements Screen {
  srcObject: MediaProvider | null = null;
  paused = true;
  private asked: ((now: number, frame: FrameTold) => void)[] = [];

  async play() {
    this.paused = false;
  }
  pause() {
    this.paused = true;
  }
  requestVideoFrameCallback(told: (now: number, frame: FrameTold) => void) {
    return this.asked.push(told);
  }
  addEventListener() {}
  /** A picture is drawn; one that is paused draws none. */
  draw(now: number, frame: FrameTold = {}) {
    if (this.paused || !this.srcObject) return;
    for (const told of this.asked.splice(0)) told(now, frame);
  }
}

const stream = () => new FakeStream() as unknown as MediaStream;

describe('two elements for one picture', () => {
  let a: FakeScreen;
  let b: FakeScreen;
  let shown: number[];
  let twin: Twin;
  beforeEach(() => {
    vi.stubGlobal('MediaStream', FakeStream);
    [a, b] = [new FakeScreen(), new FakeScreen()];
    shown = [];
    twin = new Twin([a, b], (index) => shown.push(index));
  });
  afterEach(() => vi.unstubAllGlobals());

  /** Every 50 ms a picture is taken, and drawn on the first way after `ways[0]` ms, on the second after `ways[1]`. */
  function* pictures(from: number, ways: [number, number]) {
    const due = [{ screen: a, base: 4_294_000_000 }, { screen: b, base: 17 }].flatMap(({ screen, base }, way) =>
      Array.from({ length: 60 }, (_, n) => {
        const at = from + 50 * n + ways[way]!;
        return { screen, n, at, frame: { rtpTimestamp: (base + 4_500 * n) >>> 0, receiveTime: at - 3 } };
      }),
    );
    for (const each of due.sort((x, y) => x.at - y.at)) {
      const before = shown.length;
      each.screen.draw(each.at, each.frame);
      yield { ...each, changed: shown.length > before };
    }
  }

  function begun() {
    const first = stream();
    twin.show(first);
    a.draw(0);
    expect(shown).toEqual([0]);
    return first;
  }

  it('shows the first stream from its first picture on', () => {
    begun();
    a.draw(50);
    expect(shown, 'told once').toEqual([0]);
  });

  it.each([
    ['as long', [30, 30]],
    ['a little longer', [30, 38]],
    ['shorter', [60, 20]],
  ] as [string, [number, number]][])('changes over without going back when the next way is %s', (_, ways) => {
    begun();
    twin.show(stream());
    let last = -1;
    for (const { screen, n, changed } of pictures(1_000, ways)) {
      if (screen === a && shown.at(-1) === 0) last = n;
      if (!changed) continue;
      expect(n).toBeGreaterThanOrEqual(last);
      expect(a.srcObject).toBeNull();
      break;
    }
    expect(shown).toEqual([0, 1]);
  });

  it('tells ways apart by their shortest time, not by what is late for once', () => {
    const [one, two] = [new Way(), new Way()];
    const late = [40, 0, 25, 0, 80, 0];
    late.forEach((by, n) => one.take(0, { rtpTimestamp: 4_500 * n, receiveTime: 50 * n + by }));
    late.forEach((by, n) => two.take(0, { rtpTimestamp: 900 + 4_500 * n, receiveTime: 50 * n + 5 + by / 2 }));
    expect(one.taken(1)).toBeCloseTo(250);
    expect(two.taken(6)).toBeCloseTo(255);
    expect(two.taken(7)).toBeNull();
  });

  /** At step `n`: the next way was quick for two pictures, and three behind from then on. */
  function drawBehind(n: number): { shownBefore: number; behind: number } {
    const now = 1_000 + 50 * n;
    const picture = (index: number): FrameTold => ({ rtpTimestamp: 4_500 * index, receiveTime: now });
    const shownBefore = a.paused ? -1 : n;
    a.draw(now, picture(n));
    const behind = n < 2 ? n : n - 3;
    if (n < 2 || behind >= 2) b.draw(now + 1, picture(behind));
    return { shownBefore, behind };
  }

  it('stops the one before when the next stream stays behind, and goes on where that has caught up', () => {
    begun();
    twin.show(stream());
    let last = -1;
    for (let n = 0; n < 60 && shown.length === 1; n += 1) {
      const { shownBefore, behind } = drawBehind(n);
      last = Math.max(last, shownBefore);
      if (shown.length > 1) expect(behind).toBeGreaterThanOrEqual(last);
    }
    expect(shown).toEqual([0, 1]);
    expect(last, 'it was given time').toBeGreaterThan(12);
  });

  it('does not wait for long for one that brings nothing any more', () => {
    begun();
    twin.show(stream());
    for (let now = 1_000; now <= 1_400; now += 50) b.draw(now, { rtpTimestamp: 90 * now, receiveTime: now });
    expect(shown).toEqual([0, 1]);
    expect(a.srcObject).toBeNull();
  });

  it('changes over at last when nothing moves, and so no more pictures come', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    begun();
    twin.show(stream());
    vi.advanceTimersByTime(5_000);
    expect(shown, 'it has none at all yet').toEqual([0]);
    b.draw(performance.now(), { rtpTimestamp: 1, receiveTime: performance.now() });
    vi.advanceTimersByTime(1_000);
    expect(shown).toEqual([0, 1]);
    vi.useRealTimers();
  });

  it('does not wait at all when the one before has ended', () => {
    const first = begun();
    (first as unknown as FakeStream).active = false;
    twin.show(stream());
    b.draw(1_000);
    expect(shown).toEqual([0, 1]);
  });

  it('goes on with the one before when that is wanted again, even if it was stopped', () => {
    const first = begun();
    twin.show(stream());
    for (let n = 0; n < 60 && !a.paused; n += 1) drawBehind(n);
    expect(a.paused).toBe(true);
    twin.show(first);
    expect([a.paused, b.srcObject]).toEqual([false, null]);
    a.draw(3_000);
    expect(shown).toEqual([0, 0]);
  });

  it('changes over after some pictures in a browser that tells no timestamps', () => {
    begun();
    twin.show(stream());
    for (let now = 1_000; now < 1_150; now += 50) {
      expect(shown).toEqual([0]);
      a.draw(now);
      b.draw(now + 1);
    }
    expect(shown).toEqual([0, 1]);
  });

  it('shows a third stream if the second was not there yet', () => {
    begun();
    const third = stream();
    twin.show(stream());
    twin.show(third);
    expect(b.srcObject).toBe(third);
    for (let now = 1_000; now <= 1_300; now += 50) b.draw(now);
    expect(shown).toEqual([0, 1]);
  });

  it('shows nothing when there is no stream, and the next one from its first picture on', () => {
    begun();
    twin.show(null);
    expect(a.srcObject).toBeNull();
    twin.show(stream());
    a.draw(500);
    expect(shown).toEqual([0, 0]);
  });
});
