//! Hostile packets change nothing, cost little, and are counted.

use crate::{
    client::Client,
    sending::{Media, rtp},
    world::{World, claims},
};
use schulhof_media::DropReason;
use schulhof_wire::{media::SourceKind, ticket::MediaRole};
use std::net::SocketAddr;

fn stranger() -> SocketAddr {
    SocketAddr::from(([10, 6, 6, 6], 666))
}

#[test]
fn a_client_with_another_certificate_than_offered_is_refused() {
    let mut world = World::new();
    let mut mallory = Client::new(world.now, "mallory", SocketAddr::from(([127, 0, 0, 1], 40_000)));
    let first = mallory.fingerprint.remove(0);
    mallory.fingerprint.insert(0, if first == '0' { '1' } else { '0' });
    let mallory = world.join_with(mallory, MediaRole::Participant);
    world.run_ms(500);
    assert_eq!(world.closed(mallory).as_deref(), Some("transport-failed"));
    let stats = world.engine.stats();
    assert_eq!((stats.participants, stats.handshakes), (0, 0));
    assert_eq!(world.dropped(DropReason::Dtls), 1);
}

#[test]
fn checks_without_the_password_open_no_address() {
    let mut world = World::with(&["anna"]);
    let answers = world.sink.runs.len();
    let mut forged = world.clients[0].binding_request(true, "guessed-guessed-guessed!");
    world.engine.handle_datagram(world.now, stranger(), &mut forged);
    let mut unknown = forged.clone();
    unknown[30] ^= 0x55;
    world.engine.handle_datagram(world.now, stranger(), &mut unknown);
    world.engine.handle_datagram(world.now, stranger(), &mut [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    world.engine.handle_datagram(world.now, stranger(), &mut [0x80; 100]);
    world.settle();
    assert_eq!(world.dropped(DropReason::Stun), 2);
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), 2);
    assert_eq!(world.sink.runs.len(), answers, "a stranger gets no packet at all");
}

#[test]
fn repeated_and_forged_media_is_dropped_by_its_reason() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, false, false);
    world.stream_ms(200, &[(0, Media::Voice(100))]);
    world.clients[0].send(Media::Voice(100), false);
    let (source, packet) = world.clients[0].outgoing.pop_back().unwrap();
    let forwarded = |world: &World| world.engine.stats().forwarded_packets;
    let before = forwarded(&world);

    let mut forged = packet.clone();
    *forged.last_mut().unwrap() ^= 1;
    world.engine.handle_datagram(world.now, source, &mut forged);
    assert_eq!(world.dropped(DropReason::Forged), 1);
    world.engine.handle_datagram(world.now, source, &mut packet.clone());
    assert_eq!(forwarded(&world), before + 1, "a forgery must not spoil the real packet");
    for _ in 0..10 {
        world.engine.handle_datagram(world.now, source, &mut packet.clone());
    }
    assert_eq!(world.dropped(DropReason::Replayed), 10);
    assert_eq!(forwarded(&world), before + 1);

    // The same bytes from elsewhere, and another SSRC that nobody has sealed.
    world.engine.handle_datagram(world.now, stranger(), &mut packet.clone());
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), 1);
    let mut other = packet;
    other[8] ^= 1;
    world.engine.handle_datagram(world.now, source, &mut other);
    assert_eq!(world.dropped(DropReason::Forged), 2);
    world.run_ms(100);
    assert!(world.clients[1].is_connected());
}

#[test]
fn streams_without_end_are_not_taken() {
    let mut world = World::with(&["anna"]);
    for ssrc in 0..500 {
        world.clients[0].seal(&rtp(111, false, 1, 1, ssrc, vec![0x40, b'0'], b"voice"));
        world.clients[0].seal(&rtp(55, false, 1, 1, 10_000 + ssrc, vec![0x40, b'0'], b"unknown payload type"));
        world.clients[0].seal(&rtp(96, false, 1, 1, 20_000 + ssrc, vec![0x40, b'9'], b"unknown m-line"));
    }
    world.settle();
    assert_eq!(world.dropped(DropReason::UnknownStream), 1_500 - 32);
}

