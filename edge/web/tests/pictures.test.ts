import { describe, expect, it } from 'vitest';
import type { Person } from '../src/session/conference/types';
import { keyed, withAwaited } from '../src/session/conference/people';
import { bestGrid, mainTile, pageLength, tilesOf } from '../src/ui/conference/tiles';

const person = (key: string, more: Partial<Person> = {}): Person => ({
  key, id: key, account: key, name: key, role: 'participant', me: false, microphone: true, camera: true, screen: false, hand: null, muted: false, may: { microphone: true, camera: true, screen: true }, awaited: false, ...more,
});

describe('pictures of a conference', () => {
  it('keeps faces in order of joining and puts screens first', () => {
    const tiles = tilesOf([person('me', { me: true }), person('a'), person('b', { screen: true })], []);
    expect(tiles.map(({ id }) => id)).toEqual(['b/screen', 'me/camera', 'a/camera', 'b/camera']);
  });

  it('shows nothing of a camera that is off, and never receives oneself', () => {
    const stream = {} as MediaStream;
    const pictures = ['me', 'a', 'b'].map((key) => ({ key, kind: 'camera' as const, stream, paused: false }));
    const tiles = tilesOf([person('me', { me: true }), person('a', { camera: false }), person('b')], pictures);
    expect(tiles.map((tile) => tile.stream)).toEqual([null, null, stream]);
  });

  it('shows no stale image of a picture that the line does not carry, and says so', () => {
    const stream = {} as MediaStream;
    const pictures = ['a', 'b'].map((key) => ({ key, kind: 'camera' as const, stream, paused: key === 'a' }));
    const tiles = tilesOf([person('a'), person('b')], pictures);
    expect(tiles.map(({ stream, paused }) => [stream, paused])).toEqual([[null, true], [stream, false]]);
  });

  it('shows a screen large, else who spoke last, else the moderator', () => {
    const people = [person('me', { me: true }), person('a'), person('teacher', { role: 'moderator' }), person('b')];
    expect(mainTile(tilesOf(people, []), null)?.id).toBe('teacher/camera');
    expect(mainTile(tilesOf(people, []), 'b')?.id).toBe('b/camera');
    expect(mainTile(tilesOf(people, []), 'me')?.id).toBe('teacher/camera');
    const sharing = people.map((one) => (one.key === 'a' ? { ...one, screen: true } : one));
    expect(mainTile(tilesOf(sharing, []), 'b')?.id).toBe('a/screen');
    expect(mainTile(tilesOf([person('me', { me: true })], []), null)?.id).toBe('me/camera');
  });

  it('arranges any number so that all fit, and wastes little', () => {
    for (const [width, height] of [[1240, 620], [374, 640], [800, 300]] as const) {
      for (let count = 1; count <= 25; count += 1) {
        const grid = bestGrid(count, width, height, 10);
        expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(count);
        expect(grid.columns * grid.width + (grid.columns - 1) * 10).toBeLessThanOrEqual(width);
        expect(grid.rows * grid.height + (grid.rows - 1) * 10).toBeLessThanOrEqual(height);
        expect((count * grid.width * grid.height) / (width * height)).toBeGreaterThan(0.3);
      }
    }
    expect(bestGrid(0, 100, 100, 10)).toMatchObject({ columns: 1, rows: 1 });
  });

  it('puts fewer on a page of a phone', () => {
    expect(pageLength(374, 640)).toBeLessThan(pageLength(1240, 620));
  });

  it('tells two devices of one person apart, and knows them again on another node', () => {
    const raw = (id: string, account: string) => ({ id, account, name: account, role: 'participant' as const, microphone: true, camera: true, screen: false, hand: null, muted: false, may: { microphone: true, camera: true, screen: true } });
    const before = keyed([raw('1', 'a'), raw('2', 'b'), raw('3', 'a')], '2');
    expect(before.map(({ key, me }) => [key, me])).toEqual([['a#1', false], ['b#1', true], ['a#2', false]]);
    const after = withAwaited(keyed([raw('9', 'b'), raw('8', 'c')], '9'), before);
    expect(after.map(({ key, awaited }) => [key, awaited])).toEqual([['a#1', true], ['b#1', false], ['a#2', true], ['c#1', false]]);
  });
});
