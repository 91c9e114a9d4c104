//! A new room never harms an admitted one, and the budget is never exceeded: whatever is asked, in whatever order.

use proptest::prelude::*;
use schulhof_placement::{
    Admission, Admitted, Budget, Demand, Room,
    admission::{QUEUE_LEN_MAX, RETRY_MAX_MS, RETRY_MIN_MS, WAIT_TTL_MS},
};
use schulhof_wire::{ConferenceId, SchoolId, node::RESERVATION_TTL_MS};
use std::collections::BTreeMap;

fn room(n: u32) -> Room {
    Room { school: SchoolId::new("nord").unwrap(), conference: ConferenceId::new(format!("c{n}")).unwrap() }
}

fn is_full(admitted: Admitted, expected: u32) -> bool {
    matches!(admitted, Admitted::Full { position, .. } if position == expected)
}

#[test]
fn a_room_is_taken_whole_or_not_at_all() {
    let mut node = Admission::new(Budget::of_participants(50));
    assert_eq!(node.reserve(0, 0, &room(1), 30), Admitted::Reserved);
    assert!(is_full(node.reserve(0, 0, &room(2), 21), 1));
    assert_eq!(node.load(0).reserved, Demand::of_room(30));
    node.release(&room(2));
    assert_eq!(node.reserve(0, 0, &room(3), 20), Admitted::Reserved);
}

#[test]
fn asking_twice_reserves_once() {
    let mut node = Admission::new(Budget::of_participants(30));
    for now_ms in 0..10 {
        assert_eq!(node.reserve(now_ms, 0, &room(1), 30), Admitted::Reserved);
    }
    assert_eq!(node.load(9).rooms, 1);
    assert_eq!(node.load(9).reserved.participants, 30);
}

#[test]
fn a_room_that_cannot_grow_keeps_what_it_has() {
    let mut node = Admission::new(Budget::of_participants(30));
    node.reserve(0, 0, &room(1), 20);
    node.reserve(0, 0, &room(2), 10);
    assert!(is_full(node.reserve(RESERVATION_TTL_MS - 1, 0, &room(1), 21), 1));
    // Its own time was renewed; the other's was not.
    assert!(node.holds(RESERVATION_TTL_MS + 1, &room(1)));
    assert!(!node.holds(RESERVATION_TTL_MS + 1, &room(2)));
    assert_eq!(node.reserve(RESERVATION_TTL_MS + 1, 0, &room(1), 21), Admitted::Reserved);
}

#[test]
fn a_reservation_that_is_not_renewed_lapses() {
    let mut node = Admission::new(Budget::of_participants(30));
    node.reserve(0, 0, &room(1), 30);
    assert!(is_full(node.reserve(RESERVATION_TTL_MS - 1, 0, &room(2), 30), 1));
    assert_eq!(node.reserve(RESERVATION_TTL_MS, 0, &room(2), 30), Admitted::Reserved);
}

#[test]
fn who_waits_longest_comes_first_even_past_a_smaller_room() {
    let mut node = Admission::new(Budget::of_participants(30));
    node.reserve(0, 0, &room(1), 25);
    assert!(is_full(node.reserve(1, 0, &room(2), 20), 1));
    assert!(is_full(node.reserve(2, 0, &room(3), 5), 2), "five places are free, but somebody waits for them");
    node.release(&room(1));
    assert_eq!(node.reserve(3, 0, &room(3), 5), Admitted::Reserved, "both fit now");
    assert_eq!(node.reserve(4, 0, &room(2), 20), Admitted::Reserved);
}

#[test]
fn a_place_in_the_queue_lapses_when_nobody_asks_for_it() {
    let mut node = Admission::new(Budget::of_participants(30));
    let mut now_ms = 0;
    node.reserve(now_ms, 0, &room(1), 25);
    assert!(is_full(node.reserve(now_ms, 0, &room(2), 30), 1));
    now_ms += WAIT_TTL_MS;
    node.reserve(now_ms, 0, &room(1), 25);
    assert_eq!(node.reserve(now_ms, 0, &room(3), 5), Admitted::Reserved);
}

