//! Joining, being listed, leaving, and being let go.

use crate::{
    client::Client,
    world::{World, claims, instant},
};
use schulhof_media::{Config, DropReason, Engine, JoinError, LeaveReason};
use schulhof_wire::{
    id::NodeName,
    media::{ToClient, ToNode},
    ticket::{MediaRole, NodeKind},
};
use std::net::SocketAddr;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn everybody_is_welcomed_and_listed_in_the_order_of_joining() {
    let mut world = World::with(&["anna", "ben"]);
    assert!(matches!(&world.told(0)[0], ToClient::Welcome { you, .. } if *you == world.clients[0].id()));
    world.publish(1, true, false, true);
    world.control(1, ToNode::Hand { raised: true });
    world.run_ms(200);
    let roster = world.roster(0);
    let ids: Vec<_> = roster.iter().map(|participant| participant.id.0.as_str()).collect();
    assert_eq!(ids, ["ticket-anna", "ticket-ben"]);
    assert_eq!((roster[0].microphone, roster[0].hand), (false, None));
    let ben = &roster[1];
    assert_eq!((ben.microphone, ben.camera, ben.screen, ben.hand), (true, false, true, Some(1)));
    assert_eq!(ben.name, "BEN");

    world.engine.leave(world.now, world.clients[1].session(), LeaveReason::Left);
    world.run_ms(200);
    assert_eq!(world.roster(0).len(), 1);
    assert_eq!(world.closed(1), None, "who leaves need not be told");
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.rooms, stats.joins, stats.handshakes), (1, 1, 2, 2));
    world.engine.close_all(world.now, LeaveReason::Draining);
    world.settle();
    assert_eq!(world.closed(0).as_deref(), Some("draining"));
    assert_eq!((world.engine.stats().participants, world.engine.stats().rooms), (0, 0));
    assert_eq!(world.engine.poll_timeout(), None, "an empty engine sleeps");
}

#[test]
fn the_same_ticket_again_replaces_the_earlier_connection() {
    let mut world = World::with(&["anna", "ben"]);
    let again = Client::new(world.now, "anna", address(41_000));
    world.join_with(again, MediaRole::Participant);
    world.run_ms(300);
    assert_eq!(world.closed(0).as_deref(), Some("replaced"));
    assert!(world.clients[2].is_connected());
    assert_eq!(world.engine.stats().participants, 2);
    assert!(!world.engine.contains(world.clients[0].session()));
    assert!(world.engine.contains(world.clients[2].session()));
}

#[test]
fn a_full_room_or_node_and_unusable_claims_are_refused() {
    let now = instant();
    let name = NodeName::new("nord").unwrap();
    let mut config = Config::new(name, NodeKind::Box, vec![address(1)], [1; 32]);
    config.room_participants_max = 2;
    config.sessions_max = 3;
    let mut engine = Engine::new(config, now).unwrap();
    let offer = Client::new(now, "x", address(2)).offer();
    let mut join = |name: &str, room: &str| {
        let mut claims = claims(name, MediaRole::Participant);
        claims.room = schulhof_wire::ConferenceId::new(room).unwrap();
        engine.join(now, claims, &offer).map(|_| ())
    };
    assert_eq!(join("a", "math"), Ok(()));
    assert_eq!(join("b", "math"), Ok(()));
    assert_eq!(join("c", "math"), Err(JoinError::RoomFull));
    assert_eq!(join("b", "math"), Ok(()), "the same ticket takes its own place");
    assert_eq!(join("c", "art"), Ok(()));
    assert_eq!(join("d", "music"), Err(JoinError::NodeFull));
    assert!(matches!(engine.join(now, claims("e", MediaRole::Moderator), "v=0"), Err(JoinError::Offer(_))));
    let mut nameless = claims("f", MediaRole::Participant);
    nameless.id.clear();
    assert!(matches!(engine.join(now, nameless, &offer), Err(JoinError::Claims(_))));
}

#[test]
fn a_handshake_survives_losses_and_one_that_never_comes_ends_the_session() {
    let mut world = World::new();
    world.losses.up = 15;
    world.losses.down = 15;
    for name in ["anna", "ben", "cem", "dora"] {
        world.join(name);
    }
    world.run_ms(8_000);
    assert!(world.clients.iter().all(Client::is_connected));

    world.losses.up = 100;
    let silent = world.join("emil");
    world.run_ms(15_100);
    assert_eq!(world.closed(silent).as_deref(), Some("transport-failed"));
    assert_eq!(world.closed(0).as_deref(), Some("transport-failed"), "silent for too long");
    assert_eq!(world.engine.stats().participants, 0);
}

#[test]
fn dtls_before_any_check_is_not_answered_but_its_repetition_is() {
    let mut world = World::new();
    let mut hasty = Client::new(world.now, "anna", address(40_000));
    hasty.hasty = true;
    world.join_with(hasty, MediaRole::Participant);
    world.settle();
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), 1);
    assert!(!world.clients[0].is_connected());
    world.run_ms(500);
    assert!(world.clients[0].is_connected());
}
