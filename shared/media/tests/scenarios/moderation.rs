//! What moderators decide holds at the node, whatever a page shows or sends; what others order is not done.

use crate::{
    teacher::{ANNA, BEN, TEACHER, account, of},
    world::{World, claims},
};
use schulhof_media::{DropReason, JoinError};
use schulhof_wire::{
    media::{Order, SourceKind, ToClient, ToNode},
    ticket::MediaRole,
};

const EVERYTHING: [(usize, &str); 6] =
    [(TEACHER, "camera"), (TEACHER, "screen"), (TEACHER, "voice"), (BEN, "camera"), (BEN, "screen"), (BEN, "voice")];

fn without(kind: &str) -> Vec<(usize, &'static str)> {
    EVERYTHING.into_iter().filter(|(_, known)| *known != kind).collect()
}

#[test]
fn in_an_open_room_everybody_is_heard_and_seen() {
    let mut world = World::lesson();
    assert_eq!(of(&world.flows(), "anna"), EVERYTHING);
    assert!(world.rules(ANNA) == world.rules(TEACHER) && !world.rules(ANNA).lobby);
}

#[test]
fn a_muted_person_is_not_forwarded_even_if_he_sends_until_he_takes_it_back() {
    let mut world = World::lesson();
    world.flows();
    world.order(TEACHER, Order::Mute { account: account("anna") });
    let anna = world.person(BEN, "anna");
    assert!(anna.muted && !anna.microphone && anna.may.microphone);
    world.publish(ANNA, true, true, true);
    assert_eq!(of(&world.flows(), "anna"), without("voice"), "saying once more that one sends is not enough");
    world.control(ANNA, ToNode::Unmute);
    world.run_ms(100);
    assert!(world.person(BEN, "anna").microphone);
    assert_eq!(of(&world.flows(), "anna"), EVERYTHING);
}

#[test]
fn mute_all_spares_the_moderators_and_a_lock_forbids_unmuting() {
    let mut world = World::lesson();
    world.flows();
    world.order(TEACHER, Order::MuteAll);
    world.order(TEACHER, Order::Lock { kind: SourceKind::Microphone, on: true });
    for pupil in [ANNA, BEN] {
        world.control(pupil, ToNode::Unmute);
        world.publish(pupil, true, true, true);
    }
    let flows = world.flows();
    assert_eq!(of(&flows, "anna"), without("voice"));
    assert!(of(&flows, "teacher").contains(&(ANNA, "voice")));
    assert_eq!(world.dropped(DropReason::NotAllowed), 2);

    // One may speak in spite of it, and then only he.
    world.order(TEACHER, Order::Allow { account: account("anna"), kind: SourceKind::Microphone, on: true });
    world.control(ANNA, ToNode::Unmute);
    world.run_ms(50);
    let flows = world.flows();
    assert_eq!(of(&flows, "anna"), EVERYTHING);
    assert!(!of(&flows, "ben").contains(&(TEACHER, "voice")));

    // Unlocked, the others may take it back themselves, but are not put on by that.
    world.order(TEACHER, Order::Lock { kind: SourceKind::Microphone, on: false });
    assert!(!of(&world.flows(), "ben").contains(&(TEACHER, "voice")));
    world.control(BEN, ToNode::Unmute);
    world.run_ms(50);
    assert!(of(&world.flows(), "ben").contains(&(TEACHER, "voice")));
}

#[test]
fn locked_cameras_and_screens_of_pupils_are_not_forwarded_and_come_back_by_themselves() {
    for (kind, name) in [(SourceKind::Camera, "camera"), (SourceKind::Screen, "screen")] {
        let mut world = World::lesson();
        assert_eq!(of(&world.flows(), "anna"), EVERYTHING);
        world.order(TEACHER, Order::Lock { kind, on: true });
        let flows = world.flows();
        assert_eq!(of(&flows, "anna"), without(name));
        assert!(of(&flows, "teacher").contains(&(ANNA, name)), "a moderator's goes on");
        assert!(!world.person(BEN, "anna").may.camera || kind == SourceKind::Screen);
        world.order(TEACHER, Order::Lock { kind, on: false });
        assert_eq!(of(&world.flows(), "anna"), EVERYTHING);
    }
}

#[test]
fn with_cameras_to_the_teacher_only_no_pupil_gets_another_pupil_s_camera_whatever_he_asks_for() {
    let mut world = World::lesson();
    world.flows();
    world.order(TEACHER, Order::CamerasToModerators { on: true });
    world.view(BEN, &[(ANNA, SourceKind::Camera, 720), (TEACHER, SourceKind::Camera, 180)]);
    world.run_ms(100);
    let flows = world.flows();
    assert_eq!(
        of(&flows, "anna"),
        [(TEACHER, "camera"), (TEACHER, "screen"), (TEACHER, "voice"), (BEN, "voice")],
        "Ben asks for no screen any more"
    );
    assert!(of(&flows, "teacher").contains(&(BEN, "camera")));
    assert_eq!(world.video_slot_of(BEN, ANNA), None);
    world.order(TEACHER, Order::CamerasToModerators { on: false });
    assert!(of(&world.flows(), "anna").contains(&(BEN, "camera")));
}