#[test]
fn asking_too_soon_too_often_or_together_neither_loses_nor_wins_a_place() {
    let mut node = Admission::new(Budget::of_participants(30));
    node.reserve(0, 0, &room(0), 30);
    let mut now_ms = 1;
    for n in 1..=20 {
        assert!(is_full(node.reserve(now_ms, 0, &room(n), 30), n));
    }
    // One of them asks all the time, the others when they are told to; people of one room each for themselves.
    let mut due_ms = [0; 21];
    for _ in 0..2_000 {
        now_ms += 50;
        node.reserve(now_ms, 0, &room(0), 30);
        for n in 1..=20 {
            let due = now_ms >= due_ms[n as usize];
            if n != 13 && !due {
                continue;
            }
            let Admitted::Full { position, retry_after_ms } = node.reserve(now_ms, u64::from(n) * 977, &room(n), 30)
            else {
                panic!("room {n} got in past the others");
            };
            assert_eq!(position, n);
            due_ms[n as usize] = now_ms + u64::from(retry_after_ms);
        }
    }
}

#[test]
fn a_queue_that_everybody_has_left_is_empty_soon_however_long_it_was() {
    let mut node = Admission::new(Budget::of_participants(30));
    node.reserve(0, 0, &room(0), 30);
    for n in 1..=(QUEUE_LEN_MAX as u32) {
        node.reserve(0, u64::from(n) * 7_919, &room(n), 30);
    }
    node.release(&room(0));
    assert!(is_full(node.reserve(1, 0, &room(9_999), 30), QUEUE_LEN_MAX as u32 + 1), "they may still come");
    // Far behind one is told to come back after 10 s at most.
    assert_eq!(WAIT_TTL_MS, 15_000);
    assert_eq!(node.reserve(WAIT_TTL_MS, 0, &room(9_999), 30), Admitted::Reserved);
}

