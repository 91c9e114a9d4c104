//! One room at two nodes: people in the building on the box, people at home on the relay.

use crate::{
    sending::Media,
    world::{World, engine},
};
use schulhof_media::{
    DropReason, TrunkId,
    trunk::{Frame, Out},
};
use schulhof_testkit::{Conditions, Link, Rng};
use schulhof_wire::{
    id::SchoolId,
    media::{Order, SourceKind, Tile, ToClient, ToNode},
    ticket::MediaRole,
};

/// A box and a relay with a line between them.
pub struct Pair {
    pub building: World,
    pub home: World,
    up: Link<Out>,
    down: Link<Out>,
    trunks: Option<(TrunkId, TrunkId)>,
    ms: u64,
    closed: Option<&'static str>,
}

impl Pair {
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let mut rng = Rng::new(seed);
        let building = World::new();
        let mut home = World::new();
        home.now = building.now;
        home.engine = engine(building.now, "relay-1");
        let (up, down) = (Link::new(conditions.clone(), rng.fork()), Link::new(conditions, rng.fork()));
        Self { building, home, up, down, trunks: None, ms: 0, closed: None }
    }

    /// Two in the building, two at home, and the trunk between them.
    pub fn joined(seed: u64, conditions: Conditions) -> Self {
        let mut pair = Self::new(seed, conditions);
        pair.building.join_as("anna", MediaRole::Moderator);
        pair.building.join("ben");
        pair.home.join("cem");
        pair.home.join("dora");
        pair.connect();
        pair.run_ms(500);
        pair
    }

    pub fn connect(&mut self) {
        let school = || SchoolId::new("nord").unwrap();
        let ours = self.building.engine.open_trunk(self.building.now, school()).unwrap();
        let theirs = self.home.engine.open_trunk(self.home.now, school()).unwrap();
        self.trunks = Some((ours, theirs));
    }

    pub fn cut(&mut self) {
        let (ours, theirs) = self.trunks.take().unwrap();
        self.building.engine.close_trunk(self.building.now, ours);
        self.home.engine.close_trunk(self.home.now, theirs);
        self.up.clear();
        self.down.clear();
    }

    fn exchange(&mut self) {
        while let Some((_, out)) = self.building.engine.poll_trunk() {
            self.up.send(self.ms, out);
        }
        while let Some((_, out)) = self.home.engine.poll_trunk() {
            self.down.send(self.ms, out);
        }
        let Some((ours, theirs)) = self.trunks else { return };
        while let Some(out) = self.up.receive(self.ms) {
            self.closed = take(&mut self.home, theirs, out).or(self.closed);
        }
        while let Some(out) = self.down.receive(self.ms) {
            self.closed = take(&mut self.building, ours, out).or(self.closed);
        }
    }

    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.ms += 5;
            self.building.run_ms(5);
            self.home.run_ms(5);
            self.exchange();
        }
    }

    pub fn stream_ms(&mut self, ms: u64, building: &[(usize, Media)], home: &[(usize, Media)]) {
        for round in 0..ms / 20 {
            for (world, media) in [(&mut self.building, building), (&mut self.home, home)] {
                for (client, media) in media {
                    world.clients[*client].send(*media, round % 2 == 0);
                }
            }
            self.run_ms(20);
        }
    }
}

fn take(world: &mut World, trunk: TrunkId, out: Out) -> Option<&'static str> {
    match out {
        Out::Frame(frame) => world.engine.trunk_frame(world.now, trunk, frame),
        Out::Datagram(datagram) => world.engine.trunk_datagram(world.now, trunk, &datagram),
        Out::Close(why) => return Some(why),
    }
    None
}

fn names(world: &World, client: usize) -> Vec<String> {
    world.roster(client).into_iter().map(|person| person.account.to_string()).collect()
}

/// `client` looks at somebody of the other side.
fn look(world: &mut World, client: usize, name: &str, height: u16) {
    let participant = schulhof_wire::media::ParticipantId(format!("ticket-{name}"));
    world.control(client, ToNode::View { tiles: vec![Tile { participant, kind: SourceKind::Camera, height }] });
}

fn pictures(world: &World, client: usize) -> usize {
    world.clients[client].video.iter().map(Vec::len).sum()
}

