//! A listener's line becomes narrow, wide, lossy: what is sent to it follows, audio stays whole, and nobody else notices.

use crate::{nacking::Nacking, sending::Media, world::World};
use schulhof_testkit::Conditions;
use schulhof_wire::media::SourceKind;
use std::time::Instant;

const ANNA: usize = 0;
const BEN: usize = 1;
const CEM: usize = 2;
const LESSON: [(usize, Media); 2] = [(ANNA, Media::Voice(100)), (ANNA, Media::Camera)];

fn line(rate_kbit_s: u64) -> Conditions {
    Conditions { delay_min_ms: 20, delay_max_ms: 22, rate_kbit_s, queue_ms: 300, ..Conditions::default() }
}

/// Anna teaches, ben and cem watch; ben's line is his own.
fn lesson(conditions: &Conditions) -> World {
    let mut world = World::with(&["anna", "ben", "cem"]);
    world.set_way(BEN, conditions);
    world.clients[BEN].nacking = Some(Nacking::default());
    world.publish(ANNA, true, true, false);
    for listener in [BEN, CEM] {
        world.view(listener, &[(ANNA, SourceKind::Camera, 720)]);
    }
    world
}

/// The layer that arrived last.
fn layer(world: &World, client: usize) -> String {
    world.clients[client].video[0].last().map(|packet| packet.picture().3).unwrap_or_default()
}

/// Seconds until `wanted` arrives, at most `seconds_max`.
fn seconds_until(world: &mut World, wanted: &str, seconds_max: u64) -> Option<f64> {
    for tenth in 0..seconds_max * 10 {
        if layer(world, BEN) == wanted {
            return Some(tenth as f64 / 10.0);
        }
        world.stream_ms(100, &LESSON);
    }
    None
}

/// Voice packets that were sent to a client since `since`: how many came, sooner or later, and how many never.
fn voice(world: &World, client: usize, since: Instant) -> (usize, usize) {
    let packets = &world.clients[client].audio[0];
    let mut numbers: Vec<i64> = Vec::new();
    // Far above 0, and the sequence number below its 16 bits.
    let (mut highest, mut first) = ((1 << 17) + i64::from(packets[0].sequence) - 1, None);
    for packet in packets {
        let distance = packet.sequence.wrapping_sub(highest as u16).cast_signed();
        let number = highest + i64::from(distance);
        // What is repeated belongs to an earlier time.
        if packet.at >= since && number > highest {
            first.get_or_insert(number);
        }
        highest = highest.max(number);
        numbers.push(number);
    }
    let first = first.expect("voices came");
    numbers.retain(|number| *number >= first);
    numbers.sort_unstable();
    numbers.dedup();
    (numbers.len(), (highest - first + 1) as usize - numbers.len())
}

#[test]
fn a_line_that_becomes_narrow_gets_a_smaller_layer_at_once_and_the_large_one_back_in_seconds() {
    let mut world = lesson(&line(2_000));
    let reached = seconds_until(&mut world, "anna/f", 5).expect("two megabits carry 720p");
    world.stream_ms(3_000, &LESSON);
    assert_eq!(layer(&world, BEN), "anna/f", "reached after {reached} s and kept");

    world.set_way(BEN, &line(500));
    let narrow = world.now;
    let fell = seconds_until(&mut world, "anna/q", 4).expect("half a megabit carries only the smallest");
    world.stream_ms(10_000, &LESSON);
    let (came, missing) = voice(&world, BEN, narrow);
    println!("fell after {fell} s; {came} of {} voice packets", came + missing);
    assert!(missing * 50 <= came, "{missing} of {came} voice packets lost");

    world.set_way(BEN, &line(2_000));
    let recovered = seconds_until(&mut world, "anna/f", 30).expect("the large layer comes back");
    println!("recovered after {recovered} s");
    assert!(recovered <= 15.0, "{recovered} s");
    assert_eq!(layer(&world, CEM), "anna/f");
}

#[test]
fn a_listener_with_half_a_megabit_losses_and_delay_hears_everything_and_the_others_notice_nothing() {
    let bad = Conditions {
        delay_min_ms: 150,
        delay_max_ms: 152,
        loss_permille: 50,
        rate_kbit_s: 500,
        queue_ms: 300,
        ..Conditions::default()
    };
    let packets_of_cem = |with_ben: bool| {
        let mut world = lesson(&bad);
        if !with_ben {
            world.view(BEN, &[]);
        }
        world.stream_ms(30_000, &LESSON);
        let cem = &world.clients[CEM];
        let told = cem.video[0].iter().chain(&cem.audio[0]).map(|packet| (packet.at - world.start(), packet.clone()));
        let mut packets: Vec<_> =
            told.map(|(at, packet)| (at, packet.sequence, packet.timestamp, packet.payload)).collect();
        packets.sort();
        (world, packets)
    };
    let (mut world, with_ben) = packets_of_cem(true);
    let since = world.now;
    world.stream_ms(10_000, &LESSON);
    // The last ones' repetitions.
    world.run_ms(2_000);
    let (came, missing) = voice(&world, BEN, since);
    println!("{came} voice packets, {missing} missing, {} padded", world.clients[BEN].padded);
    assert!(came >= 490 && missing * 100 <= came, "{missing} of {came} voice packets lost");
    let lately = world.clients[BEN].video[0].iter().filter(|packet| packet.at >= since);
    let lately: Vec<String> = lately.map(|packet| packet.picture().3).collect();
    assert!(lately.len() > 150, "{} pictures in ten seconds", lately.len());
    assert!(lately.iter().all(|layer| layer == "anna/q"), "the smallest layer");
    let (_, without_ben) = packets_of_cem(false);
    assert_eq!(with_ben, without_ben, "the same packets at the same times");
}
