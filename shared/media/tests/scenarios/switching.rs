//! The listener's decoder never notices that another source or layer is shown: numbers go on, and each change begins
//! with a key frame.

use crate::{client::Packet, sending::Media, world::World};
use schulhof_wire::media::SourceKind;

/// Numbers without a jump, one picture after the other, a key frame wherever who is shown changes.
fn assert_continuous(packets: &[Packet]) -> usize {
    let mut switches = 0;
    for pair in packets.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (id_before, tl0_before, _, shown_before) = before.picture();
        let (id, tl0, key, shown) = after.picture();
        assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{shown_before} -> {shown}");
        if shown != shown_before {
            switches += 1;
            assert!(key, "{shown_before} -> {shown} begins with a key frame");
            assert_ne!(after.timestamp, before.timestamp);
        }
        if after.timestamp == before.timestamp {
            assert_eq!((id, tl0), (id_before, tl0_before), "one picture, one number");
        } else {
            assert!(after.timestamp.wrapping_sub(before.timestamp) < 180_000, "time runs forward");
            assert_eq!((id, tl0), ((id_before + 1) & 0x7FFF, tl0_before.wrapping_add(1)));
        }
    }
    switches
}

#[test]
fn sources_take_turns_on_one_slot_without_a_jump() {
    let mut world = World::with(&["anna", "ben", "cem"]);
    let sources = [(0, Media::Camera), (1, Media::Camera)];
    world.view(2, &[(0, SourceKind::Camera, 360)]);
    world.publish(0, false, true, false);
    world.publish(1, false, true, false);
    world.stream_ms(400, &sources);
    for turn in 0..8 {
        world.view(2, &[(turn % 2, SourceKind::Camera, 360)]);
        world.stream_ms(700, &sources);
        assert_eq!(world.video_slot_of(2, turn % 2), Some(0), "always the first slot");
        assert_eq!(world.video_slot_of(2, 1 - turn % 2), None);
    }
    assert_eq!(assert_continuous(&world.clients[2].video[0]), 7);
    assert!(world.clients[2].video[0].len() > 8 * 2 * 12);
}

#[test]
fn the_layer_follows_the_tile_and_falls_back_while_it_is_not_sent() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, false, true, false);
    let shown = |world: &World| world.clients[1].video[0].last().unwrap().picture().3;
    world.view(1, &[(0, SourceKind::Camera, 720)]);
    world.stream_ms(1_000, &[(0, Media::Camera)]);
    assert_eq!(shown(&world), "anna/f");
    world.view(1, &[(0, SourceKind::Camera, 200)]);
    world.stream_ms(1_000, &[(0, Media::Camera)]);
    assert_eq!(shown(&world), "anna/q");
    world.view(1, &[(0, SourceKind::Camera, 1080)]);
    world.stream_ms(1_000, &[(0, Media::Camera)]);
    assert_eq!(shown(&world), "anna/f");
    world.stream_ms(3_000, &[(0, Media::WeakCamera)]);
    assert_eq!(shown(&world), "anna/h", "the browser has switched f off");
    world.stream_ms(1_500, &[(0, Media::Camera)]);
    assert_eq!(shown(&world), "anna/f", "and on again");
    assert_eq!(assert_continuous(&world.clients[1].video[0]), 4);
    assert_eq!(world.engine.stats().video_switches, 5, "the four and the beginning");
}

#[test]
fn a_layer_goes_on_until_the_key_frame_of_the_next_one() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, false, true, false);
    world.view(1, &[(0, SourceKind::Camera, 180)]);
    world.stream_ms(1_000, &[(0, Media::Camera)]);
    // The publisher does not hear the wish for a key frame.
    world.losses.down = 100;
    world.view(1, &[(0, SourceKind::Camera, 720)]);
    world.run_ms(20);
    world.losses.down = 0;
    let before = world.clients[1].video[0].len();
    world.stream_ms(200, &[(0, Media::Camera)]);
    let while_waiting = &world.clients[1].video[0][before..];
    assert!(while_waiting.len() >= 4 && while_waiting.iter().all(|packet| packet.picture().3 == "anna/q"));
    world.stream_ms(800, &[(0, Media::Camera)]);
    assert_eq!(world.clients[1].video[0].last().unwrap().picture().3, "anna/f", "the wish was repeated");
    assert_eq!(assert_continuous(&world.clients[1].video[0]), 1);
}

#[test]
fn an_outage_of_the_publisher_is_no_gap_in_the_listener_s_numbers() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, true, false);
    world.view(1, &[(0, SourceKind::Camera, 720)]);
    let sources = [(0, Media::Camera), (0, Media::Voice(100))];
    world.stream_ms(600, &sources);
    let before = world.clients[1].video[0].len();
    // 13 s of pictures are lost: 1300 packets.
    world.losses.up = 100;
    for _ in 0..325 {
        world.clients[0].send(Media::Camera, true);
        world.settle();
    }
    world.losses.up = 0;
    world.stream_ms(2_000, &sources);
    let packets = &world.clients[1].video[0];
    assert!(packets.len() > before + 100);
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    assert!(packets[before..].iter().any(|packet| packet.picture().2), "it goes on with a key frame");
}
