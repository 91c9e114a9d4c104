/** A week as rows of periods. */
import type { Period, WeekView } from '../../protocol';

export interface Row {
  period: number;
  /** Its times, if the school has told them. */
  bell: Period | null;
  /** Minutes of the break before it, if it is one. */
  pause: number;
}

/** `timetable::PERIOD_MAX` */
const PERIOD_MAX = 30;
/** Minutes between two bells that count as a break. */
const PAUSE_MIN = 10;

/** From the first period to the last that anything is in; the school's bells up to there. */
export function rowsOf({ days, periods }: WeekView, further = false): Row[] {
  const used = days.flatMap((day) => [...day.lessons.map((lesson) => lesson.period), ...day.duties.map((duty) => duty.before)]);
  if (further) used.push(...periods.map(({ period }) => period), Math.min(Math.max(0, ...used) + 1, PERIOD_MAX));
  if (used.length === 0) return [];
  const first = Math.min(1, ...used);
  const last = Math.max(...used);
  const rows: Row[] = [];
  for (let period = first; period <= last; period += 1) {
    const bell = periods.find((one) => one.period === period) ?? null;
    const before = rows.at(-1)?.bell;
    const gap = bell && before ? bell.from - before.to : 0;
    rows.push({ period, bell, pause: gap >= PAUSE_MIN ? gap : 0 });
  }
  return rows;
}