#[test]
fn nonsense_inside_authentic_packets_does_no_harm() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, true, true);
    world.view(1, &[(0, SourceKind::Camera, 180), (0, SourceKind::Screen, 180)]);
    world.stream_ms(200, &[(0, Media::Camera), (0, Media::Screen), (0, Media::Voice(90))]);
    for round in 0..3_000u32 {
        let len = world.rng.index(60);
        let body: Vec<u8> = (0..len).map(|_| world.rng.below(256) as u8).collect();
        let payload_type = *world.rng.pick(&[96, 97, 111, 63]);
        let mid = *world.rng.pick(b"0129");
        let extension = vec![0x40, mid, 0xA0, *world.rng.pick(b"qhfx"), 0xB0, *world.rng.pick(b"qhf"), 0x31, 1, 2];
        let mut packet = rtp(payload_type, round % 2 == 0, round as u16, round * 50, 7 + round % 40, extension, &body);
        if round % 3 == 0 {
            packet[0] |= 0x20;
        }
        world.clients[0].seal(&packet);
        if round % 100 == 0 {
            world.run_ms(20);
        }
    }
    world.run_ms(200);
    assert!(world.dropped(DropReason::BadPayload) > 0);
    world.publish(1, true, true, false);
    world.stream_ms(1_000, &[(1, Media::Camera), (1, Media::Voice(90))]);
    let slot = world.video_slot_of(0, 1).unwrap();
    assert!(world.clients[0].video[slot].len() > 40 && world.clients[0].audio[0].len() > 40, "the room lives on");
}

/// Everything that a client says during its handshake, with random changes.
#[test]
fn damaged_handshakes_neither_panic_nor_pile_up() {
    for seed in 0..60 {
        let mut world = World::new();
        world.rng = schulhof_testkit::Rng::new(seed);
        world.join("anna");
        for _ in 0..60 {
            world.now += std::time::Duration::from_millis(20);
            world.clients[0].tick(world.now);
            let outgoing = std::mem::take(&mut world.clients[0].outgoing);
            for (source, packet) in outgoing {
                let copies = 1 + world.rng.index(3);
                for _ in 0..copies {
                    let mut packet = packet.clone();
                    for _ in 0..world.rng.index(4) {
                        let at = world.rng.index(packet.len());
                        packet[at] = world.rng.below(256) as u8;
                    }
                    if world.rng.chance(1, 8) {
                        packet.truncate(world.rng.index(packet.len()));
                    }
                    world.engine.handle_datagram(world.now, source, &mut packet);
                }
            }
            world.engine.handle_timeout(world.now);
            world.engine.drain_transmits(&mut world.sink);
            while let Some((_, packet)) = world.sink.packets.pop_front() {
                world.clients[0].receive(world.now, &packet);
            }
        }
    }
}

#[test]
fn a_flood_of_handshake_datagrams_ends_at_the_session_s_budget() {
    let mut world = World::new();
    world.join("anna");
    world.clients[0].check(world.now, false);
    let check = world.clients[0].outgoing.pop_front().unwrap();
    world.engine.handle_datagram(world.now, check.0, &mut check.1.clone());
    // A well-formed handshake record of epoch 0 that leads nowhere.
    let mut record = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + 100];
    record.extend_from_slice(&[1, 0, 0, 100, 0, 9, 0, 0, 0, 0, 0, 100]);
    record.resize(13 + 112, 0);
    for n in 0..10_000u32 {
        record[7..11].copy_from_slice(&n.to_be_bytes());
        world.engine.handle_datagram(world.now, check.0, &mut record.clone());
    }
    assert!(world.dropped(DropReason::Dtls) >= 10_000 - 128);
}

#[test]
fn random_datagrams_from_anywhere_do_no_harm() {
    let mut world = World::with(&["anna"]);
    let known = world.clients[0].addresses[0];
    for round in 0..20_000 {
        let len = world.rng.index(80);
        let mut packet: Vec<u8> = (0..len).map(|_| world.rng.below(256) as u8).collect();
        if let Some(first) = packet.first_mut() {
            *first = *world.rng.pick(&[0, 1, 20, 22, 23, 63, 128, 144, 191, 255]);
        }
        let source = if round % 2 == 0 { known } else { stranger() };
        world.engine.handle_datagram(world.now, source, &mut packet);
    }
    world.run_ms(3_000);
    assert!(world.engine.contains(world.clients[0].session()));
    assert!(world.engine.join(world.now, claims("ben", MediaRole::Participant), &world.clients[0].offer()).is_ok());
}
