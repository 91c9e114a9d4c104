//! When a node goes silent, its clients go on at the other one with the same ticket; and when a client changes its
//! address, its session goes on.

use crate::{
    client::Client,
    sending::Media,
    world::{World, engine},
};
use schulhof_wire::{media::SourceKind, ticket::MediaRole};
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
