//! Media flows from one client to another, through real handshakes, with numbers that never jump.

mod common;

use common::{Media, World};
use schulhof_wire::media::SourceKind;

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
}
