/**
 * What goes over the wire, and how: message types (made from the Rust sources), HTTP, the live stream of the box, and
 * the two doors of a media node. Nothing here knows a component, a page or a store.
 * Specification: shared/wire/PROTOCOL.md.
 */
import type * as raw from './types';

export type * from './types';
export { BoxClient, ProblemError, Unreachable, isUnreachable } from './http';
export { EventStream, type Link, type SocketLike } from './events';
export { MediaNodeClient, type Control, type ControlHandlers } from './node';

/** The generic messages of the wire with the school's types put in. */
export type LiveEvent = raw.Event<raw.RoomView, raw.MessageView, raw.ConferenceView>;
export type Submission = raw.SubmitRequest<raw.Body>;
export type SubmittedOperation = raw.Submitted<raw.Body>;
export type MessagePage = raw.Page<raw.MessageView>;

/** `api::SUBMIT_OPERATIONS_MAX` */
export const SUBMIT_OPERATIONS_MAX = 200;
/** `op::MESSAGE_LEN_MAX`, in bytes of UTF-8 */
export const MESSAGE_LEN_MAX = 16 * 1024;
/** `op::NAME_LEN_MAX`, in characters */
export const NAME_LEN_MAX = 120;
/** `live::Command::Ping`: a heartbeat this often. */
export const HEARTBEAT_MS = 10_000;
/** `Hlc::COUNTER_BITS` */
const HLC_COUNTER = 2 ** 10;

/** Milliseconds since 1970 of a hybrid clock reading. */
export function hlcMs(at: raw.Hlc): number {
  return Math.floor(at / HLC_COUNTER);
}

/** The next reading: at least `nowMs`, and later than `last`. */
export function hlcTick(last: raw.Hlc, nowMs: number): raw.Hlc {
  return Math.max(Math.floor(nowMs) * HLC_COUNTER, last + 1);
}
