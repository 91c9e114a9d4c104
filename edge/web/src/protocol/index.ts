/**
 * What goes over the wire, and how: message types (made from the Rust sources), HTTP, the live stream of the box, and
 * the two doors of a media node. Nothing here knows a component, a page or a store.
 * Specification: shared/wire/PROTOCOL.md.
 */
import type * as raw from './types';

export type * from './types';
export * from './clock';
export * from './limits';
export { BoxClient, ProblemError, Unreachable, isUnreachable } from './http';
export { EventStream, browserSocket, type Link, type SocketLike } from './events';
export { MediaNodeClient, type Control, type ControlHandlers } from './node';

export type { LiveEvent } from './live';

/** The generic messages of the wire with the school's types put in. */
export type Submission = raw.SubmitRequest<raw.Body>;
export type SubmittedOperation = raw.Submitted<raw.Body>;
export type MessagePage = raw.Page<raw.MessageView>;
