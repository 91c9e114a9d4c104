//! A node that is emptied asks, and sends nobody away; who moves is at both nodes for a moment, and in the room once.

use crate::{
    client::Client,
    sending::Media,
    trunk::Pair,
    world::{World, claims},
};
use schulhof_media::{JoinError, Joined, LeaveReason};
use schulhof_testkit::Conditions;
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::{MoveReason, SourceKind, ToClient, ToNode},
    ticket::{Claims, MediaRole},
};
use std::net::SocketAddr;

/// How often somebody was asked to move.
fn asked(world: &World, client: usize, wanted: MoveReason) -> usize {
    let moves = world.told(client).iter();
    moves.filter(|message| matches!(message, ToClient::Move { reason } if *reason == wanted)).count()
}

fn stand_by(world: &mut World, name: &str, role: MediaRole) -> usize {
    let address = SocketAddr::from(([127, 0, 0, 1], 46_000 + world.clients.len() as u16));
    let mut client = Client::new(world.now, name, address);
    let Joined { session, answer, .. } =
        world.engine.stand_by(world.now, claims(name, role), &client.offer()).expect("there is room");
    client.answered(world.now, session, &answer);
    world.clients.push(client);
    world.clients.len() - 1
}

fn join_room(world: &mut World, name: &str, room: &str, standby: bool) -> Result<usize, JoinError> {
    let address = SocketAddr::from(([127, 0, 0, 1], 45_000 + world.clients.len() as u16));
    let mut client = Client::new(world.now, name, address);
    let claims = Claims { room: ConferenceId::new(room).unwrap(), ..claims(name, MediaRole::Participant) };
    let offer = client.offer();
    let Joined { session, answer, .. } = if standby {
        world.engine.stand_by(world.now, claims, &offer)?
    } else {
        world.engine.join(world.now, claims, &offer)?
    };
    client.answered(world.now, session, &answer);
    world.clients.push(client);
    Ok(world.clients.len() - 1)
}

#[test]
fn a_drained_node_asks_room_by_room_and_again_takes_nobody_in_and_forwards_until_the_last_has_left() {
    let mut world = World::with(&["anna", "ben"]);
    let others = ["cem", "dora"].map(|name| join_room(&mut world, name, "art", false).unwrap());
    let spare = join_room(&mut world, "emil", "math", true).unwrap();
    world.publish(0, false, true, false);
    world.view(1, &[(0, SourceKind::Camera, 180)]);
    world.stream_ms(400, &[(0, Media::Camera)]);

    world.engine.drain(world.now);
    world.run_ms(20);
    let first = (asked(&world, 0, MoveReason::Drain), asked(&world, others[0], MoveReason::Drain));
    assert!(first == (1, 0) || first == (0, 1), "one room after the other: {first:?}");
    assert_eq!(world.closed(spare).as_deref(), Some("draining"), "who stands by finds another one");
    world.run_ms(200);
    for client in [0, 1, others[0], others[1]] {
        assert_eq!(asked(&world, client, MoveReason::Drain), 1);
        assert_eq!(world.closed(client), None);
    }
    assert_eq!(join_room(&mut world, "fatma", "math", false).unwrap_err(), JoinError::Draining);
    assert_eq!(join_room(&mut world, "fatma", "math", true).unwrap_err(), JoinError::Draining);

    let before = world.clients[1].video[0].len();
    world.stream_ms(400, &[(0, Media::Camera)]);
    assert!(world.clients[1].video[0].len() > before + 5, "it goes on for as long as somebody is here");
    for client in others {
        world.engine.leave(world.now, world.clients[client].session(), LeaveReason::Left);
    }
    world.run_ms(10_500);
    assert_eq!((asked(&world, 0, MoveReason::Drain), asked(&world, 1, MoveReason::Drain)), (2, 2));
    for client in [0, 1] {
        world.engine.leave(world.now, world.clients[client].session(), LeaveReason::Left);
    }
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.standbys, stats.rooms), (0, 0, 0));
}

#[test]
fn one_room_is_asked_to_come_home_and_no_other() {
    let mut world = World::with(&["anna", "ben"]);
    let cem = join_room(&mut world, "cem", "art", false).unwrap();
    let school = SchoolId::new("nord").unwrap();
    let ask = |world: &mut World, room: &str| {
        let room = ConferenceId::new(room).unwrap();
        world.engine.ask_to_move(world.now, &school, &room, MoveReason::Return)
    };
    assert!(ask(&mut world, "math"));
    assert!(!ask(&mut world, "nobody-there"));
    world.run_ms(20);
    assert_eq!([0, 1, cem].map(|client| asked(&world, client, MoveReason::Return)), [1, 1, 0]);
}

