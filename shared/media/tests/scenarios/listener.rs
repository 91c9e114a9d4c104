//! Whatever happens (switches, losses, pauses, probes, repetitions), towards a listener no number is used twice for
//! different things, and none is left out: sequence numbers, timestamps, picture ids and TL0PICIDX per slot, and the
//! transport-wide number over all of them.

use crate::{client::Packet, nacking::Nacking, sending::Media, world::World};
use schulhof_media::DropReason;
use schulhof_testkit::{Conditions, Rng};
use schulhof_wire::media::SourceKind;
use std::collections::BTreeMap;

const VIEWER: usize = 3;
const SEEDS: u64 = 12;
const ROUNDS: usize = 60;

fn run(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let mut world = World::with(&["anna", "ben", "cem", "dora"]);
    let viewer = &mut world.clients[VIEWER];
    viewer.overheard = Some(Vec::new());
    viewer.nacking = Some(Nacking::default());
    let mut on = [true; 3];
    for source in 0..3 {
        world.publish(source, true, true, source == 0);
    }
    let media: Vec<(usize, Media)> =
        (0..3).flat_map(|source| [(source, Media::Voice(60 + 20 * source as u8)), (source, Media::Camera)]).collect();
    let mut streams = [media, vec![(0, Media::Screen)]].concat();
    for _ in 0..ROUNDS {
        match rng.below(8) {
            0 | 1 => {
                let mut tiles = Vec::new();
                for source in 0..3 {
                    if rng.chance(3, 4) {
                        tiles.push((source, SourceKind::Camera, *rng.pick(&[90, 180, 360, 720, 1_080])));
                    }
                }
                if rng.chance(1, 3) {
                    tiles.push((0, SourceKind::Screen, 1_080));
                }
                world.view(VIEWER, &tiles);
            }
            2 | 3 => {
                let conditions = Conditions {
                    delay_min_ms: rng.between(1, 60),
                    delay_max_ms: rng.between(60, 90),
                    reorder: rng.chance(1, 4),
                    loss_permille: *rng.pick(&[0, 0, 20, 100]),
                    rate_kbit_s: *rng.pick(&[300, 500, 1_000, 3_000, 20_000]),
                    queue_ms: rng.between(50, 400),
                    ..Conditions::default()
                };
                world.set_way(VIEWER, &conditions);
            }
            4 => {
                let source = rng.index(3);
                on[source] = !on[source];
                world.publish(source, on[source], on[source], source == 0);
            }
            5 => {
                let camera = if rng.chance(1, 2) { Media::WeakCamera } else { Media::Camera };
                let source = rng.index(3);
                streams.retain(|(of, media)| *of != source || !matches!(media, Media::Camera | Media::WeakCamera));
                streams.push((source, camera));
            }
            _ => {}
        }
        world.stream_ms(rng.between(5, 25) * 20, &streams);
    }
    world
}

/// In the order of the numbers, counted from the first that was sent.
fn by_number(packets: &[&Packet]) -> BTreeMap<i64, Packet> {
    let mut ordered = BTreeMap::new();
    let mut highest = 100_000 + i64::from(packets[0].sequence);
    for packet in packets {
        let number = highest + i64::from(packet.sequence.wrapping_sub(highest as u16).cast_signed());
        highest = highest.max(number);
        let known: &mut Packet = ordered.entry(number).or_insert_with(|| (*packet).clone());
        assert_eq!(known.payload, packet.payload, "number {number} stands for one packet only");
        assert_eq!(known.timestamp, packet.timestamp);
    }
    ordered
}

fn check_slot(packets: &[&Packet]) {
    let ordered = by_number(packets);
    let (first, last) = (ordered.keys().next().unwrap(), ordered.keys().next_back().unwrap());
    assert_eq!(ordered.len() as i64, last - first + 1, "no number is left out");
    let pictures: Vec<&Packet> = ordered.values().collect();
    for pair in pictures.windows(2) {
        let (id_before, tl0_before, _, shown_before) = pair[0].picture();
        let (id, tl0, key, shown) = pair[1].picture();
        if pair[0].timestamp == pair[1].timestamp {
            assert_eq!((id, tl0), (id_before, tl0_before), "one picture, one number");
        } else {
            assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31, "time runs forward");
            assert_eq!((id, tl0), ((id_before + 1) & 0x7FFF, tl0_before.wrapping_add(1)));
        }
        assert!(shown == shown_before || key, "{shown_before} -> {shown} begins with a key frame");
    }
}

#[test]
fn no_number_is_repeated_for_another_thing_or_left_out_whatever_happens() {
    let (mut repeated, mut padded, mut paced, mut switches) = (0, 0, 0, 0);
    for seed in 1..=SEEDS {
        println!("seed {seed}");
        let world = run(seed);
        let overheard = world.clients[VIEWER].overheard.as_ref().unwrap();
        for slot in 0..9 {
            let ssrc = world.clients[VIEWER].video_ssrc(slot);
            let packets: Vec<&Packet> = overheard.iter().filter(|packet| packet.ssrc == ssrc).collect();
            if !packets.is_empty() {
                check_slot(&packets);
            }
        }
        let mut next = 0u16;
        for packet in overheard {
            // A voice is repeated bit by bit, with the number that it had.
            if packet.number != Some(next) && packet.payload_type == crate::offer::OPUS {
                assert!(next.wrapping_sub(packet.number.unwrap()) < 2_000);
                continue;
            }
            assert_eq!(packet.number, Some(next), "one series for all packets");
            next = next.wrapping_add(1);
        }
        assert_eq!(world.dropped(DropReason::QueueFull), 0);
        let stats = world.engine.stats();
        repeated += stats.retransmitted_packets;
        paced += stats.paced_packets;
        switches += stats.video_switches;
        padded += u64::from(world.clients[VIEWER].padded);
    }
    println!("{repeated} repeated, {padded} padded, {paced} paced, {switches} switches");
    assert!(repeated > 500 && padded > 100 && paced > 100 && switches > 100, "all of it happened");
}
