//! On a line that loses packets a voice comes with what was said just before, so that words stay whole without waiting for
//! repetitions.

use crate::{sending::Media, world::World};
use schulhof_testkit::Conditions;
use std::collections::BTreeSet;

const VOICE: [(usize, Media); 1] = [(0, Media::Voice(100))];

/// Of a voice's packets to ben: how many came, how many only with their successors, how many never; and how many came along.
fn heard(world: &World) -> (usize, usize, usize, usize) {
    let packets = &world.clients[1].audio[0];
    let step = 960;
    let first = packets[0].timestamp;
    let place = |timestamp: u32| timestamp.wrapping_sub(first) / step;
    let came: BTreeSet<u32> = packets.iter().map(|packet| place(packet.timestamp)).collect();
    let all = came.last().unwrap() + 1;
    // The first one may come with one of before.
    let along = packets.iter().filter_map(|packet| packet.before.as_ref()).map(|(timestamp, _)| place(*timestamp));
    let along: BTreeSet<u32> = along.filter(|place| *place < all).collect();
    let either = came.union(&along).count();
    (came.len(), either - came.len(), all as usize - either, along.len())
}

fn listening(loss_permille: u64) -> World {
    let mut world = World::with(&["anna", "ben"]);
    let line =
        Conditions { delay_min_ms: 75, delay_max_ms: 79, loss_permille, rate_kbit_s: 500, ..Conditions::default() };
    world.set_way(1, &line);
    world.publish(0, true, false, false);
    world.stream_ms(5_000, &VOICE);
    world.clients[1].audio[0].clear();
    world
}

#[test]
fn a_voice_stays_whole_on_a_line_that_loses_one_packet_in_twenty() {
    let mut world = listening(50);
    world.stream_ms(60_000, &VOICE);
    let (came, along, never, _) = heard(&world);
    println!("{came} came, {along} with their successors, {never} never");
    assert!(along > 80, "{along} came only with their successors");
    assert!(never * 100 <= came + along, "{never} of {} never came", came + along + never);
    let packets = &world.clients[1].audio[0];
    assert!(packets.iter().filter_map(|packet| packet.before.as_ref()).all(|(_, payload)| payload == b"anna|voice"));
}

#[test]
fn a_line_that_loses_nothing_carries_each_packet_once() {
    let mut world = listening(0);
    world.stream_ms(10_000, &VOICE);
    let (_, _, never, along) = heard(&world);
    assert_eq!((never, along), (0, 0));
}

#[test]
fn once_the_losses_are_over_packets_come_once_again() {
    let mut world = listening(50);
    world.stream_ms(5_000, &VOICE);
    assert!(heard(&world).3 > 200);
    let good = Conditions { delay_min_ms: 75, delay_max_ms: 79, rate_kbit_s: 500, ..Conditions::default() };
    world.set_way(1, &good);
    world.stream_ms(20_000, &VOICE);
    world.clients[1].audio[0].clear();
    world.stream_ms(5_000, &VOICE);
    assert_eq!(heard(&world).3, 0);
}

#[test]
fn a_lost_packet_that_went_with_its_predecessor_is_repeated_bit_by_bit() {
    let mut world = listening(50);
    world.clients[1].nacking = Some(crate::nacking::Nacking::default());
    world.clients[1].overheard = Some(Vec::new());
    world.stream_ms(20_000, &VOICE);
    let mut said = std::collections::BTreeMap::new();
    let mut again = 0;
    for packet in world.clients[1].overheard.as_ref().unwrap() {
        let content = (packet.timestamp, packet.marker, packet.payload.clone(), packet.before.clone(), packet.number);
        match said.insert(packet.sequence, content.clone()) {
            None => {}
            Some(first) => {
                again += usize::from(content.3.is_some());
                assert_eq!(first, content, "two packets under one number");
            }
        }
    }
    assert!(again > 20, "{again} packets came again with their predecessors");
}
