//! Events for one viewer: from a delivery, and from the log for who was away.
//!
//! `head` in an event promises: whoever resumes after it misses nothing. So every event carries the index before its entry,
//! and only the last event of an entry (or of a delivery) carries the new one.

use super::Delivery;
use crate::store::{Snapshot, StoredEntry};
use schulhof_school::{
    Body, Change, Envelope, Operation, Position,
    op::Actor,
    view::{self, ConferenceView, MessageView, RoomView},
};
use schulhof_wire::{AccountId, DeviceId, LogIndex, RoomId, live::Event, node::Entry};
use std::collections::BTreeSet;

/// What goes to browsers.
pub type LiveEvent = Event<RoomView, MessageView, ConferenceView>;

/// For whom is rendered.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub account: AccountId,
    pub device: Option<DeviceId>,
}

/// Waiting messages that are told to who connects; a page shows as many.
const PENDING_TOLD_MAX: usize = 2_000;

/// An event as text.
pub fn text(event: &LiveEvent) -> String {
    serde_json::to_string(event).expect("an event is always valid JSON")
}

/// What a delivery tells a viewer who has everything up to `position`. Gives the new position.
pub fn deliver(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    delivery: &Delivery,
    position: LogIndex,
) -> (Vec<LiveEvent>, LogIndex) {
    let notice = &delivery.notice;
    let own = |device: &DeviceId| viewer.device.as_ref() == Some(device);
    let mut events = Vec::new();
    let mut rooms = BTreeSet::new();
    let account = Actor::Account(viewer.account.clone());
    for rejected in notice.rejected.iter().filter(|rejected| own(&rejected.device) && rejected.actor == account) {
        events.push(Event::Rejected { seq: rejected.seq, reason: rejected.reason.clone() });
    }
    for changed in delivery.changes_for(&viewer.account) {
        if changed.index.is_none_or(|index| index > position) {
            change(snapshot, viewer, &changed.change, position, &mut events, &mut rooms);
        }
    }
    room_events(snapshot, viewer, &rooms, position, &mut events);
    let after = position.max(notice.head);
    set_last_head(&mut events, after);
    let marks = notice.marks.iter().filter(|marks| own(&marks.device));
    events.extend(marks.map(|marks| Event::Marks { marks: marks.clone() }));
    if let Some(online) = notice.core_online {
        events.push(Event::Core { online });
    }
    (events, after)
}

/// What confirmed entries after `after` tell a viewer, entry by entry; rooms once, before all.
pub fn resume(snapshot: &Snapshot<'_>, viewer: &Viewer, after: LogIndex, entries: &[StoredEntry]) -> Vec<LiveEvent> {
    let mut rooms = BTreeSet::new();
    let mut told = Vec::new();
    let mut before = after;
    for stored in entries {
        let mut events = Vec::new();
        for one in stored.changes() {
            change(snapshot, viewer, &one, before, &mut events, &mut rooms);
        }
        events.extend(rejected(viewer, &stored.entry));
        before = stored.entry.index;
        set_last_head(&mut events, before);
        told.extend(events);
    }
    let mut events = Vec::new();
    room_events(snapshot, viewer, &rooms, after, &mut events);
    events.extend(told);
    events
}

/// That the viewer wrote what has its place and no effect.
pub fn rejected(viewer: &Viewer, entry: &Entry) -> Option<LiveEvent> {
    let (reason, device) = (entry.rejected.clone()?, viewer.device.as_ref()?);
    let envelope = Envelope::decode(&entry.operation.0).ok()?;
    let own = envelope.device == *device && envelope.actor == Actor::Account(viewer.account.clone());
    own.then_some(Event::Rejected { seq: envelope.seq, reason })
}

/// What waits in the outbox and the viewer may see.
pub fn pending(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    position: LogIndex,
    outbox: &[(u64, Operation)],
) -> Vec<LiveEvent> {
    let mut rooms = BTreeSet::new();
    let mut messages = Vec::new();
    for (at, op) in outbox {
        match &op.body {
            Body::MessagePost { room, .. } if messages.len() < PENDING_TOLD_MAX => {
                let at = Position::Pending(*at);
                if let Some(message) = view::message_at(&snapshot.kv(), &viewer.account, room, at) {
                    messages.push(Event::Message { head: position, message });
                }
            }
            Body::RoomCreate { room, .. } | Body::RoomMembers { room, .. } | Body::ConferenceOpen { room, .. } => {
                rooms.insert(room.clone());
            }
            Body::GroupCreate { group, .. } | Body::GroupMembers { group, .. } => {
                rooms.extend(RoomId::new(group.as_str()));
            }
            Body::RoomDirect { with } => {
                if let Actor::Account(actor) = &op.actor {
                    rooms.insert(view::direct_room_id(actor, with));
                }
            }
            _ => {}
        }
    }
    let mut events = Vec::new();
    room_events(snapshot, viewer, &rooms, position, &mut events);
    events.extend(messages);
    events
}

fn change(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    change: &Change,
    head: LogIndex,
    events: &mut Vec<LiveEvent>,
    rooms: &mut BTreeSet<RoomId>,
) {
    let kv = snapshot.kv();
    match change {
        Change::Message { room, position } => {
            // Gone in the meantime: a later delivery tells where to.
            if let Some(message) = view::message_at(&kv, &viewer.account, room, *position) {
                events.push(Event::Message { head, message });
                rooms.insert(room.clone());
            }
        }
        Change::Room { room } => {
            rooms.insert(room.clone());
        }
        Change::RoomGone { room, account } => {
            // Perhaps the account is a member again by now.
            if *account == viewer.account && view::room(&kv, account, room).is_err() {
                rooms.remove(room);
                events.push(Event::RoomGone { head, room: room.clone() });
            }
        }
        Change::Read { room, account, upto } => {
            if view::audience(&kv, change).contains(&viewer.account) {
                events.push(Event::Read { head, room: room.clone(), account: account.clone(), upto: *upto });
            }
            if *account == viewer.account {
                rooms.insert(room.clone());
            }
        }
        Change::Conference { conference } => {
            if let Ok(conference) = view::conference(&kv, &viewer.account, conference) {
                events.push(Event::Conference { head, conference });
            }
        }
        Change::Account { .. } => {}
        Change::Substituted { account, days } => {
            if *account == viewer.account {
                events.push(Event::Substituted { head, days: days.clone() });
            }
        }
        // Once is enough: the page asks anew.
        Change::Timetable => {
            if !events.iter().any(|event| matches!(event, Event::Timetable { .. })) {
                events.push(Event::Timetable { head });
            }
        }
        Change::Exams => {
            if !events.iter().any(|event| matches!(event, Event::Exams { .. })) {
                events.push(Event::Exams { head });
            }
        }
    }
}

fn room_events(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    rooms: &BTreeSet<RoomId>,
    head: LogIndex,
    events: &mut Vec<LiveEvent>,
) {
    let visible = rooms.iter().filter_map(|room| view::room(&snapshot.kv(), &viewer.account, room).ok());
    events.extend(visible.map(|room| Event::Room { head, room }));
}

fn set_last_head(events: &mut [LiveEvent], new: LogIndex) {
    let with_head = events.iter_mut().rev().find_map(|event| match event {
        Event::Message { head, .. }
        | Event::Room { head, .. }
        | Event::RoomGone { head, .. }
        | Event::Read { head, .. }
        | Event::Conference { head, .. }
        | Event::Timetable { head }
        | Event::Exams { head }
        | Event::Substituted { head, .. } => Some(head),
        _ => None,
    });
    if let Some(head) = with_head {
        *head = new;
    }
}
