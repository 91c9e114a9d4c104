//! Everybody hears the three loudest others.

use crate::{sending::Media, world::World};
use schulhof_wire::media::ParticipantId;

fn ids(names: &[&str]) -> Vec<ParticipantId> {
    names.iter().map(|name| ParticipantId(format!("ticket-{name}"))).collect()
}

#[test]
fn the_three_loudest_others_are_heard_and_the_room_is_told_who_speaks() {
    let mut world = World::with(&["anna", "ben", "cem", "dora", "emil", "fanni"]);
    for client in 0..6 {
        world.publish(client, true, false, false);
    }
    let levels = [110, 105, 100, 95, 40, 30];
    let voices: Vec<(usize, Media)> = levels.iter().enumerate().map(|(i, level)| (i, Media::Voice(*level))).collect();
    world.stream_ms(2_000, &voices);
    assert_eq!(world.heard_by(5), ids(&["anna", "ben", "cem"]));
    assert_eq!(world.heard_by(0), ids(&["ben", "cem", "dora"]), "nobody hears himself");
    let speaking: Vec<_> = world.speakers(5).into_iter().map(|speaker| speaker.participant).collect();
    assert_eq!(speaking, ids(&["anna", "ben", "cem", "dora"]));

    // Fanni begins to speak, Anna stops.
    let mut voices = voices;
    voices[0].1 = Media::Voice(0);
    voices[5].1 = Media::Voice(115);
    world.stream_ms(3_000, &voices);
    assert_eq!(world.heard_by(4), ids(&["ben", "cem", "fanni"]));
    assert_eq!(world.heard_by(0), ids(&["ben", "cem", "fanni"]));
    assert_eq!(world.heard_by(5), ids(&["ben", "cem", "dora"]));
    assert_eq!(world.speakers(1)[0].participant, ids(&["fanni"])[0]);
}

#[test]
fn a_voice_goes_on_without_a_jump_when_another_one_takes_its_slot() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, false, false);
    world.stream_ms(1_000, &[(0, Media::Voice(100))]);
    world.publish(0, false, false, false);
    world.run_ms(500);
    world.publish(0, true, false, false);
    world.stream_ms(1_000, &[(0, Media::Voice(100))]);
    let heard = &world.clients[1].audio[0];
    assert!(heard.len() > 90, "{} packets", heard.len());
    for pair in heard.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!((960..48_000).contains(&step), "a step of {step}");
    }
    let talkspurts = heard.iter().filter(|packet| packet.marker).count();
    assert_eq!(talkspurts, 2, "each beginning is marked");
}
