//! Losses on either side are mended, key frames reach who asked for them, and reports are made.

use crate::{sending::Media, world::World};
use rtc_rtcp::{
    payload_feedbacks::picture_loss_indication::PictureLossIndication,
    receiver_report::ReceiverReport,
    reception_report::ReceptionReport,
    sender_report::SenderReport,
    transport_feedbacks::{
        transport_layer_cc::TransportLayerCc,
        transport_layer_nack::{NackPair, TransportLayerNack},
    },
};
use schulhof_wire::media::SourceKind;
use std::collections::BTreeSet;

fn watching() -> World {
    let mut world = World::with(&["anna", "ben"]);
    watch(&mut world);
    world
}

fn watch(world: &mut World) {
    world.publish(0, false, true, false);
    world.view(1, &[(0, SourceKind::Camera, 720)]);
    world.stream_ms(600, &[(0, Media::Camera)]);
}

/// Numbers between the first and the last that ben has not got.
fn gaps(world: &World) -> Vec<u16> {
    let packets = &world.clients[1].video[0];
    let got: BTreeSet<u16> = packets.iter().map(|packet| packet.sequence).collect();
    let first = packets[0].sequence;
    let last = packets.iter().map(|packet| packet.sequence.wrapping_sub(first)).max().unwrap();
    (0..=last).map(|n| first.wrapping_add(n)).filter(|sequence| !got.contains(sequence)).collect()
}

fn nack(world: &mut World, sequences: &[u16]) {
    let media_ssrc = world.clients[1].video_ssrc(0);
    let nacks = sequences.iter().map(|sequence| NackPair::new(*sequence)).collect();
    world.clients[1].send_rtcp(&TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks });
}

#[test]
fn a_listener_that_lost_packets_gets_them_from_the_source_s_history() {
    let mut world = watching();
    world.losses.down = 20;
    world.stream_ms(400, &[(0, Media::Camera)]);
    world.losses.down = 0;
    world.stream_ms(40, &[(0, Media::Camera)]);
    let lost = gaps(&world);
    assert!(lost.len() >= 3, "{} lost", lost.len());
    nack(&mut world, &lost);
    world.settle();
    assert!(gaps(&world).is_empty());
    assert_eq!(world.clients[1].repaired as usize, lost.len());
    // Each repaired packet is the one that belongs there.
    let mut packets = world.clients[1].video[0].clone();
    packets.sort_by_key(|packet| packet.sequence.wrapping_sub(world.clients[1].video[0][0].sequence));
    for pair in packets.windows(2) {
        let (before, after) = (pair[0].picture().0, pair[1].picture().0);
        assert!(after == before || after == (before + 1) & 0x7FFF, "pictures in order");
        assert_eq!(after == before, pair[0].timestamp == pair[1].timestamp);
    }
    assert_eq!(world.engine.stats().retransmitted_packets, lost.len() as u64);

    nack(&mut world, &[packets[0].sequence.wrapping_sub(5_000)]);
    world.settle();
    assert_eq!(world.engine.stats().retransmissions_missed, 1, "what was never sent");
}

#[test]
fn packets_that_a_publisher_lost_are_asked_for_and_passed_on() {
    let mut world = watching();
    world.losses.up = 10;
    world.stream_ms(2_000, &[(0, Media::Camera)]);
    world.losses.up = 0;
    world.run_ms(600);
    assert!(world.engine.stats().nacks_sent > 10);
    assert!(gaps(&world).is_empty(), "the listener has got everything");
}

#[test]
fn a_flood_of_retransmission_wishes_is_bounded() {
    let mut world = watching();
    let packets = &world.clients[1].video[0];
    let last = packets.last().unwrap().sequence;
    for _ in 0..100 {
        let wishes: Vec<u16> = (0..40).map(|n| last.wrapping_sub(n)).collect();
        nack(&mut world, &wishes);
    }
    world.settle();
    assert!(world.clients[1].repaired <= 500, "{} sent again", world.clients[1].repaired);
}

#[test]
fn a_wish_for_a_key_frame_reaches_the_publisher_but_a_flood_does_not() {
    let mut world = watching();
    let plis = |world: &World| world.clients[0].rtcp_of::<PictureLossIndication>().len();
    let before = plis(&world);
    let media_ssrc = world.clients[1].video_ssrc(0);
    for _ in 0..100 {
        world.clients[1].send_rtcp(&PictureLossIndication { sender_ssrc: 1, media_ssrc });
        world.stream_ms(20, &[(0, Media::Camera)]);
    }
    let during = plis(&world) - before;
    assert!((3..=5).contains(&during), "{during} in two seconds");
    assert_eq!(world.engine.stats().plis_received, 100);
    let keys = world.clients[1].video[0].iter().filter(|packet| packet.picture().2).count();
    assert_eq!(keys, during + 1);
}