#[test]
fn hands_have_places_in_the_order_of_being_raised_and_moderators_lower_them() {
    let mut world = World::lesson();
    let places = |world: &World| ["teacher", "anna", "ben"].map(|name| world.person(TEACHER, name).hand);
    for pupil in [BEN, ANNA] {
        world.control(pupil, ToNode::Hand { raised: true });
        world.run_ms(100);
    }
    world.control(BEN, ToNode::Hand { raised: true });
    world.run_ms(100);
    assert_eq!(places(&world), [None, Some(2), Some(1)], "raising it again loses no place");
    world.order(ANNA, Order::LowerHand { account: account("ben") });
    assert_eq!(places(&world), [None, Some(2), Some(1)], "a pupil cannot");
    world.order(TEACHER, Order::LowerHand { account: account("ben") });
    assert_eq!(places(&world), [None, Some(1), None]);
    world.control(BEN, ToNode::Hand { raised: true });
    world.run_ms(100);
    assert_eq!(places(&world), [None, Some(1), Some(2)], "now at the end");
    world.order(TEACHER, Order::LowerHands);
    assert_eq!(places(&world), [None, None, None]);
}

#[test]
fn everybody_is_told_the_spotlight_and_gets_that_picture_first() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Spotlight { account: Some(account("ben")) });
    assert_eq!(world.rules(ANNA).spotlight, Some(account("ben")));
    world.order(TEACHER, Order::Spotlight { account: Some(account("nobody")) });
    assert_eq!(world.rules(ANNA).spotlight, Some(account("ben")), "nobody of that name was ever here");
    world.order(TEACHER, Order::Spotlight { account: None });
    assert_eq!(world.rules(ANNA).spotlight, None);
}

#[test]
fn orders_of_pupils_change_nothing_and_are_counted() {
    let mut world = World::lesson();
    let before = (world.rules(TEACHER), world.roster(TEACHER));
    let ben = || account("ben");
    let orders = [
        Order::Lobby { on: true },
        Order::Admit { account: ben() },
        Order::AdmitAll,
        Order::Refuse { account: ben() },
        Order::Mute { account: ben() },
        Order::MuteAll,
        Order::Lock { kind: SourceKind::Camera, on: true },
        Order::Allow { account: account("anna"), kind: SourceKind::Camera, on: true },
        Order::CamerasToModerators { on: true },
        Order::LowerHand { account: ben() },
        Order::LowerHands,
        Order::Spotlight { account: Some(account("anna")) },
        Order::Role { account: account("anna"), role: MediaRole::Moderator },
        Order::Role { account: account("teacher"), role: MediaRole::Participant },
        Order::HandOver { account: account("anna") },
        Order::Remove { account: ben() },
        Order::Unblock { account: ben() },
        Order::End,
        Order::Attendance,
    ];
    let count = orders.len() as u64;
    for order in orders {
        world.order(ANNA, order);
    }
    assert_eq!(world.dropped(DropReason::NotAllowed), count);
    assert_eq!((world.rules(TEACHER), world.roster(TEACHER)), before);
    assert!(!world.told(ANNA).iter().any(|m| matches!(m, ToClient::Attendance { .. } | ToClient::Lobby { .. })));
    assert_eq!(of(&world.flows(), "ben").len(), 6);
}

#[test]
fn the_role_is_shared_handed_over_and_taken_back() {
    let mut world = World::lesson();
    let role = |world: &World, name| world.person(TEACHER, name).role;
    let moderator = |name| Order::Role { account: account(name), role: MediaRole::Moderator };
    let participant = |name| Order::Role { account: account(name), role: MediaRole::Participant };
    world.order(TEACHER, moderator("anna"));
    assert_eq!(role(&world, "anna"), MediaRole::Moderator);
    world.order(ANNA, Order::Mute { account: account("ben") });
    assert!(world.person(TEACHER, "ben").muted);
    world.order(ANNA, participant("teacher"));
    assert_eq!(role(&world, "teacher"), MediaRole::Moderator, "not from whose ticket it is");
    world.order(ANNA, Order::Remove { account: account("teacher") });
    world.order(ANNA, Order::End);
    assert_eq!((world.closed(TEACHER), world.closed(BEN)), (None, None));
    world.order(TEACHER, participant("anna"));
    assert_eq!(role(&world, "anna"), MediaRole::Participant);

    world.order(TEACHER, Order::HandOver { account: account("ben") });
    assert_eq!((role(&world, "teacher"), role(&world, "ben")), (MediaRole::Participant, MediaRole::Moderator));
    world.order(TEACHER, Order::MuteAll);
    assert!(!world.person(BEN, "anna").muted, "he has given it up");
    world.order(TEACHER, moderator("teacher"));
    assert_eq!(role(&world, "teacher"), MediaRole::Moderator, "and may always take it again");
}

