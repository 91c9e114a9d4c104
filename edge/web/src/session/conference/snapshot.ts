/** The page's read-only view of its own call, for tests and support. */
import type { Link } from './link';
import type { ConferenceState, Snapshot } from './types';

export function snapshot({ phase, node, people }: ConferenceState, link: Link | null, standby: string | null, joins: number): Snapshot {
  const reading = link?.watch.reading ?? null;
  return {
    phase: phase.at,
    node: node?.name ?? null,
    nodeKind: node?.kind ?? null,
    standby,
    connection: link?.connection ?? 'none',
    joins,
    participants: people
      .filter((person) => !person.awaited)
      .map(({ id, name, me, microphone, camera, screen, hand }) => {
        const { perSecond, decoded } = link?.frames(id) ?? { perSecond: 0, decoded: 0 };
        return { id, name, me, microphone, camera, screen, hand: hand !== null, framesPerSecond: perSecond, framesDecoded: decoded };
      }),
    audioEnergy: reading?.media.reduce((sum, stat) => sum + stat.audioEnergy, 0) ?? 0,
    bytesReceived: reading?.bytesReceived ?? 0,
    roundTripMs: reading?.roundTripMs ?? null,
  };
}
