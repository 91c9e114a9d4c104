/** Who is in the room, held together over a change of the node, where everybody gets a new participant id. */
import type { Participant, ParticipantId } from '../../protocol';
import type { Person } from './types';

/** Others need about as long as oneself to come to the other node; who is not there by then has left. */
export const AWAIT_MS = 8_000;

/** `account#1`, `account#2`, ... in order of joining: a person with two devices is there twice. */
export function keyed(participants: readonly Participant[], me: ParticipantId | null): Person[] {
  const seen = new Map<string, number>();
  return participants.map((participant) => {
    const n = (seen.get(participant.account) ?? 0) + 1;
    seen.set(participant.account, n);
    return { ...participant, key: `${participant.account}#${n}`, me: participant.id === me, awaited: false };
  });
}

/** The roster of the present node, with those of the former one who are still expected, in the former order. */
export function withAwaited(now: readonly Person[], before: readonly Person[]): Person[] {
  const present = new Map(now.map((person) => [person.key, person]));
  const merged = before.map((person) => present.get(person.key) ?? { ...person, id: '', awaited: true });
  const known = new Set(before.map((person) => person.key));
  return [...merged, ...now.filter((person) => !known.has(person.key))];
}
