use super::{Town, id};
use crate::{
    Actor, Applied, Body, Envelope, Outcome, Position, Reject, apply, apply_encoded, apply_unknown, check, view,
};
use schulhof_wire::{LogIndex, Seq};

fn post() -> Body {
    Body::post(id("5a"), "hi")
}

#[test]
fn an_operation_counts_once_and_none_is_skipped() {
    let mut town = Town::new();
    let op = town.op("anna", post());
    assert!(matches!(town.apply(&op), Applied::Entry { outcome: Outcome::Accepted, .. }));
    let state = town.store.clone();
    assert_eq!(town.apply(&op), Applied::Duplicate);
    let mut later = op.clone();
    later.seq = Seq(3);
    assert_eq!(town.apply(&later), Applied::Gap { expected: 2 });
    later.seq = Seq(0);
    assert_eq!(town.apply(&later), Applied::Duplicate);
    assert_eq!(town.store, state);
    assert_eq!(view::device(&town.store, &op.device), Seq(1));
}

#[test]
fn a_rejected_operation_takes_its_number_and_its_place() {
    let mut town = Town::new();
    town.forbidden("carl", post(), Reject::NotAMember);
    assert_eq!(view::device(&town.store, &id("dev-carl")), Seq(1));
    let head = town.head();
    town.ok("carl", Body::post(id("5b"), "hi"));
    assert_eq!(town.head().0, head.0 + 1);
}

#[test]
fn a_stranger_on_a_device_is_rejected_once_and_takes_no_number_of_the_owner() {
    let mut town = Town::new();
    town.post("anna", "5a", "1");
    let mut stranger = town.op("anna", post());
    stranger.actor = Actor::Account(id("ben"));
    assert_eq!(check(&town.store, &stranger), Err(Reject::DeviceOfAnother));
    assert_eq!(town.apply(&stranger), Applied::Gap { expected: 1 });
    stranger.seq = Seq(1);
    let rejected = Applied::Entry { outcome: Outcome::Rejected(Reject::DeviceOfAnother), changes: vec![] };
    assert_eq!(town.apply(&stranger), rejected);
    assert_eq!(town.apply(&stranger), Applied::Duplicate);
    assert_eq!(view::device(&town.store, &stranger.device), Seq(1));
    assert_eq!(view::device_owner(&town.store, &stranger.device), Some(Actor::Account(id("anna"))));
    town.post("anna", "5a", "2");
}

#[test]
fn an_unknown_kind_is_an_entry_too_and_nonsense_is_none() {
    let mut town = Town::new();
    let unknown = br#"{"device":"dev-anna","seq":1,"actor":{"account":"anna"},"at":1,"body":{"type":"poll.create"}}"#;
    let next = Position::Confirmed(LogIndex(town.head().0 + 1));
    let (applied, operation) = apply_encoded(&mut town.store, next, unknown).unwrap();
    assert_eq!(applied, Applied::Entry { outcome: Outcome::Rejected(Reject::UnknownOperation), changes: vec![] });
    assert_eq!(operation, None);
    assert_eq!(view::device(&town.store, &id("dev-anna")), Seq(1));
    let state = town.store.clone();
    let next = Position::Confirmed(LogIndex(town.head().0 + 1));
    assert_eq!(apply_encoded(&mut town.store, next, unknown).unwrap().0, Applied::Duplicate);
    assert!(apply_encoded(&mut town.store, next, b"{}").is_err());
    assert_eq!(town.store, state);
}

#[test]
fn old_and_new_versions_hold_the_same_bytes_after_an_unknown_kind() {
    let town = Town::new();
    let op = town.op("anna", post());
    let next = Position::Confirmed(LogIndex(town.head().0 + 1));
    let (mut old, mut new) = (town.store.clone(), town.store.clone());
    let unknown = String::from_utf8(op.encode()).unwrap().replace("message.post", "message.sing");
    apply_encoded(&mut old, next, unknown.as_bytes()).unwrap();
    let envelope = Envelope { device: op.device.clone(), seq: op.seq, actor: op.actor.clone() };
    apply_unknown(&mut new, next, &envelope);
    assert_eq!(view::state_hash(&old), view::state_hash(&new));
    assert_ne!(view::state_hash(&old), view::state_hash(&town.store));
}

#[test]
#[should_panic(expected = "must follow on the head")]
fn a_place_that_leaves_a_hole_in_the_log_is_not_taken() {
    let mut town = Town::new();
    let op = town.op("anna", post());
    let beyond = Position::Confirmed(LogIndex(town.head().0 + 2));
    apply(&mut town.store, beyond, &op);
}
