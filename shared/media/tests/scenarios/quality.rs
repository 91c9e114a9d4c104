//! Everybody is told how well the own connection does, moderators how everybody's does.

use crate::{sending::Media, world::World};
use schulhof_testkit::Conditions;
use schulhof_wire::{
    media::{Quality, SourceKind, ToClient},
    ticket::MediaRole,
};

const LESSON: [(usize, Media); 3] = [(0, Media::Voice(100)), (0, Media::Camera), (1, Media::Voice(50))];

/// As a client was last told, by the others' names.
fn told(world: &World, client: usize) -> Vec<(String, Quality)> {
    let mut messages = world.told(client).iter().rev();
    let people = messages.find_map(|m| if let ToClient::Quality { people } = m { Some(people) } else { None });
    let name =
        |person: &schulhof_wire::media::PersonQuality| person.participant.0.trim_start_matches("ticket-").to_owned();
    people.map(|people| people.iter().map(|person| (name(person), person.quality)).collect()).unwrap_or_default()
}

#[test]
fn a_bad_line_is_told_to_its_owner_and_to_the_moderator_alone() {
    let mut world = World::new();
    world.join_as("maria", MediaRole::Moderator);
    for name in ["ben", "cem"] {
        world.join_as(name, MediaRole::Participant);
    }
    world.run_ms(200);
    world.publish(0, true, true, false);
    world.publish(1, true, false, false);
    for listener in [1, 2] {
        world.view(listener, &[(0, SourceKind::Camera, 720)]);
    }
    world.stream_ms(3_000, &LESSON);
    let all = |ben| [("maria", Quality::Excellent), ("ben", ben), ("cem", Quality::Excellent)];
    let owned =
        |people: &[(&str, Quality)]| people.iter().map(|(name, q)| ((*name).to_owned(), *q)).collect::<Vec<_>>();
    assert_eq!(told(&world, 0), owned(&all(Quality::Excellent)));
    assert_eq!(told(&world, 1), owned(&[("ben", Quality::Excellent)]));

    let narrow =
        Conditions { delay_min_ms: 40, delay_max_ms: 42, rate_kbit_s: 350, queue_ms: 300, ..Conditions::default() };
    world.set_way(1, &narrow);
    world.stream_ms(10_000, &LESSON);
    assert_eq!(told(&world, 0), owned(&all(Quality::Poor)));
    assert_eq!(told(&world, 1), owned(&[("ben", Quality::Poor)]));
    assert_eq!(told(&world, 2), owned(&[("cem", Quality::Excellent)]), "nobody else learns of it");

    // The line is cut.
    world.set_way(1, &Conditions { loss_permille: 1_000, ..Conditions::default() });
    world.stream_ms(8_000, &LESSON);
    assert_eq!(told(&world, 0), owned(&all(Quality::Lost)));
    world.set_way(1, &Conditions::default());
    world.stream_ms(2_000, &LESSON);
    assert_ne!(told(&world, 0), owned(&all(Quality::Lost)), "who is back is back");
    let messages = world.told(0).iter().filter(|message| matches!(message, ToClient::Quality { .. })).count();
    assert!(messages <= 12, "{messages} in 23 s");
}
