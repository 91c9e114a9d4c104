//! The waiting room: nothing goes in or out of it.

use crate::{
    sending::Media,
    teacher::{ANNA, BEN, TEACHER, account, of},
    world::{World, claims},
};
use schulhof_media::DropReason;
use schulhof_wire::{
    media::{Order, SourceKind, ToClient, ToNode},
    ticket::{Claims, MediaRole},
};

fn kinds(world: &World, client: usize) -> Vec<String> {
    let name = |message: &ToClient| {
        let text = format!("{message:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    };
    world.told(client).iter().map(name).collect()
}

#[test]
fn who_waits_is_told_nothing_but_that_and_nothing_is_forwarded_either_way() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Lobby { on: true });
    let cem = world.join("cem");
    world.run_ms(200);
    assert!(world.clients[cem].is_connected());
    world.publish(cem, true, true, true);
    world.view(cem, &[(TEACHER, SourceKind::Camera, 720)]);
    world.control(cem, ToNode::Hand { raised: true });
    world.control(cem, ToNode::Unmute);
    world.order(cem, Order::AdmitAll);
    let flows = world.flows();
    assert_eq!(of(&flows, "cem"), [], "nobody gets anything of him");
    assert!(flows.iter().all(|(to, ..)| *to != cem), "he gets nothing");
    assert_eq!(kinds(&world, cem), ["Welcome", "Waiting"]);
    assert_eq!(world.roster(ANNA).len(), 3);
    assert_eq!(world.lobby(TEACHER), Some((vec!["cem".into()], vec![])));
    assert_eq!(world.lobby(ANNA), None);
    assert_eq!(world.dropped(DropReason::NotAllowed), 1);

    world.order(TEACHER, Order::Admit { account: account("cem") });
    assert_eq!(world.lobby(TEACHER), Some((vec![], vec![])));
    assert_eq!(world.person(ANNA, "cem").hand, None, "what he asked for outside is not done");
    let flows = world.flows();
    assert!(of(&flows, "cem").contains(&(ANNA, "voice")), "what he sends needs no new word of his");
    assert!(of(&flows, "teacher").contains(&(cem, "camera")));
}

#[test]
fn admit_all_lets_everybody_in_and_turning_it_off_as_well() {
    for order in [Order::AdmitAll, Order::Lobby { on: false }] {
        let mut world = World::new();
        world.join_as("teacher", MediaRole::Moderator);
        world.run_ms(200);
        world.order(TEACHER, Order::Lobby { on: true });
        for name in ["anna", "ben", "cem"] {
            world.join(name);
        }
        world.run_ms(200);
        assert_eq!(world.roster(TEACHER).len(), 1);
        let waiting = ["anna", "ben", "cem"].map(str::to_owned).to_vec();
        assert_eq!(world.lobby(TEACHER), Some((waiting, vec![])));
        world.order(TEACHER, order);
        assert_eq!(world.roster(TEACHER).len(), 4);
        let ids: Vec<_> = world.roster(ANNA).into_iter().map(|person| person.account.to_string()).collect();
        assert_eq!(ids, ["teacher", "anna", "ben", "cem"]);
    }
}

#[test]
fn who_is_refused_is_sent_away_and_may_ask_again() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Lobby { on: true });
    let cem = world.join("cem");
    world.run_ms(200);
    world.order(TEACHER, Order::Refuse { account: account("cem") });
    assert_eq!(world.closed(cem).as_deref(), Some("refused"));
    let again = world.rejoin("cem", MediaRole::Participant);
    assert_eq!(kinds(&world, again), ["Welcome", "Waiting"]);
    assert_eq!(world.lobby(TEACHER), Some((vec!["cem".into()], vec![])));
}

#[test]
fn who_waits_on_two_devices_is_listed_once_and_waits_on_when_one_of_them_is_closed() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Lobby { on: true });
    let cem = world.join("cem");
    world.run_ms(100);
    let other = Claims { id: "ticket-of-the-phone".into(), ..claims("cem", MediaRole::Participant) };
    let offer = world.clients[cem].offer();
    let phone = world.engine.join(world.now, other, &offer).unwrap().session;
    world.run_ms(100);
    let listed = Some((vec!["cem".to_owned()], vec![]));
    assert_eq!(world.lobby(TEACHER), listed);
    world.engine.leave(world.now, phone, schulhof_media::LeaveReason::Left);
    world.run_ms(100);
    assert_eq!((world.lobby(TEACHER), world.closed(cem)), (listed, None));
    world.order(TEACHER, Order::Admit { account: account("cem") });
    assert_eq!(world.roster(cem).len(), 4);
}

#[test]
fn who_was_in_the_room_or_let_in_once_comes_back_without_waiting() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Lobby { on: true });
    world.join("cem");
    world.run_ms(200);
    world.order(TEACHER, Order::AdmitAll);
    for name in ["anna", "cem"] {
        let again = world.rejoin(name, MediaRole::Participant);
        assert!(!world.roster(again).is_empty(), "{name} is in");
    }
    let other = world.rejoin("second-teacher", MediaRole::Moderator);
    assert!(!world.roster(other).is_empty(), "moderators do not wait");
}

#[test]
fn those_who_wait_count_for_the_room_s_places_and_leave_without_a_trace() {
    let mut world = World::lesson();
    world.order(TEACHER, Order::Lobby { on: true });
    let cem = world.join("cem");
    world.run_ms(100);
    assert_eq!(world.engine.stats().participants, 4);
    let session = world.clients[cem].session();
    world.engine.leave(world.now, session, schulhof_media::LeaveReason::Left);
    world.run_ms(100);
    assert_eq!(world.lobby(TEACHER), Some((vec![], vec![])));
    world.order(TEACHER, Order::Attendance);
    let listed = world.told(TEACHER).iter().any(|message| {
        matches!(message, ToClient::Attendance { stays } if stays.iter().any(|stay| stay.account == account("cem")))
    });
    assert!(!listed, "he was never in the room");
    world.stream_ms(100, &[(BEN, Media::Voice(100))]);
}
