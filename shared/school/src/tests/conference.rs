use super::{Town, id};
use crate::{Body, Change, Reject, view};

fn open(conference: &str, room: &str) -> Body {
    Body::ConferenceOpen { conference: id(conference), room: id(room), title: "Mathe".into(), expected: None }
}

fn close(conference: &str) -> Body {
    Body::ConferenceClose { conference: id(conference) }
}

#[test]
fn staff_open_conferences_in_rooms_they_are_in() {
    let mut town = Town::new();
    town.ok("tina", open("c1", "5a"));
    town.forbidden("tom", open("c2", "5a"), Reject::NotAMember);
    town.forbidden("anna", open("c2", "5a"), Reject::NotAllowed);
    town.forbidden("tina", open("c1", "5b"), Reject::IdTaken);
    town.forbidden("tina", open("c2", "nowhere"), Reject::UnknownRoom);
    let seen = view::conference(&town.store, &id("anna"), &id("c1")).unwrap();
    assert_eq!((seen.expected, seen.open, seen.may_close), (3, true, false));
    assert_eq!((seen.room_name.as_str(), seen.opened_by_name.as_str()), ("Klasse 5a", "Tina"));
    assert_eq!(view::conference(&town.store, &id("carl"), &id("c1")), Err(Reject::NotAMember));
    assert_eq!(view::conference(&town.store, &id("anna"), &id("c9")), Err(Reject::UnknownConference));
    let room = view::room(&town.store, &id("ben"), &id("5a")).unwrap();
    assert_eq!(room.conferences.len(), 1);
    assert!(!room.may_open_conference);
}

#[test]
fn a_conference_is_closed_by_its_opener_or_staff_of_the_room_and_twice_is_once() {
    let mut town = Town::new();
    town.ok("root", Body::GroupMembers { group: id("5a"), add: vec![id("tom")], remove: vec![] });
    town.ok("tina", open("c1", "5a"));
    town.forbidden("anna", close("c1"), Reject::NotAllowed);
    town.forbidden("root", close("c1"), Reject::NotAllowed);
    let changes = town.ok("tom", close("c1"));
    assert!(changes.contains(&Change::Conference { conference: id("c1") }));
    assert_eq!(town.ok("tina", close("c1")), vec![]);
    assert!(!view::conference(&town.store, &id("anna"), &id("c1")).unwrap().open);
    assert_eq!(view::room(&town.store, &id("anna"), &id("5a")).unwrap().conferences, vec![]);
    town.forbidden("tina", close("c9"), Reject::UnknownConference);
}

#[test]
fn expected_people_and_open_conferences_are_bounded() {
    let mut town = Town::new();
    for expected in [0, 10_001] {
        let body =
            Body::ConferenceOpen { conference: id("c"), room: id("5a"), title: "X".into(), expected: Some(expected) };
        town.forbidden("tina", body, Reject::BadExpected);
    }
    for n in 0..8 {
        town.ok("tina", open(&format!("c{n}"), "5a"));
    }
    town.forbidden("tina", open("c8", "5a"), Reject::TooManyConferences);
    town.ok("tina", close("c0"));
    town.ok("tina", open("c8", "5a"));
}
