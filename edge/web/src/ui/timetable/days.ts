/** Days of the timetable (`2026-11-30`), reckoned in UTC so that no change of the clocks moves them, and in words. */
import type { Day } from '../../protocol';
import { words } from '../app.svelte';

const DAY_MS = 86_400_000;

const two = (n: number) => String(n).padStart(2, '0');

/** The day here and now. */
export function today(now = new Date()): Day {
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

const ms = (day: Day) => Date.parse(`${day}T00:00:00Z`);

export function plus(day: Day, days: number): Day {
  return new Date(ms(day) + days * DAY_MS).toISOString().slice(0, 10);
}

/** 1 is Monday, 7 Sunday. */
export function weekday(day: Day): number {
  return ((new Date(ms(day)).getUTCDay() + 6) % 7) + 1;
}

export function monday(day: Day): Day {
  return plus(day, 1 - weekday(day));
}

/** The week that matters: on a weekend the next one. */
export function thisWeek(now = new Date()): Day {
  const day = today(now);
  return monday(weekday(day) > 5 ? plus(day, 2) : day);
}

function format(day: Day, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(words.locale, { ...options, timeZone: 'UTC' }).format(ms(day));
}

/** `Montag` */
export const longWeekday = (day: Day) => format(day, { weekday: 'long' });
/** `Mo` */
export const shortWeekday = (day: Day) => format(day, { weekday: 'short' }).replace('.', '');
/** `30.11.` */
export const shortDate = (day: Day) => format(day, { day: '2-digit', month: '2-digit' });
/** `30. November 2026` */
export const longDate = (day: Day) => format(day, { day: 'numeric', month: 'long', year: 'numeric' });

/** `30. November – 4. Dezember 2026` */
export function weekSpan(start: Day): string {
  const form = new Intl.DateTimeFormat(words.locale, { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
  return form.formatRange(ms(start), ms(plus(start, 4)));
}

/** `08:00`, from minutes since midnight. */
export const clock = (minutes: number) => `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;

/** Minutes since midnight, from `08:00`. */
export function minutes(clock: string): number | null {
  const found = /^(\d{1,2}):(\d{2})$/.exec(clock);
  return found ? Number(found[1]) * 60 + Number(found[2]) : null;
}
