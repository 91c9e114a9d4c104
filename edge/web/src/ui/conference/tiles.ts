/** Which pictures the conference page shows, in which order and how large. Pure, so that it can be tested. */
import type { Person, Shown } from '../../session/conference/types';

export interface Tile {
  id: string;
  person: Person;
  kind: 'camera' | 'screen';
  /** Being received; none: own, off, or not on a slot. */
  stream: MediaStream | null;
  /** One's own line does not carry it now. */
  paused: boolean;
}

/** Screens first, then everybody in order of joining: faces must not jump about. */
export function tilesOf(people: readonly Person[], pictures: readonly Shown[]): Tile[] {
  const shown = (key: string, kind: Tile['kind']) =>
    pictures.find((picture) => picture.key === key && picture.kind === kind);
  const tile = (person: Person, kind: Tile['kind']): Tile => {
    const sends = person[kind] || person.awaited;
    const picture = sends && !person.me ? shown(person.key, kind) : undefined;
    const paused = picture?.paused ?? false;
    return { id: `${person.key}/${kind}`, person, kind, stream: paused ? null : (picture?.stream ?? null), paused };
  };
  const screens = people.filter((person) => person.screen).map((person) => tile(person, 'screen'));
  return [...screens, ...people.map((person) => tile(person, 'camera'))];
}

/**
 * What is shown large: who is in the spotlight (the screen before the face), a screen (others' before one's own), who speaks or was the last to speak, the moderator, anybody
 * else, oneself.
 */
export function mainTile(tiles: readonly Tile[], lastSpeaker: string | null, spotlight: string | null = null): Tile | undefined {
  const others = tiles.filter((tile) => !tile.person.me);
  return (
    tiles.find((tile) => tile.person.account === spotlight) ??
    others.find((tile) => tile.kind === 'screen') ??
    tiles.find((tile) => tile.kind === 'screen') ??
    others.find((tile) => tile.person.key === lastSpeaker) ??
    others.find((tile) => tile.person.role === 'moderator') ??
    others[0] ??
    tiles[0]
  );
}

export interface Grid {
  columns: number;
  rows: number;
  /** Of one tile, in CSS pixels. */
  width: number;
  height: number;
}

/** Pictures are cut a little at the sides, more in a tall window. */
const ASPECT_MIN_WIDE = 4 / 3;
const ASPECT_MIN_TALL = 1;
const ASPECT_MAX = 16 / 9;

/** The arrangement in which the tiles get the largest. */
export function bestGrid(tiles: number, width: number, height: number, gap: number): Grid {
  const count = Math.max(1, tiles);
  const aspectMin = width > height ? ASPECT_MIN_WIDE : ASPECT_MIN_TALL;
  let best: Grid = { columns: 1, rows: count, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const w = (width - gap * (columns - 1)) / columns;
    const h = (height - gap * (rows - 1)) / rows;
    if (w <= 0 || h <= 0) continue;
    const tileWidth = Math.min(w, h * ASPECT_MAX);
    const tileHeight = Math.min(h, tileWidth / aspectMin);
    if (tileWidth * tileHeight > best.width * best.height + 0.5) {
      best = { columns, rows, width: Math.floor(tileWidth), height: Math.floor(tileHeight) };
    }
  }
  return best;
}

/** Tiles on one page: what a window of this size shows well. */
export function pageLength(width: number, height: number): number {
  const area = width * height;
  if (area < 350_000) return 6;
  return area < 700_000 ? 9 : 16;
}
