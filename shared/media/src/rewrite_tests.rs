use super::*;
use crate::{testing::instant, vp8::Descriptor};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

fn vp8(picture_id: u16, tl0: u8, key_frame: bool) -> Option<Descriptor> {
    let wide = (0x8000 | picture_id).to_be_bytes();
    let payload = [0x90, 0xE0, wide[0], wide[1], tl0, 0x20, u8::from(!key_frame)];
    Descriptor::parse(&payload)
}

fn rewriter() -> Rewriter<u32> {
    Rewriter::new(90_000, 1, [0x7F, 0xF0, 0, 0, 0, 9, 0x7F, 0xFE])
}

fn picture_id(packet: &Incoming, out: &Outgoing) -> u16 {
    packet.descriptor.unwrap().picture_id.unwrap().shifted(out.shift.picture_id)
}

fn packet(index: u64, timestamp: u32) -> Incoming {
    Incoming { index, timestamp, descriptor: vp8(timestamp as u16 & 0x7FFF, timestamp as u8, true) }
}

#[test]
fn numbers_go_on_without_a_jump_when_the_source_changes() {
    let start = instant();
    let mut rewriter = rewriter();
    let first = rewriter.start(start, 1, &packet(500, 10_000));
    let second = rewriter.forward(start, &packet(501, 10_000)).unwrap();
    assert_eq!(second.index, first.index + 1);
    // 40 ms later another source begins, with numbers of its own.
    let later = start + Duration::from_millis(40);
    let third = rewriter.start(later, 2, &packet(9_000, 77));
    assert_eq!(third.index, second.index + 1);
    assert_eq!(third.timestamp.wrapping_sub(second.timestamp), 3_600);
    let before = picture_id(&packet(501, 10_000), &second);
    assert_eq!(picture_id(&packet(9_000, 77), &third), (before + 1) & 0x7FFF);
    assert_eq!(rewriter.forward(later, &packet(8_999, 77)), None, "from before the switch");
    assert_eq!(rewriter.locate(second.index as u16).map(|(origin, index, ..)| (*origin, index)), Some((1, 501)));
    assert_eq!(rewriter.locate(third.index as u16).map(|(origin, index, ..)| (*origin, index)), Some((2, 9_000)));
}

#[test]
fn a_packet_that_is_left_out_leaves_no_gap_but_a_lost_one_does() {
    let now = instant();
    let mut rewriter = rewriter();
    let first = rewriter.start(now, 1, &packet(10, 0)).index;
    assert!(rewriter.skip(11));
    assert_eq!(rewriter.forward(now, &packet(13, 0)).unwrap().index, first + 2, "12 may still come");
    assert_eq!(rewriter.forward(now, &packet(12, 0)).unwrap().index, first + 1);
    assert_eq!(rewriter.forward(now, &packet(11, 0)), None);
    assert!(!rewriter.skip(12), "too late to close this gap");
    for index in 14..14 + 2 * SKIPPED_MAX as u64 {
        assert!(rewriter.skip(index));
    }
    let next = 14 + 2 * SKIPPED_MAX as u64;
    assert_eq!(rewriter.forward(now, &packet(next, 0)).unwrap().index, first + 3);
    assert_eq!(rewriter.locate((first + 3) as u16).map(|(_, index, ..)| index), Some(next));
}

#[test]
fn a_long_pause_moves_the_timestamp_forward_by_its_length_within_bounds() {
    let start = instant();
    let mut rewriter = rewriter();
    let first = rewriter.start(start, 1, &packet(0, 5));
    let second = rewriter.start(start + Duration::from_hours(20), 2, &packet(0, 5));
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 3_600 * 90_000);
}

/// What happens to the stream that one slot shows.
#[derive(Debug, Clone)]
enum Step {
    /// Next packet of the running source arrives.
    Packet,
    /// It is lost for good.
    Lost,
    /// It arrives later, behind so many others.
    Late(usize),
    /// It is padding only.
    Padding,
    /// Another source takes over.
    Switch(u16),
    /// Somebody asks for a packet again: so many before the latest.
    Nack(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Packet),
        2 => Just(Step::Lost),
        2 => (1usize..6).prop_map(Step::Late),
        2 => Just(Step::Padding),
        1 => any::<u16>().prop_map(Step::Switch),
        2 => (0u16..200).prop_map(Step::Nack),
    ]
}

