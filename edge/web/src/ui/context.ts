/** The signed-in person's things, for all components below `Inside`. */
import { getContext, setContext } from 'svelte';
import type { School } from '../session/school';

const KEY = Symbol('school');

export function provideSchool(school: School): void {
  setContext(KEY, school);
}

export function useSchool(): School {
  return getContext<School>(KEY);
}
