import type { ConferenceView, Event, MessageView, RoomView } from './types';

/** What the box says on the live stream. */
export type LiveEvent = Event<RoomView, MessageView, ConferenceView>;
