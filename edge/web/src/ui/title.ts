import type { Phase } from '../session/session';
import type { Place } from './router.svelte';
import type { Text } from './text/de';

/** The browser's tab, and what a screen reader says first. */
export function titleOf(phase: Phase['at'], place: Place, text: Text): string {
  const page = () => {
    if (phase === 'signed-out') return text.login.title;
    if (phase === 'first-password') return text.password.first;
    if (phase !== 'signed-in') return null;
    switch (place.at) {
      case 'home':
        return text.home.title;
      case 'messages':
        return text.messages.title;
      case 'check':
        return text.check.title;
      case 'exams':
        return text.nav.exams;
      case 'timetable':
        return text.nav.timetable;
      case 'people':
        return text.nav.people;
      case 'conference':
        return text.conference.title;
      default:
        return null;
    }
  };
  const name = page();
  return name ? `${name} · ${text.app.name}` : text.app.name;
}
