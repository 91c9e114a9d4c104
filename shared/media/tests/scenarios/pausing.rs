//! When not even the smallest layers of all pictures fit, the last ones pause, the client is told, and they come back.

use crate::{sending::Media, world::World};
use schulhof_testkit::Conditions;
use schulhof_wire::media::{SourceKind, ToClient};

const VIEWER: usize = 4;

fn line(rate_kbit_s: u64) -> Conditions {
    Conditions { delay_min_ms: 20, delay_max_ms: 22, rate_kbit_s, queue_ms: 300, ..Conditions::default() }
}

/// A screen of 0.6 Mbit/s and four cameras of 0.2, 0.4 and 0.8.
fn streams() -> Vec<(usize, Media)> {
    let cameras = (0..4).map(|source| (source, Media::Camera));
    cameras.chain([(0, Media::Screen), (0, Media::Voice(100))]).collect()
}

fn paused(world: &World) -> Vec<(usize, SourceKind)> {
    let slots = world.slots(VIEWER).1.into_iter().filter(|slot| slot.paused);
    let place = |id| (0..4).find(|source| Some(world.clients[*source].id()) == id).unwrap();
    slots.map(|slot| (place(slot.participant), slot.kind)).collect()
}

/// Pictures of a camera that arrive in the next second.
fn pictures(world: &mut World, of: usize) -> usize {
    let id = world.clients[of].id();
    let slots = world.slots(VIEWER).1;
    let slot = slots
        .iter()
        .position(|slot| slot.kind == SourceKind::Camera && slot.participant.as_ref() == Some(&id))
        .expect("it keeps its slot");
    let before = world.clients[VIEWER].video[slot].len();
    world.stream_ms(1_000, &streams());
    world.clients[VIEWER].video[slot].len() - before
}

#[test]
fn the_last_pictures_pause_on_a_narrow_line_and_come_back_on_a_wide_one() {
    let mut world = World::with(&["anna", "ben", "cem", "dora", "emil"]);
    world.set_way(VIEWER, &line(10_000));
    for source in 0..4 {
        world.publish(source, source == 0, true, source == 0);
    }
    let cameras = (0..4).map(|source| (source, SourceKind::Camera, 360));
    let view: Vec<_> = cameras.chain([(0, SourceKind::Screen, 1_080)]).collect();
    world.view(VIEWER, &view);
    world.stream_ms(5_000, &streams());
    assert_eq!(paused(&world), []);

    world.set_way(VIEWER, &line(1_250));
    world.stream_ms(20_000, &streams());
    let gone = paused(&world);
    assert!(!gone.is_empty() && gone.iter().all(|(_, kind)| *kind == SourceKind::Camera), "{gone:?}");
    assert!(gone.contains(&(3, SourceKind::Camera)) && !gone.contains(&(0, SourceKind::Camera)), "{gone:?}");
    assert_eq!(pictures(&mut world, 3), 0);
    assert!(pictures(&mut world, 0) >= 20, "the first camera goes on");

    world.set_way(VIEWER, &line(10_000));
    let seconds = (1..60).find(|_| {
        world.stream_ms(1_000, &streams());
        paused(&world).is_empty()
    });
    println!("all back after {seconds:?} s");
    assert!(seconds.is_some_and(|seconds| seconds <= 20), "{seconds:?}");
    assert!(pictures(&mut world, 3) >= 20);
}

#[test]
fn a_line_that_stumbles_does_not_pause_the_only_picture() {
    let mut world = World::with(&["anna", "ben"]);
    // The packets of a tenth of a second come at once now and then, as from a loaded machine.
    let jittery = Conditions {
        delay_min_ms: 30,
        delay_max_ms: 110,
        loss_permille: 30,
        rate_kbit_s: 500,
        queue_ms: 300,
        ..Conditions::default()
    };
    world.set_way(1, &jittery);
    world.publish(0, true, true, false);
    world.view(1, &[(0, SourceKind::Camera, 720)]);
    let lesson = [(0, Media::Voice(100)), (0, Media::Camera)];
    world.stream_ms(10_000, &lesson);
    let before = world.clients[1].video[0].len();
    let told = world.told(1).len();
    world.stream_ms(30_000, &lesson);
    let pictures = world.clients[1].video[0].len() - before;
    let pauses = world.told(1)[told..]
        .iter()
        .filter(|message| matches!(message, ToClient::Slots { video, .. } if video.iter().any(|slot| slot.paused)));
    let pauses = pauses.count();
    println!("{pictures} pictures of 750, {pauses} pauses");
    assert!(pauses <= 1 && pictures >= 600, "{pictures} pictures of 750, {pauses} pauses");
}
