/** Which lesson has a conference that runs now: one in the room of its class, while the lesson is on. */
import { onMount } from 'svelte';
import type { ConferenceView, Day, LessonView, Period } from '../../protocol';
import { useSchool } from '../context';
import { today } from './days';

/** Before a lesson begins one may come already. */
const EARLY_MIN = 10;
const LOOK_EVERY_MS = 30_000;

/** `timetable::class_key`: what names of the same class have in common. */
export function classKey(name: string): string {
  const plain = name.toLowerCase().replace(/\s+/g, '');
  return plain.replace(/^klasse(?=.)/, '').replace(/^0+(?=\d)/, '');
}

export function useJoining(periods: () => readonly Period[]) {
  const school = useSchool();
  let rooms = $state.raw(school.rooms.list.value);
  let now = $state(new Date());
  onMount(() => {
    const stop = school.rooms.list.subscribe((list) => (rooms = list));
    const timer = setInterval(() => (now = new Date()), LOOK_EVERY_MS);
    return () => (stop(), clearInterval(timer));
  });
  const running = $derived(
    new Map(rooms.filter(({ kind }) => kind === 'group').flatMap(({ name, conferences }) => conferences.filter(({ open }) => open).map((one) => [classKey(name), one] as const))),
  );
  return {
    of(lesson: LessonView, day: Day): ConferenceView | null {
      if (running.size === 0 || day !== today(now)) return null;
      const bell = periods().find(({ period }) => period === lesson.period);
      const minute = now.getHours() * 60 + now.getMinutes();
      if (bell && (minute < bell.from - EARLY_MIN || minute >= bell.to)) return null;
      return lesson.classes.map((name) => running.get(classKey(name))).find((one) => one !== undefined) ?? null;
    },
  };
}
