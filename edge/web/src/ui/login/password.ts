/** What makes a password too weak: the box decides (`weak-password`), this says so while it is typed. */
import { PASSWORD_LEN_MIN, type SessionView } from '../../protocol';

export { PASSWORD_LEN_MIN };

/** Parts of a name that are shorter stand in too many words. */
const PART_LEN_MIN = 4;

export function rulesMet(view: Pick<SessionView, 'login' | 'name'>, old: string, next: string): { long: boolean; own: boolean; other: boolean } {
  const typed = next.toLowerCase();
  const parts = view.name.toLowerCase().split(/[ -]/).filter((part) => [...part].length >= PART_LEN_MIN);
  return {
    long: [...next].length >= PASSWORD_LEN_MIN,
    own: next !== '' && ![view.login, ...parts].some((part) => typed.includes(part)),
    other: next !== '' && next !== old,
  };
}