#[test]
fn wishes_of_many_listeners_for_a_key_frame_are_one_for_the_publisher() {
    let names: Vec<String> = (0..25).map(|n| format!("p{n}")).collect();
    let mut world = World::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.publish(0, false, true, false);
    for listener in 1..25 {
        world.view(listener, &[(0, SourceKind::Camera, 720)]);
    }
    world.stream_ms(2_000, &[(0, Media::Camera)]);
    let plis = |world: &World| world.clients[0].rtcp_of::<PictureLossIndication>().len();
    let before = plis(&world);
    for round in 0..4 {
        for listener in 1..25 {
            let media_ssrc = world.clients[listener].video_ssrc(0);
            world.clients[listener].send_rtcp(&PictureLossIndication { sender_ssrc: 1, media_ssrc });
        }
        world.stream_ms(1_000, &[(0, Media::Camera)]);
        assert_eq!(plis(&world), before + round + 1, "round {round}");
    }
    for listener in 1..25 {
        let keys = world.clients[listener].video[0].iter().filter(|packet| packet.picture().2).count();
        assert!(keys >= 5, "each got what it asked for");
    }
}

#[test]
fn publishers_learn_how_their_packets_arrive() {
    let mut world = watching();
    world.stream_ms(2_000, &[(0, Media::Camera)]);
    let anna = &world.clients[0];
    let feedbacks = anna.rtcp_of::<TransportLayerCc>();
    assert!(feedbacks.len() >= 30, "{} in 2.6 s", feedbacks.len());
    let told: u64 = feedbacks.iter().map(|feedback| u64::from(feedback.packet_status_count)).sum();
    // Seven packets each 40 ms.
    assert!((430..=455).contains(&told), "{told} packets were told of");
    let reports = anna.rtcp_of::<ReceiverReport>();
    assert_eq!(reports.last().unwrap().reports.len(), 3, "one block per layer");
    assert!(reports.last().unwrap().reports.iter().all(|report| report.fraction_lost == 0));
    let senders = world.clients[1].rtcp_of::<SenderReport>();
    let report = senders.iter().rfind(|report| report.ssrc == world.clients[1].video_ssrc(0)).unwrap();
    assert!(report.packet_count > 100 && report.ntp_time > 0);
}

#[test]
fn a_listener_with_lasting_losses_gets_smaller_layers_and_others_do_not() {
    let mut world = World::without_feedback(&["anna", "ben", "cem"]);
    world.publish(0, false, true, false);
    for listener in [1, 2] {
        world.view(listener, &[(0, SourceKind::Camera, 720)]);
    }
    let shown = |world: &World, client: usize| world.clients[client].video[0].last().unwrap().picture().3;
    for (second, layer) in [(1, "anna/f"), (2, "anna/f"), (3, "anna/h"), (4, "anna/h"), (5, "anna/q")] {
        let report = ReceptionReport { ssrc: world.clients[1].video_ssrc(0), fraction_lost: 64, ..Default::default() };
        world.clients[1].send_rtcp(&ReceiverReport { ssrc: 1, reports: vec![report], ..Default::default() });
        world.stream_ms(1_000, &[(0, Media::Camera)]);
        assert_eq!(shown(&world, 1), layer, "second {second}");
        assert_eq!(shown(&world, 2), "anna/f");
    }
}

#[test]
fn a_listener_is_not_blamed_for_what_the_publisher_s_line_lost() {
    let mut world = World::without_feedback(&["anna", "ben"]);
    watch(&mut world);
    world.clients[0].repairs = false;
    world.losses.up = 25;
    for _ in 0..8 {
        let report = ReceptionReport { ssrc: world.clients[1].video_ssrc(0), fraction_lost: 64, ..Default::default() };
        world.clients[1].send_rtcp(&ReceiverReport { ssrc: 1, reports: vec![report], ..Default::default() });
        world.stream_ms(1_000, &[(0, Media::Camera)]);
    }
    assert_eq!(world.clients[1].video[0].last().unwrap().picture().3, "anna/f");
}
