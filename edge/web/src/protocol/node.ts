/** A media node (box or relay): one join by HTTP, then the control channel. The ticket is the only authority there. */
import { requestJson, type Fetch } from './http';
import type { JoinAnswer, JoinRequest, ToClient, ToNode } from './types';

/** The node answers a join in milliseconds; a browser that waits longer had better try the other node. */
const JOIN_TIMEOUT_MS = 4_000;
/** `wire::media`: a ping at least every 2 s. Twice as often, so that a hung node shows within 2 s. */
const PING_EVERY_MS = 1_000;

export interface ControlHandlers {
  onMessage: (message: ToClient) => void;
  /** Once. Not called after `close()`. */
  onClose: () => void;
}

export interface Control {
  send(message: ToNode): void;
  /** When the node was last heard, in `performance.now()` milliseconds. */
  heardAt(): number;
  close(): void;
}

export class MediaNodeClient {
  constructor(private readonly fetch: Fetch = (input, init) => globalThis.fetch(input, init)) {}

  join(url: string, request: JoinRequest, signal: AbortSignal): Promise<JoinAnswer> {
    return requestJson<JoinAnswer>(this.fetch, `${url}/media/join`, {
      method: 'POST',
      body: request,
      credentials: 'omit',
      timeoutMs: JOIN_TIMEOUT_MS,
      signal,
    });
  }

  control(url: string, session: string, handlers: ControlHandlers): Control {
    const address = new URL(`${url}/media/control/${session}`);
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(address);
    /** What is said before the socket is open. A handful: each kind is said at most once by then. */
    let waiting: ToNode[] | null = [];
    let heardAt = performance.now();
    let pings = 0;
    const send = (message: ToNode) => {
      if (waiting) waiting.push(message);
      else if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    };
    const timer = setInterval(() => {
      if (!waiting) send({ type: 'ping', n: (pings += 1) });
    }, PING_EVERY_MS);
    socket.onopen = () => {
      const queue = waiting ?? [];
      waiting = null;
      queue.forEach(send);
    };
    socket.onmessage = (event) => {
      heardAt = performance.now();
      let message: ToClient;
      try {
        message = JSON.parse(String(event.data)) as ToClient;
      } catch {
        return;
      }
      handlers.onMessage(message);
    };
    socket.onclose = () => {
      clearInterval(timer);
      handlers.onClose();
    };
    return {
      send,
      heardAt: () => heardAt,
      close: () => {
        clearInterval(timer);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      },
    };
  }
}
