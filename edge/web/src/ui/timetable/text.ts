import { words } from '../app.svelte';
import { de, type TimetableText } from '../text/timetable/de';
import { en } from '../text/timetable/en';

/** In the page's language; follows it. */
export function timetableText(): TimetableText {
  return words.language === 'en' ? en : de;
}
