/**
 * What the page is shown: of the present connection, and of the one before for as long as that has what the present one
 * still lacks. Pure.
 */
import type { ParticipantId } from '../../protocol';
import type { Link } from './link';
import { keyed, withAwaited } from './people';
import type { ConferenceState, Person, Quality, Shown } from './types';
import { worse } from './watch';

/** A connection that is no more in use, with what was shown of it last. */
export interface Former {
  link: Link;
  people: readonly Person[];
  pictures: readonly Shown[];
}

/** Whom connections know, the last one best. Ids are the same at every node: who is still on the way is known from before. */
export function keysById(...links: (Link | null | undefined)[]): Map<ParticipantId, string> {
  const of = (link: Link) => keyed(link.participants, link.me).map(({ id, key }): [ParticipantId, string] => [id, key]);
  return new Map(links.flatMap((link) => (link ? of(link) : [])));
}

export function shown(link: Link, former: Former | null): Pick<ConferenceState, 'people' | 'pictures' | 'speakers' | 'quality' | 'qualities'> {
  const present = keyed(link.participants, link.me);
  const people = former ? withAwaited(present, former.people) : present;
  const keys = keysById(former?.link, link);
  const pictures: Shown[] = link.pictures.flatMap(({ participant, kind, stream, paused }) => {
    const key = keys.get(participant);
    return key === undefined ? [] : [{ key, kind, stream, paused }];
  });
  for (const old of former?.pictures ?? []) {
    const person = people.find((person) => person.key === old.key);
    const covered = pictures.some((picture) => picture.key === old.key && picture.kind === old.kind);
    if (person && !covered && (person.awaited || person[old.kind])) pictures.push(old);
  }
  const speakers = link.speakers.flatMap(({ participant, level }): [string, number][] => {
    const key = keys.get(participant);
    return key === undefined ? [] : [[key, level]];
  });
  const qualities = link.qualities.flatMap(({ participant, quality }): [string, Quality][] => {
    const key = keys.get(participant);
    return key === undefined ? [] : [[key, quality]];
  });
  return {
    people,
    pictures,
    speakers: new Map(speakers),
    quality: worse(link.watch.quality, link.qualities.find(({ participant }) => participant === link.me)?.quality),
    qualities: new Map(qualities),
  };
}
