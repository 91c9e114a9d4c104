//! When not even the smallest layers of all pictures fit, the last ones pause, the client is told, and they come back.

use crate::{sending::Media, world::World};
use schulhof_testkit::Conditions;
use schulhof_wire::media::SourceKind;

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
