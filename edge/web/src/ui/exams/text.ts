import { words } from '../app.svelte';
import { de, type ExamsText } from '../text/exams/de';
import { en } from '../text/exams/en';

/** In the page's language; follows it. */
export function examsText(): ExamsText {
  return words.language === 'en' ? en : de;
}
