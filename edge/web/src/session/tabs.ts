/** What tabs of one browser agree on: who owns the outbox's numbers, that rows changed, and whose session it is. */
import type { Channel, Ownership } from './outbox';

/** Web Locks need a secure context; without them there is no owner, and each tab keeps to itself. */
export function webLocks(): Ownership | undefined {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  if (!locks) return undefined;
  return async (name, signal, whileOwned) => {
    await locks.request(name, { mode: 'exclusive', signal }, whileOwned);
  };
}

export function outboxChannel(account: string): Channel {
  const channel = new BroadcastChannel(`schulhof:outbox:${account}`);
  const wrapped: Channel = {
    post: () => channel.postMessage(null),
    onpost: null,
    close: () => channel.close(),
  };
  channel.onmessage = () => wrapped.onpost?.();
  return wrapped;
}

/** Calls `changed` when another tab signs in or out: the cookie is everybody's, so this tab must not act on as before. */
export function sessionChannel(changed: (account: string | null) => void): { tell(account: string | null): void } {
  const channel = new BroadcastChannel('schulhof:session');
  channel.onmessage = (event: MessageEvent<string | null>) => changed(event.data);
  return { tell: (account) => channel.postMessage(account) };
}