#[test]
fn who_is_removed_cannot_come_back_with_any_ticket_until_he_is_unblocked() {
    let mut world = World::lesson();
    world.control(ANNA, ToNode::Hand { raised: true });
    world.order(TEACHER, Order::Remove { account: account("anna") });
    assert_eq!(world.closed(ANNA).as_deref(), Some("removed"));
    assert_eq!(world.roster(TEACHER).len(), 2);
    assert_eq!(world.lobby(TEACHER), Some((vec![], vec!["anna".into()])));
    assert_eq!(world.lobby(BEN), None, "pupils are not told");
    let offer = world.clients[ANNA].offer();
    for id in ["ticket-anna", "ticket-fresh"] {
        let mut claims = claims("anna", MediaRole::Participant);
        claims.id = id.into();
        assert_eq!(world.engine.join(world.now, claims, &offer).map(|_| ()), Err(JoinError::Blocked));
    }
    world.order(TEACHER, Order::Unblock { account: account("anna") });
    let again = world.rejoin("anna", MediaRole::Participant);
    assert!(world.clients[again].is_connected());
    assert_eq!(world.person(TEACHER, "anna").hand, None);
}

#[test]
fn the_end_for_all_is_the_end_also_for_those_who_still_hold_a_ticket() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::End);
    for client in [TEACHER, ANNA, BEN] {
        assert_eq!(world.closed(client).as_deref(), Some("room-closed"));
    }
    assert_eq!((world.engine.stats().participants, world.engine.stats().rooms), (0, 0));
    let offer = world.clients[ANNA].offer();
    let claims = claims("anna", MediaRole::Participant);
    assert_eq!(world.engine.join(world.now, claims, &offer).map(|_| ()), Err(JoinError::Ended));
}

#[test]
fn who_comes_back_finds_mute_hand_role_and_place_again() {
    let mut world = World::lesson();
    world.control(BEN, ToNode::Hand { raised: true });
    world.run_ms(100);
    world.control(ANNA, ToNode::Hand { raised: true });
    world.order(TEACHER, Order::Mute { account: account("anna") });
    world.order(TEACHER, Order::Role { account: account("anna"), role: MediaRole::Moderator });
    let before = world.roster(TEACHER);
    let again = world.rejoin("anna", MediaRole::Participant);
    assert_eq!(world.closed(ANNA).as_deref(), Some("replaced"));
    world.publish(again, true, true, true);
    world.run_ms(100);
    assert_eq!(world.roster(TEACHER), before);
    let anna = world.person(again, "anna");
    assert_eq!((anna.muted, anna.hand, anna.role), (true, Some(2), MediaRole::Moderator));
    assert!(!of(&world.flows(), "anna").contains(&(TEACHER, "voice")));

    // Also when everybody was away for a while.
    for client in [TEACHER, again, BEN] {
        let session = world.clients[client].session();
        world.engine.leave(world.now, session, schulhof_media::LeaveReason::Left);
    }
    world.run_ms(2_000);
    assert_eq!(world.engine.stats().rooms, 0);
    let again = world.rejoin("anna", MediaRole::Participant);
    let anna = world.person(again, "anna");
    assert_eq!((anna.muted, anna.hand, anna.role), (true, Some(1), MediaRole::Moderator));
}

#[test]
fn the_attendance_list_says_who_was_there_from_when_to_when() {
    let mut world = World::lesson();
    world.run_ms(1_000);
    world.engine.leave(world.now, world.clients[ANNA].session(), schulhof_media::LeaveReason::Left);
    world.run_ms(1_000);
    world.order(TEACHER, Order::Attendance);
    let told = world.told(TEACHER).iter().rev();
    let stays = told.clone().find_map(|m| if let ToClient::Attendance { stays } = m { Some(stays) } else { None });
    let rows: Vec<_> = stays
        .unwrap()
        .iter()
        .map(|stay| (stay.account.as_str(), stay.from_ms, stay.to_ms.map(|to| to - stay.from_ms)))
        .collect();
    assert_eq!(rows, [("anna", 0, Some(1_300)), ("ben", 0, None), ("teacher", 0, None)]);
}
