import { words } from '../app.svelte';
import { de, type PeopleText } from '../text/people/de';
import { en } from '../text/people/en';

/** In the page's language; follows it. */
export function peopleText(): PeopleText {
  return words.language === 'en' ? en : de;
}
