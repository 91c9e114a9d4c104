//! Media flows from one client to another, through real handshakes, and to nobody who should not have it.

use crate::{sending::Media, world::World};
use schulhof_media::DropReason;
use schulhof_wire::media::{SourceKind, ToNode};

#[test]
fn a_voice_and_a_picture_reach_the_others_and_nobody_else() {
    let mut world = World::with(&["anna", "ben", "cem"]);
    world.publish(0, true, true, false);
    world.view(1, &[(0, SourceKind::Camera, 180)]);
    world.view(2, &[]);
    world.stream_ms(1_000, &[(0, Media::Voice(100)), (0, Media::Camera)]);

    let slot = world.video_slot_of(1, 0).expect("ben sees anna");
    let pictures = &world.clients[1].video[slot];
    assert!(pictures.len() >= 20, "{} packets", pictures.len());
    assert!(pictures.iter().all(|packet| packet.picture().3 == "anna/q"), "the layer fits the tile");
    assert!(pictures[0].picture().2, "a picture begins with a key frame");
    assert!(world.clients[1].audio.iter().flatten().count() >= 40);
    assert_eq!(world.clients[2].video.iter().flatten().count(), 0, "cem's view is empty");
    assert!(world.clients[2].audio.iter().flatten().count() >= 40);
    assert_eq!(world.clients[0].audio.iter().chain(&world.clients[0].video).flatten().count(), 0, "no echo");
    for reason in DropReason::ALL {
        assert_eq!(world.dropped(reason), 0, "{reason:?}");
    }
}

#[test]
fn what_is_switched_off_is_not_forwarded_even_if_it_is_sent() {
    let mut world = World::with(&["anna", "ben"]);
    world.stream_ms(200, &[(0, Media::Voice(100)), (0, Media::Camera)]);
    assert_eq!(world.engine.stats().forwarded_packets, 0, "nothing was published yet");
    world.publish(0, true, true, false);
    world.stream_ms(400, &[(0, Media::Voice(100)), (0, Media::Camera)]);
    assert!(world.engine.stats().forwarded_packets > 20);
    world.publish(0, false, false, false);
    let before = world.engine.stats().forwarded_packets;
    world.stream_ms(400, &[(0, Media::Voice(100)), (0, Media::Camera)]);
    assert_eq!(world.engine.stats().forwarded_packets, before);
    assert_eq!(world.video_slot_of(1, 0), None);
    assert!(world.heard_by(1).is_empty());
}

#[test]
fn a_frame_leaves_as_one_run_per_listener() {
    let mut world = World::with(&["anna", "ben", "cem"]);
    world.publish(0, false, true, false);
    for listener in [1, 2] {
        world.view(listener, &[(0, SourceKind::Camera, 720)]);
    }
    world.stream_ms(500, &[(0, Media::Camera)]);
    world.sink.runs.clear();
    world.clients[0].send(Media::Camera, true);
    world.settle();
    for listener in [1, 2] {
        let address = world.clients[listener].addresses[0];
        let runs: Vec<usize> = world.sink.runs.iter().filter(|(to, _)| *to == address).map(|(_, n)| *n).collect();
        assert_eq!(runs, [4], "four equal packets of the largest layer");
    }
}

#[test]
fn without_a_view_the_screen_and_the_cameras_of_the_others_are_shown() {
    let mut world = World::with(&["anna", "ben", "cem"]);
    world.publish(0, false, true, true);
    world.publish(1, false, true, false);
    world.stream_ms(1_000, &[(0, Media::Camera), (0, Media::Screen), (1, Media::Camera)]);
    let shown: Vec<_> = world.slots(2).1.into_iter().filter(|slot| slot.participant.is_some()).collect();
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().any(|slot| slot.kind == SourceKind::Screen));
    let screen = shown.iter().find(|slot| slot.kind == SourceKind::Screen).unwrap();
    assert!(world.clients[2].video[usize::from(screen.slot)].iter().all(|p| p.picture().3 == "anna/screen"));
    assert!(world.clients[2].video[usize::from(screen.slot)].len() > 50);
    assert_eq!(world.slots(1).1.iter().filter(|slot| slot.participant.is_some()).count(), 2);
}

#[test]
fn messages_of_the_control_channel_are_answered_and_bounded() {
    let mut world = World::with(&["anna"]);
    for n in 0..1_000 {
        world.control(0, ToNode::Ping { n });
    }
    world.settle();
    let pongs = world.told(0).iter().filter(|message| matches!(message, schulhof_wire::media::ToClient::Pong { .. }));
    assert_eq!(pongs.count(), 50);
    assert_eq!(world.dropped(DropReason::Control), 950);
}