#[test]
fn everybody_is_in_both_rosters_in_the_same_order() {
    let pair = Pair::joined(1, Conditions::default());
    let expected = ["anna", "ben", "cem", "dora"];
    for (world, client) in [(&pair.building, 0), (&pair.building, 1), (&pair.home, 0), (&pair.home, 1)] {
        let mut seen = names(world, client);
        assert_eq!(seen, names(&pair.building, 0), "one order for all");
        seen.sort();
        assert_eq!(seen, expected);
    }
}

#[test]
fn pictures_and_voices_cross_the_line_both_ways() {
    let mut pair = Pair::joined(2, Conditions::default());
    pair.building.publish(0, true, true, false);
    pair.home.publish(0, true, true, false);
    look(&mut pair.home, 1, "anna", 180);
    look(&mut pair.building, 1, "cem", 180);
    pair.stream_ms(1_000, &[(0, Media::Voice(100)), (0, Media::Camera)], &[(0, Media::Voice(90)), (0, Media::Camera)]);
    for (name, world) in [("home", &pair.home), ("building", &pair.building)] {
        assert!(pictures(world, 1) >= 15, "{name}: {} pictures in a second", pictures(world, 1));
        let voices: usize = world.clients[1].audio.iter().map(Vec::len).sum();
        assert!(voices >= 60, "{name}: {voices} packets of two voices");
        assert_eq!(world.speakers(1).len(), 2, "{name}: both are shown as speaking");
    }
}

/// One copy per layer and side, and only of what is looked at.
#[test]
fn what_nobody_looks_at_does_not_cross_the_line() {
    let mut pair = Pair::joined(3, Conditions::default());
    pair.building.publish(0, false, true, false);
    for client in [0, 1] {
        pair.home.control(client, ToNode::View { tiles: Vec::new() });
    }
    pair.stream_ms(400, &[(0, Media::Camera)], &[]);
    let before = pair.building.engine.stats().trunk_packets_sent;
    assert_eq!(before, 0);
    look(&mut pair.home, 0, "anna", 180);
    pair.stream_ms(600, &[(0, Media::Camera)], &[]);
    let one = pair.building.engine.stats().trunk_packets_sent;
    assert!(one > 0 && pictures(&pair.home, 0) > 0);
    look(&mut pair.home, 1, "anna", 180);
    pair.stream_ms(600, &[(0, Media::Camera)], &[]);
    let two = pair.building.engine.stats().trunk_packets_sent - one;
    assert!(pictures(&pair.home, 1) > 0);
    assert!(two <= one * 13 / 10, "two lookers cost one copy: {one} packets for one, {two} for two");
    for client in [0, 1] {
        pair.home.control(client, ToNode::View { tiles: Vec::new() });
    }
    pair.stream_ms(100, &[(0, Media::Camera)], &[]);
    let before = pair.building.engine.stats().trunk_packets_sent;
    pair.stream_ms(400, &[(0, Media::Camera)], &[]);
    assert_eq!(pair.building.engine.stats().trunk_packets_sent, before);
}

