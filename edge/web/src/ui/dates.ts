/** Days and times as people read them, by `Intl`. */
import { hlcMs } from '../protocol';
import { words } from './app.svelte';

const formats = new Map<string, Intl.DateTimeFormat>();

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = words.locale + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.DateTimeFormat(words.locale, options)));
  return made;
}

const DAY_MS = 86_400_000;

function midnight(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** Whole days between then and now, by the calendar. */
function daysAgo(ms: number, now = Date.now()): number {
  return Math.round((midnight(now) - midnight(ms)) / DAY_MS);
}

/** The same for all times of one day. */
export function dayKey(hlc: number): string {
  return String(midnight(hlcMs(hlc)));
}

export function time(hlc: number): string {
  return format({ hour: '2-digit', minute: '2-digit' }).format(hlcMs(hlc));
}

/** `Montag, 23. November` */
export function longDay(ms: number): string {
  return format({ weekday: 'long', day: 'numeric', month: 'long' }).format(ms);
}

/** `Di, 1.12.`, of a day of the calendar (`2026-12-01`). */
export function shortDay(day: string): string {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  return format({ weekday: 'short', day: 'numeric', month: 'numeric' }).format(new Date(year, month - 1, date));
}

/** Between the messages of two days. */
export function dayTitle(hlc: number): string {
  const ms = hlcMs(hlc);
  const ago = daysAgo(ms);
  if (ago === 0) return words.text.messages.today;
  if (ago === 1) return words.text.messages.yesterday;
  const year = new Date(ms).getFullYear() === new Date().getFullYear() ? {} : ({ year: 'numeric' } as const);
  return format({ weekday: 'long', day: 'numeric', month: 'long', ...year }).format(ms);
}

/** In a list: the time today, the weekday this week, then the date. */
export function shortWhen(hlc: number): string {
  const ms = hlcMs(hlc);
  const ago = daysAgo(ms);
  if (ago === 0) return time(hlc);
  if (ago === 1) return words.text.messages.yesterday;
  if (ago < 7) return format({ weekday: 'short' }).format(ms);
  return format({ day: '2-digit', month: '2-digit', year: '2-digit' }).format(ms);
}

/** For `<time datetime>`. */
export function iso(hlc: number): string {
  return new Date(hlcMs(hlc)).toISOString();
}

/** `4:05`, `1:04:05` */
export function duration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1_000));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3_600);
  const minutes = Math.floor(s / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}
