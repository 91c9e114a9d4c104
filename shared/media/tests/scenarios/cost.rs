//! What a forwarded packet costs in this crate alone, without sockets. Not a test of speed: machines differ. Run it with
//! `cargo test -p schulhof-media --test scenarios -- --ignored --nocapture`.

use crate::{
    sending::Media,
    world::{World, instant},
};
use schulhof_media::TransmitSink;
use schulhof_wire::media::SourceKind;
use std::net::SocketAddr;

const LISTENERS: usize = 50;
const ROUNDS: usize = 2_000;

/// Looks at each run, as a socket would.
#[derive(Default)]
struct Count {
    runs: u64,
    packets: u64,
}

impl TransmitSink for Count {
    fn run(&mut self, _: SocketAddr, packets: &[u8], segment_len: usize) {
        self.runs += 1;
        self.packets += packets.len().div_ceil(segment_len) as u64;
        std::hint::black_box(packets);
    }
}

#[test]
#[ignore = "a measurement"]
fn measure_the_cost_of_a_forwarded_packet() {
    let names: Vec<String> = (0..=LISTENERS).map(|n| format!("p{n}")).collect();
    let mut world = World::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.publish(0, false, true, false);
    for listener in 1..=LISTENERS {
        world.view(listener, &[(0, SourceKind::Camera, 720)]);
    }
    world.stream_ms(1_000, &[(0, Media::Camera)]);
    let mut batches = Vec::new();
    for _ in 0..ROUNDS {
        world.clients[0].send(Media::Camera, true);
        batches.push(std::mem::take(&mut world.clients[0].outgoing));
    }
    let before = world.engine.stats().forwarded_packets;
    let mut count = Count::default();
    let began = instant();
    for batch in batches {
        for (source, mut packet) in batch {
            world.engine.handle_datagram(world.now, source, &mut packet);
        }
        world.engine.drain_transmits(&mut count);
    }
    let spent = instant() - began;
    let forwarded = world.engine.stats().forwarded_packets - before;
    assert_eq!(forwarded as usize, ROUNDS * 4 * LISTENERS);
    let per_packet = spent.as_nanos() as u64 / forwarded;
    println!(
        "{forwarded} packets to {LISTENERS} listeners: {per_packet} ns each, {} per run",
        count.packets / count.runs
    );
}
