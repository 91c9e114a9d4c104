import { describe, expect, it } from 'vitest';
import type { MessageItem } from '../src/session/timeline';
import { clean } from '../src/ui/messenger/drafts';
import { pieces } from '../src/ui/messenger/links';
import { rowsOf } from '../src/ui/messenger/rows';
import { Heights } from '../src/ui/messenger/virtual';

const MINUTE = 60_000 * 1024;
const item = (n: number, more: Partial<MessageItem> = {}): MessageItem => ({
  key: `k${n}`, author: 'ben', authorName: 'Ben', text: `m${n}`, attachments: [], at: n * MINUTE, index: n, own: false, state: 'secured', ...more,
});
const dayOf = (at: number) => String(Math.floor(at / (1_000 * MINUTE)));
const rows = (items: MessageItem[], after = 1_000, upto = Infinity) =>
  rowsOf(items, { unseen: { after, upto }, dayOf }).map((row) => (row.kind === 'message' ? row.item.key : row.kind));

describe('rows of a conversation', () => {
  it('begin each day with its name, and what is new with a line, once', () => {
    expect(rows([item(1), item(2), item(1_001), item(1_002)], 2)).toEqual(['begin', 'day', 'k1', 'k2', 'day', 'new', 'k1001', 'k1002']);
  });

  it('do not call one’s own words new', () => {
    expect(rows([item(1), item(2, { own: true }), item(3)], 1)).toEqual(['begin', 'day', 'k1', 'k2', 'new', 'k3']);
  });

  it('do not call new what came while the person looked', () => {
    expect(rows([item(1), item(2), item(3)], 1, 1)).toEqual(['begin', 'day', 'k1', 'k2', 'k3']);
  });

  it('stand together when one person writes on', () => {
    const shape = rowsOf([item(1), item(2), item(3, { author: 'mia' }), item(20, { author: 'mia' })], { unseen: { after: 99, upto: 99 }, dayOf });
    const groups = shape.flatMap((row) => (row.kind === 'message' ? [[row.first, row.last]] : []));
    expect(groups).toEqual([[true, false], [false, true], [true, true], [true, true]]);
  });
});

describe('heights of a virtual list', () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `k${i}`);

  it('make only the rows near the window exist', () => {
    const heights = new Heights(50);
    heights.setKeys(keys);
    const { start, end, before } = heights.range(250_000, 800);
    expect(end - start).toBeLessThan(50);
    expect(before).toBe(start * 50);
    expect(before).toBeLessThanOrEqual(250_000);
    expect(end * 50).toBeGreaterThanOrEqual(250_800);
  });

  it('know where each row stands once it has been measured', () => {
    const heights = new Heights(50);
    heights.setKeys(keys);
    expect(heights.measure('k0', 120)).toBe(true);
    expect(heights.measure('k0', 120)).toBe(false);
    expect(heights.measure('k1', 0)).toBe(false);
    expect(heights.offsetOf('k1')).toBe(120);
    expect(heights.total).toBe(120 + 9_999 * 50);
    expect(heights.indexAt(119)).toBe(0);
    expect(heights.indexAt(120)).toBe(1);
    expect(heights.indexAt(-5)).toBe(0);
    expect(heights.indexAt(1e9)).toBe(9_999);
  });

  it('keep what was measured when older rows come in above', () => {
    const heights = new Heights(50);
    heights.setKeys(['b']);
    heights.measure('b', 90);
    heights.setKeys(['a', 'b']);
    expect(heights.offsetOf('b')).toBe(50);
    expect(heights.total).toBe(140);
    heights.setKeys([]);
    expect(heights.range(0, 800)).toEqual({ start: 0, end: 0, before: 0 });
  });
});

describe('texts of messages', () => {
  it('make addresses into links, without the full stop behind them', () => {
    expect(pieces('siehe https://a.example/x?y=1. Danke')).toEqual([
      { text: 'siehe ' },
      { text: 'https://a.example/x?y=1', href: 'https://a.example/x?y=1' },
      { text: '. Danke' },
    ]);
    expect(pieces('javascript:alert(1)')).toEqual([{ text: 'javascript:alert(1)' }]);
    expect(pieces('')).toEqual([]);
  });

  it('lose what the school does not take: control characters and empty ends', () => {
    expect(clean('  a\r\nb\u0000\tc\u0007 \n')).toBe('a\nb\tc');
  });
});