#[test]
fn who_moves_is_at_both_nodes_for_a_moment_and_in_the_room_once_and_is_seen_without_a_gap() {
    let mut pair = Pair::joined(7, Conditions::default());
    // Anna and Ben in the building, Cem and Dora at home; Ben looks at Anna, and both move to the relay.
    let see_anna = |world: &mut World, client: usize| {
        let participant = schulhof_wire::media::ParticipantId("ticket-anna".into());
        let tile = schulhof_wire::media::Tile { participant, kind: SourceKind::Camera, height: 180 };
        world.control(client, ToNode::View { tiles: vec![tile] });
    };
    pair.building.publish(0, true, true, false);
    see_anna(&mut pair.building, 1);
    see_anna(&mut pair.home, 0);
    let anna = [(0, Media::Voice(100)), (0, Media::Camera)];
    pair.stream_ms(1_000, &anna, &[]);

    let anna_there = stand_by(&mut pair.home, "anna", MediaRole::Moderator);
    let ben_there = stand_by(&mut pair.home, "ben", MediaRole::Participant);
    pair.stream_ms(400, &anna, &[]);
    for client in [anna_there, ben_there] {
        pair.home.control(client, ToNode::Activate);
    }
    pair.home.publish(anna_there, true, true, false);
    see_anna(&mut pair.home, ben_there);

    // Both send and receive at both nodes.
    let there = [(anna_there, Media::Voice(100)), (anna_there, Media::Camera)];
    let seen_here = |pair: &Pair| pair.building.clients[1].video.iter().map(Vec::len).sum::<usize>();
    let seen_there = |pair: &Pair| pair.home.clients[ben_there].video.iter().map(Vec::len).sum::<usize>();
    for _ in 0..5 {
        let before = seen_here(&pair);
        pair.stream_ms(200, &anna, &there);
        assert!(seen_here(&pair) > before, "as before where he still is");
        for (world, client) in [(&pair.building, 1), (&pair.home, 0), (&pair.home, ben_there)] {
            let mut names: Vec<_> = world.roster(client).into_iter().map(|person| person.name).collect();
            names.sort();
            assert_eq!(names, ["ANNA", "BEN", "CEM", "DORA"]);
        }
    }
    let pictures = pair.home.clients[ben_there].video.iter().flatten();
    let first = pictures.map(|packet| packet.at).min().expect("pictures at the new node");
    assert!(seen_there(&pair) > 10);

    // Then they leave the building, and nothing is missing at the relay.
    for client in [0, 1] {
        let session = pair.building.clients[client].session();
        pair.building.engine.leave(pair.building.now, session, LeaveReason::Left);
    }
    for _ in 0..5 {
        let before = seen_there(&pair);
        pair.stream_ms(200, &[], &there);
        assert!(seen_there(&pair) > before, "first seen at {first:?}");
    }
    let mut names: Vec<_> = pair.home.roster(0).into_iter().map(|person| person.name).collect();
    names.sort();
    assert_eq!(names, ["ANNA", "BEN", "CEM", "DORA"]);
}

#[test]
fn mute_hands_and_places_are_found_again_where_one_stood_by_when_the_first_node_dies() {
    let mut pair = Pair::new(3, Conditions::default());
    let people = [
        ("teacher", MediaRole::Moderator),
        ("anna", MediaRole::Participant),
        ("ben", MediaRole::Participant),
        ("cem", MediaRole::Participant),
    ];
    for (name, role) in people {
        pair.building.join_as(name, role);
    }
    pair.connect();
    pair.run_ms(500);
    pair.building.control(3, ToNode::Hand { raised: true });
    pair.run_ms(100);
    pair.building.control(1, ToNode::Hand { raised: true });
    let account = schulhof_wire::id::AccountId::new("ben").unwrap();
    pair.building.control(0, ToNode::Moderate { order: schulhof_wire::media::Order::Mute { account } });
    pair.run_ms(500);
    let before = pair.building.roster(0);
    assert_eq!(before.iter().map(|person| person.hand).collect::<Vec<_>>(), [None, Some(2), None, Some(1)]);
    assert!(before[2].muted);

    // Nobody is at the relay, but all of them stand by there, the last first.
    for (name, role) in people.into_iter().rev() {
        stand_by(&mut pair.home, name, role);
    }
    pair.run_ms(200);
    pair.cut();
    for (client, raised) in [(0, true), (1, false), (2, true), (3, false)] {
        pair.home.control(client, ToNode::Activate);
        if raised {
            pair.home.control(client, ToNode::Hand { raised });
        }
    }
    pair.run_ms(300);
    assert_eq!(pair.home.roster(0), before);
}
