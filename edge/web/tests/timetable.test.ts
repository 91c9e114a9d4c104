// @vitest-environment jsdom
import { describe, expect, it, vi } from 'vitest';
import type { LessonView, WeekView } from '../src/protocol';
import { clock, minutes, monday, plus, thisWeek, today, weekday } from '../src/ui/timetable/days';
import { rowsOf } from '../src/ui/timetable/grid';
import { classKey } from '../src/ui/timetable/joining.svelte';

vi.hoisted(() => {
  globalThis.matchMedia = (() => ({ matches: false, addEventListener: () => {} })) as unknown as typeof matchMedia;
});

const lesson = (period: number): LessonView => ({ period, subject: 'M', classes: ['5a'], teachers: [], rooms: [], weeks: 'all', planned: true, changes: [], source: null });
const week = (lessons: number[], periods: WeekView['periods']): WeekView => ({
  monday: '2026-11-30',
  week: null,
  names: ['5a'],
  days: [{ day: '2026-11-30', text: '', duties: [], lessons: lessons.map(lesson) }],
  periods,
  planned: true,
  plan: null,
});

describe('days of the timetable', () => {
  it('count on over changes of the clocks and of the year', () => {
    expect(plus('2026-10-24', 2)).toBe('2026-10-26');
    expect(plus('2026-03-28', 2)).toBe('2026-03-30');
    expect(plus('2026-12-31', 1)).toBe('2027-01-01');
    expect([weekday('2026-11-29'), weekday('2026-11-30')]).toEqual([7, 1]);
    expect(monday('2026-12-06')).toBe('2026-11-30');
  });

  it('show the next week on a weekend', () => {
    expect(today(new Date(2026, 10, 29, 23, 59))).toBe('2026-11-29');
    expect(thisWeek(new Date(2026, 10, 28))).toBe('2026-11-30');
    expect(thisWeek(new Date(2026, 10, 29))).toBe('2026-11-30');
    expect(thisWeek(new Date(2026, 11, 4))).toBe('2026-11-30');
  });

  it('have times in minutes', () => {
    expect([clock(485), minutes('08:05'), minutes('x')]).toEqual(['08:05', 485, null]);
  });
});

describe('the rows of a week', () => {
  const bells = [
    { period: 1, from: 480, to: 525 },
    { period: 2, from: 525, to: 570 },
    { period: 3, from: 590, to: 635 },
  ];

  it('go from the first period to the last that is used, with breaks where the bells leave a gap', () => {
    const rows = rowsOf(week([3, 5], bells));
    expect(rows.map(({ period, pause }) => [period, pause])).toEqual([[1, 0], [2, 0], [3, 20], [4, 0], [5, 0]]);
    expect(rows[4]?.bell).toBeNull();
    expect(rowsOf(week([0], [])).map(({ period }) => period)).toEqual([0]);
    expect(rowsOf(week([], bells))).toEqual([]);
    // By hand one may go on below.
    expect(rowsOf(week([3], bells), true).map(({ period }) => period)).toEqual([1, 2, 3, 4]);
  });
});

describe('names of a class', () => {
  it('are the same as on the box', () => {
    for (const name of ['5a', '05A', 'Klasse 5a', ' klasse 05 A ', '5 a']) expect(classKey(name)).toBe('5a');
    expect([classKey('Q1'), classKey('Klasse'), classKey('0'), classKey('0a')]).toEqual(['q1', 'klasse', '0', '0a']);
  });
});