proptest! {
    /// Random switches, losses, reordering and padding: every outgoing number stands for one packet only, numbers run on
    /// except where a packet was lost, and each number leads back to its packet.
    #[test]
    fn a_listener_never_sees_a_repetition_or_an_unfounded_gap(
        steps in prop::collection::vec(step(), 1..400), first: [u8; 8]
    ) {
        let mut now = instant();
        let mut rewriter = Rewriter::new(90_000, 1, first);
        let (mut origin, mut index) = (0u32, 65_536u64);
        let mut sent: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
        let mut lost: BTreeSet<(u32, u64)> = BTreeSet::new();
        let mut late: Vec<(usize, u32, u64)> = Vec::new();
        let mut begun: BTreeMap<u32, (u64, u64)> = BTreeMap::new();

        let begins = rewriter.start(now, origin, &packet(index, 0));
        sent.insert(begins.index, (origin, index));
        begun.insert(origin, (begins.index, index));
        let mut latest = (begins.index, begins.timestamp, picture_id(&packet(index, 0), &begins));
        for step in steps {
            now += Duration::from_millis(5);
            let mut arriving = Vec::new();
            match step {
                Step::Switch(by) => {
                    origin += 1;
                    index = 65_536 + u64::from(by);
                    let first = packet(index, u32::from(by));
                    let begins = rewriter.start(now, origin, &first);
                    prop_assert_eq!(begins.index, latest.0 + 1);
                    prop_assert!((1..90_000).contains(&begins.timestamp.wrapping_sub(latest.1)), "time goes on");
                    prop_assert_eq!(picture_id(&first, &begins), (latest.2 + 1) & 0x7FFF, "pictures are counted on");
                    latest = (begins.index, begins.timestamp, picture_id(&first, &begins));
                    prop_assert!(sent.insert(begins.index, (origin, index)).is_none());
                    begun.insert(origin, (begins.index, index));
                }
                Step::Nack(back) => {
                    let (top, _) = sent.last_key_value().unwrap();
                    let asked = top.saturating_sub(u64::from(back));
                    if let Some(expected) = sent.get(&asked)
                        && origin - expected.0 < EPOCHS_MAX as u32
                    {
                        let (from, found, out, _) = rewriter.locate(asked as u16).unwrap();
                        prop_assert_eq!((*from, found, out), (expected.0, expected.1, asked));
                    }
                }
                Step::Packet => { index += 1; arriving.push((origin, index)); }
                Step::Lost => { index += 1; lost.insert((origin, index)); }
                Step::Late(behind) => { index += 1; late.push((behind, origin, index)); }
                Step::Padding => {
                    index += 1;
                    prop_assert!(rewriter.skip(index), "the newest packet can always be left out");
                }
            }
            for waiting in &mut late { waiting.0 = waiting.0.saturating_sub(1); }
            arriving.extend(late.extract_if(.., |waiting| waiting.0 == 0).map(|(_, from, index)| (from, index)));
            for (from, index) in arriving {
                if from != origin {
                    // Too late: its source is not shown any more.
                    lost.insert((from, index));
                    continue;
                }
                let arrived = packet(index, (index * 100) as u32);
                let out = rewriter.forward(now, &arrived);
                if let Some(out) = out {
                    prop_assert!(sent.insert(out.index, (from, index)).is_none(), "{} was sent twice", out.index);
                    if out.index > latest.0 {
                        latest = (out.index, out.timestamp, picture_id(&arrived, &out));
                    }
                } else {
                    // Only what lies before a mapping that moved on for too much padding.
                    lost.insert((from, index));
                }
            }
        }
        // Every gap has its lost (or still missing) packet.
        let outs: Vec<u64> = sent.keys().copied().collect();
        for pair in outs.windows(2) {
            let gap = pair[1] - pair[0] - 1;
            let (from, before) = sent[&pair[0]];
            let (to, after) = sent[&pair[1]];
            let founded = if from == to {
                (before + 1..after).filter(|index| {
                    lost.contains(&(from, *index)) || late.iter().any(|(_, o, i)| (*o, *i) == (from, *index))
                }).count() as u64
            } else {
                prop_assert_eq!(begun[&to], (pair[1], after), "a source begins with its first packet");
                0
            };
            prop_assert!(gap <= founded, "gap of {} between {:?} and {:?}", gap, (from, before), (to, after));
            prop_assert!(after > before || from != to, "order is kept");
        }
    }
}
