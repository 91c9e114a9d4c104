/** What moderators have decided for all, over a change of the node. */
import type { MediaRole, Order, Rules, SourceKind } from '../../protocol';

/**
 * The orders that bring a node which does not know the room yet to what held at the former one. Only what protects: a
 * lock that another moderator has opened meanwhile is opened once more by hand, pupils' cameras never by accident.
 */
export function missing(before: Rules, now: Rules): Order[] {
  const orders: Order[] = [];
  if (before.lobby && !now.lobby) orders.push({ type: 'lobby', on: true });
  const locks = { microphone: 'microphone_locked', camera: 'camera_locked', screen: 'screen_locked' } as const;
  for (const kind of Object.keys(locks) as SourceKind[]) {
    if (before[locks[kind]] && !now[locks[kind]]) orders.push({ type: 'lock', kind, on: true });
  }
  if (before.cameras_to_moderators && !now.cameras_to_moderators) orders.push({ type: 'cameras_to_moderators', on: true });
  return orders;
}

/** What held at the former node, if one has led there, until the present one has told what it knows. */
export class HeldRules {
  private held: { node: string; rules: Rules } | null = null;

  keep(node: string, rules: Rules): void {
    this.held = { node, rules };
  }

  /** As soon as one knows one's role there. */
  missing(node: string, rules: Rules, role: MediaRole): Order[] {
    const { held } = this;
    this.held = null;
    return held && role === 'moderator' && held.node !== node ? missing(held.rules, rules) : [];
  }
}