#[test]
fn a_cut_line_splits_the_room_and_its_return_merges_it_with_hands_in_order() {
    let mut pair = Pair::joined(4, Conditions::default());
    pair.building.control(1, ToNode::Hand { raised: true });
    pair.run_ms(100);
    pair.home.control(0, ToNode::Hand { raised: true });
    pair.run_ms(100);
    let hands = |world: &World| {
        let mut hands: Vec<_> =
            world.roster(0).into_iter().filter_map(|p| Some((p.hand?, p.account.to_string()))).collect();
        hands.sort();
        hands.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert_eq!(
        (hands(&pair.building), hands(&pair.home)),
        (vec!["ben".into(), "cem".into()], vec!["ben".into(), "cem".into()])
    );

    pair.building.publish(0, true, true, false);
    look(&mut pair.building, 1, "anna", 180);
    look(&mut pair.home, 1, "anna", 180);
    pair.stream_ms(600, &[(0, Media::Voice(100)), (0, Media::Camera)], &[]);
    assert!(pictures(&pair.home, 1) > 0);
    pair.cut();
    let before = pictures(&pair.building, 1);
    pair.stream_ms(1_000, &[(0, Media::Voice(100)), (0, Media::Camera)], &[]);
    assert!(pictures(&pair.building, 1) - before >= 24, "the building goes on without a gap");
    assert_eq!(names(&pair.building, 0), ["anna", "ben"]);
    assert_eq!(names(&pair.home, 0), ["cem", "dora"]);
    pair.home.control(1, ToNode::Hand { raised: true });
    pair.building.control(1, ToNode::Hand { raised: false });
    pair.run_ms(100);
    pair.building.control(0, ToNode::Hand { raised: true });
    pair.run_ms(100);

    let before = pictures(&pair.home, 1);
    pair.connect();
    pair.stream_ms(1_000, &[(0, Media::Voice(100)), (0, Media::Camera)], &[]);
    assert_eq!(names(&pair.building, 0).len(), 4);
    assert_eq!(names(&pair.home, 0), names(&pair.building, 0));
    let order: Vec<String> = ["cem", "dora", "anna"].map(String::from).to_vec();
    assert_eq!((hands(&pair.building), hands(&pair.home)), (order.clone(), order));
    assert!(pictures(&pair.home, 1) > before, "pictures come again");
}

#[test]
fn a_moderator_in_the_building_rules_those_at_home_too() {
    let mut pair = Pair::joined(5, Conditions::default());
    pair.home.publish(0, true, false, false);
    pair.stream_ms(600, &[], &[(0, Media::Voice(100))]);
    let heard = |world: &World, client: usize| world.clients[client].audio.iter().map(Vec::len).sum::<usize>();
    assert!(heard(&pair.building, 0) > 0 && heard(&pair.home, 1) > 0);
    pair.building.control(0, ToNode::Moderate { order: Order::MuteAll });
    pair.run_ms(200);
    let before = (heard(&pair.building, 0), heard(&pair.home, 1));
    pair.stream_ms(600, &[], &[(0, Media::Voice(100))]);
    assert_eq!((heard(&pair.building, 0), heard(&pair.home, 1)), before, "muted on both sides");
}

/// At the relay nobody was before: it knows the room's rules all the same.
#[test]
fn the_rules_hold_for_the_first_who_comes_to_the_other_node() {
    let mut pair = Pair::new(8, Conditions::default());
    pair.building.join_as("anna", MediaRole::Moderator);
    pair.connect();
    pair.run_ms(300);
    pair.building.control(0, ToNode::Moderate { order: Order::Lobby { on: true } });
    pair.run_ms(100);
    pair.home.join("cem");
    pair.run_ms(500);
    assert!(pair.home.told(0).iter().any(|message| matches!(message, ToClient::Waiting)), "he waits");
    assert_eq!(names(&pair.home, 0), [""; 0], "and is told nothing of the room");
    assert_eq!(names(&pair.building, 0), ["anna"]);
    let waiting = pair.building.told(0).iter().rev().find_map(|message| match message {
        ToClient::Lobby { waiting, .. } => Some(waiting.clone()),
        _ => None,
    });
    assert_eq!(waiting.unwrap().into_iter().map(|known| known.account.to_string()).collect::<Vec<_>>(), ["cem"]);
    pair.building.control(0, ToNode::Moderate { order: Order::AdmitAll });
    pair.run_ms(300);
    assert_eq!(names(&pair.home, 0).len(), 2, "admitted from the other side");

    pair.building.control(0, ToNode::Moderate { order: Order::End });
    pair.run_ms(300);
    assert_eq!(
        (pair.building.closed(0), pair.home.closed(0)),
        (Some("room-closed".into()), Some("room-closed".into()))
    );
    let late = crate::client::Client::new(pair.home.now, "dora", "127.0.0.1:45000".parse().unwrap());
    let claims = crate::world::claims("dora", MediaRole::Participant);
    let refused = pair.home.engine.join(pair.home.now, claims, &late.offer());
    assert_eq!(refused.err().map(|error| error.to_string()), Some("the conference was ended".into()));
}

/// Only sixteen bits of a packet's number cross the line, and the stream goes on while nobody looks.
#[test]
fn a_picture_comes_back_however_long_nobody_looked() {
    let mut pair = Pair::joined(9, Conditions::default());
    pair.building.publish(0, false, true, false);
    for turned_away_ms in [200, 2_000, 400_000] {
        look(&mut pair.home, 0, "anna", 720);
        let before = pictures(&pair.home, 0);
        pair.stream_ms(1_000, &[(0, Media::Camera)], &[]);
        let seen = pictures(&pair.home, 0) - before;
        assert!(seen >= 15, "{seen} pictures before {turned_away_ms} ms");
        pair.home.control(0, ToNode::View { tiles: Vec::new() });
        // 100 packets a second on the largest layer.
        pair.stream_ms(turned_away_ms, &[(0, Media::Camera)], &[]);
    }
    look(&mut pair.home, 0, "anna", 720);
    let before = pictures(&pair.home, 0);
    pair.stream_ms(1_000, &[(0, Media::Camera)], &[]);
    assert!(pictures(&pair.home, 0) - before >= 15, "after minutes");
}

/// Alone at his node, with the same ticket again.
#[test]
fn who_comes_back_finds_the_other_side_again() {
    let mut pair = Pair::new(10, Conditions::default());
    pair.building.join("anna");
    pair.home.join("cem");
    pair.connect();
    pair.run_ms(500);
    assert_eq!(names(&pair.home, 0).len(), 2);
    let again = crate::client::Client::new(pair.home.now, "cem", "127.0.0.1:46000".parse().unwrap());
    pair.home.join_with(again, MediaRole::Participant);
    pair.run_ms(500);
    assert_eq!(names(&pair.home, 1).len(), 2);
    assert_eq!(names(&pair.building, 0).len(), 2);
}

#[test]
fn what_may_not_be_sent_cannot_be_asked_for_afterwards() {
    let mut pair = Pair::joined(11, Conditions::default());
    pair.home.publish(0, false, true, false);
    look(&mut pair.building, 1, "cem", 180);
    pair.stream_ms(600, &[], &[(0, Media::Camera)]);
    assert!(pictures(&pair.building, 1) > 0);
    pair.building.control(0, ToNode::Moderate { order: Order::Lock { kind: SourceKind::Camera, on: true } });
    pair.run_ms(200);
    let sent = pair.home.engine.stats().trunk_packets_sent;
    pair.stream_ms(600, &[], &[(0, Media::Camera)]);
    assert_eq!(pair.home.engine.stats().trunk_packets_sent, sent, "not over the line");
    let repeated = pair.home.engine.stats().retransmitted_packets;
    pair.building.control(0, ToNode::Moderate { order: Order::Lock { kind: SourceKind::Camera, on: false } });
    pair.stream_ms(600, &[], &[(0, Media::Camera)]);
    // Fifteen pictures were taken meanwhile; one or two are of the time between the permission and the next look at the trunk.
    let asked = pair.home.engine.stats().retransmitted_packets - repeated;
    assert!(asked <= 4, "{asked} packets of the forbidden time were repeated");
}

#[test]
fn a_lossy_line_is_repaired_between_the_nodes() {
    for seed in 0..5 {
        let conditions = Conditions { delay_min_ms: 20, delay_max_ms: 40, loss_permille: 30, ..Conditions::default() };
        let mut pair = Pair::new(seed, conditions.clone());
        // The stream is reliable, datagrams are not: frames alone are exchanged over a perfect line at first.
        pair.up.conditions = Conditions::default();
        pair.down.conditions = Conditions::default();
        pair.building.join("anna");
        pair.home.join("cem");
        pair.connect();
        pair.run_ms(500);
        pair.building.publish(0, false, true, false);
        look(&mut pair.home, 0, "anna", 180);
        pair.stream_ms(400, &[(0, Media::Camera)], &[]);
        pair.up.conditions = conditions;
        let before = pictures(&pair.home, 0);
        pair.stream_ms(4_000, &[(0, Media::Camera)], &[]);
        pair.up.conditions = Conditions::default();
        pair.stream_ms(600, &[(0, Media::Camera)], &[]);
        let stats = pair.building.engine.stats();
        assert!(stats.retransmitted_packets > 0, "seed {seed}: something was lost and asked for again");
        assert!(pictures(&pair.home, 0) - before >= 100, "seed {seed}: {} pictures", pictures(&pair.home, 0) - before);
    }
}

/// What the pictures of three people take at their best is several times the budget.
#[test]
fn the_uplink_stays_within_its_budget_and_voices_are_whole() {
    const BUDGET_BPS: u64 = 700_000;
    let mut pair = Pair::new(7, Conditions::default());
    for name in ["anna", "ben", "cem"] {
        pair.building.join(name);
    }
    pair.home.join("dora");
    pair.connect();
    let (ours, _) = pair.trunks.unwrap();
    pair.building.engine.set_uplink(ours, Some(BUDGET_BPS));
    pair.run_ms(500);
    let media: Vec<(usize, Media)> = (0..3).flat_map(|n| [(n, Media::Voice(100)), (n, Media::Camera)]).collect();
    for client in 0..3 {
        pair.building.publish(client, true, true, false);
    }
    let tiles = ["anna", "ben", "cem"].map(|name| Tile {
        participant: schulhof_wire::media::ParticipantId(format!("ticket-{name}")),
        kind: SourceKind::Camera,
        height: 720,
    });
    pair.home.control(0, ToNode::View { tiles: tiles.to_vec() });
    // Without a budget it would be far more.
    pair.building.engine.set_uplink(ours, None);
    pair.stream_ms(2_000, &media, &[]);
    let sent = |pair: &Pair| pair.building.engine.stats().trunk_bytes_sent * 8;
    let before = sent(&pair);
    pair.stream_ms(2_000, &media, &[]);
    let free_bps = (sent(&pair) - before) / 2;
    assert!(free_bps > 2 * BUDGET_BPS, "{free_bps} bit/s without a budget");

    pair.building.engine.set_uplink(ours, Some(BUDGET_BPS));
    pair.stream_ms(1_000, &media, &[]);
    let voices = |pair: &Pair| pair.home.clients[0].audio.iter().map(Vec::len).sum::<usize>();
    let (before, heard, seen) = (sent(&pair), voices(&pair), pictures(&pair.home, 0));
    pair.stream_ms(4_000, &media, &[]);
    let limited_bps = (sent(&pair) - before) / 4;
    assert!(limited_bps <= BUDGET_BPS * 105 / 100, "{limited_bps} bit/s of {BUDGET_BPS}");
    assert_eq!(voices(&pair) - heard, 3 * 200, "each voice packet of each of them");
    assert!(pictures(&pair.home, 0) > seen, "some pictures go on");

    pair.building.engine.set_uplink(ours, None);
    pair.stream_ms(2_000, &media, &[]);
    let before = sent(&pair);
    pair.stream_ms(2_000, &media, &[]);
    assert!((sent(&pair) - before) / 2 > 2 * BUDGET_BPS, "and all of it again");
}

#[test]
fn another_node_can_neither_grow_a_room_beyond_its_bounds_nor_speak_of_other_schools() {
    let mut pair = Pair::joined(6, Conditions::default());
    let (ours, _) = pair.trunks.unwrap();
    let room = || schulhof_wire::id::ConferenceId::new("math").unwrap();
    let now = pair.building.now;
    let engine = &mut pair.building.engine;
    for n in 0..2_000 {
        engine.trunk_frame(
            now,
            ours,
            Frame::Open { room: schulhof_wire::id::ConferenceId::new(format!("r-{n}")).unwrap() },
        );
    }
    let mut closed = false;
    while let Some((_, out)) = engine.poll_trunk() {
        closed |= matches!(out, Out::Close(_));
    }
    assert!(closed, "too many rooms");
    // Nothing that follows is looked at.
    engine.trunk_frame(now, ours, Frame::Close { room: room() });
    engine.trunk_datagram(now, ours, &[0; 40]);
    let other = engine.open_trunk(now, SchoolId::new("sued").unwrap()).unwrap();
    engine.trunk_frame(now, other, Frame::Hello { version: 1, node: "sued".parse().unwrap() });
    engine.trunk_frame(now, other, Frame::Open { room: room() });
    engine.trunk_frame(now, other, Frame::People { room: room(), people: Vec::new() });
    engine.trunk_datagram(now, other, &[0xFF; 40]);
    assert_eq!(engine.stats().dropped(DropReason::Trunk), 1);
    pair.building.run_ms(200);
    assert_eq!(names(&pair.building, 0).len(), 4, "the room is as it was");
}
