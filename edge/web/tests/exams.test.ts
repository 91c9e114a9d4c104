// @vitest-environment jsdom
import { describe, expect, it } from 'vitest';
import type { DayLoad, ExamView } from '../src/protocol';
import { byWeek, fullness } from '../src/ui/exams/weeks';

const exam = (day: string, subject: string) => ({ exam: subject, subject, day }) as ExamView;

describe('exams by week', () => {
  it('are put under the Monday and the day that they are on', () => {
    const weeks = byWeek([exam('2026-12-04', 'M'), exam('2026-12-04', 'D'), exam('2026-12-07', 'E'), exam('2026-12-11', 'Bio')]);
    expect(weeks.map(({ monday, days }) => [monday, days.map(({ day, exams }) => [day, exams.map(({ subject }) => subject).join()])])).toEqual([
      ['2026-11-30', [['2026-12-04', 'M,D']]],
      ['2026-12-07', [['2026-12-07', 'E'], ['2026-12-11', 'Bio']]],
    ]);
    expect(byWeek([])).toEqual([]);
  });

  it('make a day as full as it looks', () => {
    const load = (change: Partial<DayLoad>): DayLoad => ({ day: '2026-12-04', on_day: 0, in_week: 0, over: false, pupils: 0, blocked: null, exams: [], ...change });
    expect([load({}), load({ in_week: 1 }), load({ on_day: 1, over: true }), load({ over: true, blocked: 'x' })].map(fullness)).toEqual(['free', 'some', 'full', 'blocked']);
  });
});
