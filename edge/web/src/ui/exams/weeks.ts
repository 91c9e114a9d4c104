/** Exams by week and day, and days by how full they are. Pure. */
import type { Day, DayLoad, ExamView } from '../../protocol';
import { monday } from '../timetable/days';

export interface Week {
  monday: Day;
  days: { day: Day; exams: ExamView[] }[];
}

/** They come in order. */
export function byWeek(exams: readonly ExamView[]): Week[] {
  const weeks: Week[] = [];
  for (const exam of exams) {
    let week = weeks.at(-1);
    if (week?.monday !== monday(exam.day)) weeks.push((week = { monday: monday(exam.day), days: [] }));
    let day = week.days.at(-1);
    if (day?.day !== exam.day) week.days.push((day = { day: exam.day, exams: [] }));
    day.exams.push(exam);
  }
  return weeks;
}

/** As a cell shows it: nothing yet, something, as much as may be, nobody writes. */
export type Fullness = 'free' | 'some' | 'full' | 'blocked';

export function fullness({ blocked, over, on_day: onDay, in_week: inWeek }: DayLoad): Fullness {
  if (blocked !== null) return 'blocked';
  if (over) return 'full';
  return onDay + inWeek > 0 ? 'some' : 'free';
}
