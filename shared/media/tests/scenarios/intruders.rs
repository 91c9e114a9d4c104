//! Somebody else on the line while a client connects: what he sends from another address, and over another way, neither
//! wins nor spoils the handshake, and is counted.

use crate::{client::Client, sending::Media, world::World};
use schulhof_media::DropReason;
use schulhof_wire::ticket::MediaRole;
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

fn stranger() -> SocketAddr {
    SocketAddr::from(([10, 6, 6, 6], 666))
}

/// The address of a TCP connection as the shell names it: mapped into IPv6, with a number as flow information.
fn over_tcp(number: u32) -> SocketAddr {
    SocketAddrV6::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 40_000, number, 0).into()
}

/// Lets client 0 connect; each of its DTLS datagrams comes first from `elsewhere`, as by somebody who races. How many.
fn raced(world: &mut World, elsewhere: SocketAddr) -> u64 {
    let mut raced = 0;
    for _ in 0..400 {
        for (source, mut packet) in std::mem::take(&mut world.clients[0].outgoing) {
            if (20..=63).contains(&packet[0]) {
                world.engine.handle_datagram(world.now, elsewhere, &mut packet.clone());
                raced += 1;
            }
            world.engine.handle_datagram(world.now, source, &mut packet);
        }
        world.engine.drain_transmits(&mut world.sink);
        for (dest, packet) in std::mem::take(&mut world.sink.packets) {
            assert_ne!(dest, elsewhere, "a stranger gets no packet at all");
            world.clients[0].receive(world.now, &packet);
        }
        if world.clients[0].is_connected() {
            break;
        }
        world.now += Duration::from_millis(5);
        world.clients[0].tick(world.now);
        world.engine.handle_timeout(world.now);
    }
    raced
}

#[test]
fn a_client_hello_that_races_from_another_address_is_not_answered() {
    let mut world = World::new();
    world.join("anna");
    let raced = raced(&mut world, stranger());
    assert!(world.clients[0].is_connected() && raced >= 2, "{raced}");
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), raced);
}

#[test]
fn the_same_address_over_another_way_is_another_address() {
    let mut world = World::new();
    world.join("anna");
    let raced = raced(&mut world, over_tcp(7));
    assert!(world.clients[0].is_connected() && raced >= 2, "{raced}");
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), raced);
}

#[test]
fn an_intruder_who_knows_neither_password_nor_certificate_ends_nobody_s_call() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, false, false);
    // Another client's whole handshake, from her own address: a forged source address on the same network.
    let mut mallory = Client::new(world.now, "mallory", world.clients[0].addresses[0]);
    mallory.hasty = true;
    let own = world.clients[0].answer.clone();
    let session = world.clients[0].session();
    mallory.answered(world.now, session, &own);
    let hello = mallory.outgoing.pop_front().unwrap().1;
    let address = world.clients[0].addresses[0];
    for round in 0..200u32 {
        world.engine.handle_datagram(world.now, address, &mut hello.clone());
        // A fatal alert of epoch 0, and a closing one: neither is authenticated.
        for alert in [[2, 40], [1, 0]] {
            let mut record = vec![21, 0xFE, 0xFD, 0, 0];
            record.extend_from_slice(&u64::from(round).to_be_bytes()[2..]);
            record.extend_from_slice(&[0, 2]);
            record.extend_from_slice(&alert);
            world.engine.handle_datagram(world.now, address, &mut record);
        }
        world.run_ms(5);
    }
    world.stream_ms(500, &[(0, Media::Voice(100))]);
    assert_eq!(world.closed(0), None);
    assert!(world.clients[1].audio[0].len() > 20, "{} packets were heard", world.clients[1].audio[0].len());
    assert!(world.dropped(DropReason::Dtls) > 0);
}

#[test]
fn a_call_goes_on_over_udp_when_its_tcp_connection_is_closed_and_back() {
    let mut world = World::with(&["anna", "ben"]);
    world.publish(0, true, false, false);
    let udp = world.clients[1].addresses[0];
    world.clients[1].move_to(over_tcp(9));
    world.clients[1].check(world.now, true);
    world.stream_ms(200, &[(0, Media::Voice(100))]);
    let sent_to = |world: &World, dest: SocketAddr| world.sink.runs.iter().filter(|(to, _)| *to == dest).count();
    assert!(sent_to(&world, over_tcp(9)) > 5, "the nominated way is taken");
    assert!(world.engine.is_checked(over_tcp(9)) && !world.engine.is_checked(over_tcp(8)));
    world.engine.forget(over_tcp(9));
    world.clients[1].move_to(udp);
    assert!(!world.engine.is_checked(over_tcp(9)));
    let before = sent_to(&world, udp);
    world.stream_ms(200, &[(0, Media::Voice(100))]);
    assert!(sent_to(&world, udp) > before + 5, "what is left of the ways is taken");
}

/// Nothing of the node is sent to a client before it has shown who it is; the ends of a connection alone are no proof.
#[test]
fn early_media_over_a_new_way_changes_nothing() {
    let mut world = World::new();
    let anna = world.join_as("anna", MediaRole::Moderator);
    world.engine.handle_datagram(world.now, over_tcp(3), &mut [0x80; 60]);
    world.engine.handle_datagram(world.now, over_tcp(3), &mut [22; 60]);
    world.engine.forget(over_tcp(3));
    world.engine.drain_transmits(&mut world.sink);
    assert_eq!(world.sink.runs, [], "nothing is sent");
    assert_eq!(world.dropped(DropReason::UnvalidatedAddress), 2);
    world.run_ms(200);
    assert!(world.clients[anna].is_connected());
}