#[test]
fn those_who_come_back_when_told_get_in_one_after_the_other_in_their_order() {
    // A lesson of a minute for each of forty rooms, one at a time; everybody goes by what the answer says.
    let mut node = Admission::new(Budget::of_participants(30));
    let mut due_ms: BTreeMap<u32, u64> = (0..40).map(|n| (n, u64::from(n) * 10)).collect();
    let (mut ended_ms, mut order, mut now_ms) = (BTreeMap::new(), Vec::new(), 0);
    while order.len() < 40 {
        now_ms += 10;
        assert!(now_ms < 40 * 90_000, "{} got in", order.len());
        let ended: Vec<u32> = ended_ms.iter().filter(|(_, at)| **at <= now_ms).map(|(n, _)| *n).collect();
        for n in ended {
            ended_ms.remove(&n);
            node.release(&room(n));
        }
        for n in ended_ms.keys() {
            node.reserve(now_ms, 0, &room(*n), 30);
        }
        let asking: Vec<u32> = due_ms.iter().filter(|(_, at)| **at <= now_ms).map(|(n, _)| *n).collect();
        for n in asking {
            match node.reserve(now_ms, now_ms.wrapping_mul(31) + u64::from(n), &room(n), 30) {
                Admitted::Full { retry_after_ms, .. } => {
                    due_ms.insert(n, now_ms + u64::from(retry_after_ms));
                }
                Admitted::Reserved => {
                    due_ms.remove(&n);
                    ended_ms.insert(n, now_ms + 60_000);
                    order.push(n);
                }
                Admitted::TooLarge => panic!("thirty fit"),
            }
        }
    }
    assert_eq!(order, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_room_larger_than_the_node_does_not_block_the_queue() {
    let mut node = Admission::new(Budget::of_participants(30));
    assert_eq!(node.reserve(0, 0, &room(1), 31), Admitted::TooLarge);
    assert_eq!(node.load(0).waiting, 0);
    assert_eq!(node.reserve(0, 0, &room(2), 30), Admitted::Reserved);
}

#[test]
fn two_schools_with_the_same_room_name_do_not_meet() {
    let mut node = Admission::new(Budget::of_participants(30));
    let other = Room { school: SchoolId::new("sued").unwrap(), ..room(1) };
    node.reserve(0, 0, &room(1), 10);
    node.reserve(0, 0, &other, 10);
    node.release(&other);
    assert!(node.holds(0, &room(1)));
    assert_eq!(node.load(0).reserved.participants, 10);
}

#[test]
fn the_queue_is_bounded() {
    let mut node = Admission::new(Budget::of_participants(1));
    node.reserve(0, 0, &room(0), 1);
    for n in 1..=(QUEUE_LEN_MAX as u32 + 10) {
        node.reserve(0, 0, &room(n), 1);
    }
    assert_eq!(node.load(0).waiting, QUEUE_LEN_MAX);
    assert!(is_full(node.reserve(0, 0, &room(999_999), 1), QUEUE_LEN_MAX as u32 + 1));
}

#[derive(Debug, Clone)]
enum Ask {
    Reserve { room: u32, participants: u32, jitter: u64 },
    Release { room: u32 },
    Pass { ms: u64 },
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = prop_oneof![
        6 => (0u32..12, 0u32..45, any::<u64>()).prop_map(|(room, participants, jitter)| Ask::Reserve { room, participants, jitter }),
        1 => (0u32..12).prop_map(|room| Ask::Release { room }),
        2 => (0u64..40_000).prop_map(|ms| Ask::Pass { ms }),
    ];
    prop::collection::vec(ask, 1..200)
}

proptest! {
    #[test]
    fn an_admitted_room_is_never_harmed_and_the_budget_never_exceeded(
        asks in asks(), participants in 1u32..100, packets_per_s in 10_000u64..200_000,
    ) {
        let budget = Budget { packets_per_s, ..Budget::of_participants(participants) };
        let mut node = Admission::new(budget);
        let mut now_ms = 0;
        // The book as it must be: places and end of every room that was told "reserved".
        let mut book: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for ask in asks {
            match ask {
                Ask::Reserve { room: n, participants, jitter } => match node.reserve(now_ms, jitter, &room(n), participants) {
                    Admitted::Reserved => { book.insert(n, (participants, now_ms + RESERVATION_TTL_MS)); }
                    Admitted::Full { position, retry_after_ms } => {
                        prop_assert!(position >= 1);
                        prop_assert!((RETRY_MIN_MS..2 * RETRY_MAX_MS).contains(&u64::from(retry_after_ms)));
                        if let Some(held) = book.get_mut(&n) { held.1 = now_ms + RESERVATION_TTL_MS; }
                    }
                    Admitted::TooLarge => prop_assert!(!budget.holds(Demand::of_room(participants))),
                },
                Ask::Release { room: n } => { node.release(&room(n)); book.remove(&n); }
                Ask::Pass { ms } => now_ms += ms,
            }
            book.retain(|_, (_, until_ms)| *until_ms > now_ms);
            let load = node.load(now_ms);
            let owed = book.values().fold(Demand::default(), |sum, (n, _)| sum.plus(Demand::of_room(*n)));
            prop_assert_eq!(load.reserved, owed, "what was promised is what is held");
            prop_assert!(budget.holds(load.reserved));
            for n in book.keys() { prop_assert!(node.holds(now_ms, &room(*n))); }
        }
    }

    #[test]
    fn everybody_who_keeps_asking_gets_in_when_the_rooms_ahead_end(sizes in prop::collection::vec(1u32..30, 1..12)) {
        let mut node = Admission::new(Budget::of_participants(30));
        let mut open: Vec<u32> = Vec::new();
        let mut waiting: Vec<u32> = (0..sizes.len() as u32).collect();
        let mut rounds = 0;
        while !waiting.is_empty() {
            waiting.retain(|n| {
                let got = node.reserve(rounds, 0, &room(*n), sizes[*n as usize]) == Admitted::Reserved;
                if got { open.push(*n); }
                !got
            });
            if !waiting.is_empty() { node.release(&room(open.remove(0))); }
            rounds += 1;
            prop_assert!(rounds <= sizes.len() as u64 + 1, "a room starved");
        }
    }
}
