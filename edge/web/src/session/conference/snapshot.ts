/** The page's read-only view of its own call, for tests and support. */
import type { Link } from './link';
import type { ConferenceState, Snapshot } from './types';

const LOSSES_KEPT = 8;

/** What has been, over all connections. */
export class Past {
  joins = 0;
  losses: readonly string[] = [];

  lost(link: Link, reason: string): void {
    this.losses = [...this.losses, `${link.node.name}: ${reason}`].slice(-LOSSES_KEPT);
  }
}

export function snapshot({ phase, node, people }: ConferenceState, link: Link | null, standby: string | null, past: Past): Snapshot {
  const reading = link?.watch.reading ?? null;
  return {
    phase: phase.at,
    node: node?.name ?? null,
    nodeKind: node?.kind ?? null,
    standby,
    connection: link?.connection ?? 'none',
    joins: past.joins,
    losses: past.losses,
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
