//! When a node goes silent, its clients go on at the other one with the same ticket, over a connection that stood by there if
//! they have one; and when a client changes its address, its session goes on.

use crate::{
    client::Client,
    sending::Media,
    teacher::{TEACHER, account},
    world::{World, claims, engine},
};
use schulhof_media::Joined;
use schulhof_wire::{
    media::{Order, SourceKind, ToNode},
    ticket::MediaRole,
};
use std::net::SocketAddr;

#[test]
fn clients_of_a_dead_node_meet_again_at_the_standby() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, true, false);
    world.stream_ms(400, &[(0, Media::Voice(100)), (0, Media::Camera)]);
    let before = world.roster(0);

    // The node is gone; both make a new offer with the old ticket.
    world.engine = engine(world.now, "relay-1");
    world.clients.clear();
    world.told.clear();
    let began = world.now;
    for (i, name) in ["anna", "ben"].into_iter().enumerate() {
        let client = Client::new(world.now, name, SocketAddr::from(([127, 0, 0, 1], 42_000 + i as u16)));
        world.join_with(client, MediaRole::Participant);
    }
    world.publish(0, true, true, false);
    world.view(1, &[(0, SourceKind::Camera, 180)]);
    world.stream_ms(600, &[(0, Media::Voice(100)), (0, Media::Camera)]);
    assert_eq!(world.roster(1), before, "the same people under the same ids");
    let slot = world.video_slot_of(1, 0).unwrap();
    let first = world.clients[1].video[slot].first().expect("pictures").at;
    assert!((first - began).as_millis() <= 200, "{} ms until the first picture", (first - began).as_millis());
}

#[test]
fn media_follows_a_client_to_the_address_that_it_nominates() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, false, true, false);
    world.view(1, &[(0, SourceKind::Camera, 180)]);
    world.stream_ms(400, &[(0, Media::Camera)]);
    let moved = SocketAddr::from(([127, 0, 0, 1], 50_001));
    world.clients[1].move_to(moved);
    world.clients[1].check(world.now, false);
    world.settle();
    world.sink.runs.clear();
    world.stream_ms(40, &[(0, Media::Camera)]);
    assert!(world.sink.runs.iter().all(|(to, _)| *to != moved), "checked, but not nominated");
    let now = world.now;
    world.clients[1].check(now, true);
    world.settle();
    world.sink.runs.clear();
    let before = world.clients[1].video[0].len();
    world.stream_ms(200, &[(0, Media::Camera)]);
    assert!(world.sink.runs.iter().any(|(to, _)| *to == moved));
    assert!(world.clients[1].video[0].len() > before + 3);
}

/// Connects somebody who is at another node.
fn stand_by(world: &mut World, name: &str, role: MediaRole) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], 43_000 + world.clients.len() as u16));
    let mut client = Client::new(world.now, name, address);
    let Joined { session, answer, .. } =
        world.engine.stand_by(world.now, claims(name, role), &client.offer()).expect("there is room");
    client.answered(world.now, session, &answer);
    world.clients.push(client);
    let place = world.clients.len() - 1;
    world.run_ms(200);
    assert!(world.clients[place].is_connected());
    place
}

fn names(world: &World, client: usize) -> Vec<String> {
    world.roster(client).into_iter().map(|person| person.account.to_string()).collect()
}

#[test]
fn who_stands_by_is_seen_by_nobody_sends_and_gets_nothing_and_leaves_no_ghost() {
    let mut world = World::lesson();
    let cem = stand_by(&mut world, "cem", MediaRole::Moderator);
    world.view(cem, &[(TEACHER, SourceKind::Camera, 720)]);
    world.control(cem, ToNode::Hand { raised: true });
    world.order(cem, Order::MuteAll);
    let flows = world.flows();
    assert!(flows.iter().all(|(to, from, _)| *to != cem && from != "cem"));
    assert_eq!(names(&world, TEACHER), ["teacher", "anna", "ben"]);
    assert!(world.roster(TEACHER).iter().all(|person| !person.muted), "nobody leads from outside");
    assert!(world.roster(cem).is_empty());
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.standbys, stats.rooms), (3, 1, 1));
    world.engine.leave(world.now, world.clients[cem].session(), schulhof_media::LeaveReason::Left);
    world.run_ms(100);
    assert_eq!(world.engine.stats().standbys, 0);
    world.order(TEACHER, Order::Attendance);
    assert!(!format!("{:?}", world.told(TEACHER)).contains("cem"));
}

#[test]
fn those_who_stand_by_open_no_room_and_are_kept_for_as_long_as_they_answer() {
    let mut world = World::new();
    let anna = stand_by(&mut world, "anna", MediaRole::Participant);
    world.run_ms(60_000);
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.standbys, stats.rooms), (0, 1, 0));
    assert_eq!(world.closed(anna), None);
}

#[test]
fn clients_of_a_dead_node_who_stood_by_see_each_other_within_100_ms() {
    let mut world = World::new();
    let people = ["anna", "ben", "cem"].map(|name| stand_by(&mut world, name, MediaRole::Participant));
    let began = world.now;
    for client in people {
        world.control(client, ToNode::Activate);
        world.publish(client, true, true, false);
        let others: Vec<_> =
            people.iter().filter(|other| **other != client).map(|other| (*other, SourceKind::Camera, 180)).collect();
        world.view(client, &others);
    }
    // A camera that begins has no picture at once.
    world.run_ms(20);
    let sends = people.map(|client| [(client, Media::Voice(100)), (client, Media::Camera)]).concat();
    world.stream_ms(400, &sends);
    for client in people {
        assert_eq!(names(&world, client), ["anna", "ben", "cem"]);
        for other in people.into_iter().filter(|other| *other != client) {
            let slot = world.video_slot_of(client, other).expect("a slot");
            let first = world.clients[client].video[slot].first().expect("pictures").at;
            assert!((first - began).as_millis() <= 100, "{} ms until the first picture", (first - began).as_millis());
        }
        assert_eq!(world.heard_by(client).len(), 2);
    }
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.standbys, stats.rooms), (3, 0, 1));
    assert_eq!(stats.plis_sent, 0, "the first key frames of all were caught");
    world.control(people[0], ToNode::Activate);
    world.run_ms(100);
    assert_eq!(names(&world, people[1]).len(), 3, "once more does nothing");
}

#[test]
fn who_was_removed_meanwhile_or_comes_after_the_end_is_sent_away() {
    let mut world = World::lesson();
    let address = SocketAddr::from(([127, 0, 0, 1], 44_000));
    let before = world.join_with(Client::new(world.now, "dora", address), MediaRole::Participant);
    world.run_ms(200);
    world.engine.leave(world.now, world.clients[before].session(), schulhof_media::LeaveReason::Left);
    let dora = stand_by(&mut world, "dora", MediaRole::Participant);
    let cem = stand_by(&mut world, "cem", MediaRole::Participant);
    world.order(TEACHER, Order::Remove { account: account("dora") });
    world.control(dora, ToNode::Activate);
    world.run_ms(100);
    assert_eq!(world.closed(dora).as_deref(), Some("removed"));
    world.order(TEACHER, Order::End);
    world.control(cem, ToNode::Activate);
    world.run_ms(100);
    assert_eq!(world.closed(cem).as_deref(), Some("room-closed"));
    assert_eq!(world.engine.stats().standbys, 0);
}
