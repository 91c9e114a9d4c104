//! Two nodes carry halves of one room and exchange what they know of it: what a moderator says at one holds at the other.

use crate::{
    teacher::{ANNA, BEN, TEACHER, account},
    world::{World, engine},
};
use schulhof_wire::{
    id::{ConferenceId, NodeName, SchoolId},
    media::{Order, SourceKind, ToNode},
    ticket::MediaRole,
};

fn room() -> (SchoolId, ConferenceId) {
    (SchoolId::new("nord").unwrap(), ConferenceId::new("math").unwrap())
}

fn rest(worlds: &mut [World; 2]) {
    for world in worlds {
        world.run_ms(100);
    }
}

/// The trunk of these tests.
#[derive(Default)]
struct Exchange {
    marks: [u64; 2],
}

impl Exchange {
    /// The number of registers that were news at the other side.
    fn run(&mut self, worlds: &mut [World; 2]) -> usize {
        let (school, room) = room();
        let mut news = 0;
        for from in 0..2 {
            let (changes, mark) =
                worlds[from].engine.room_changes(worlds[from].now, &school, &room, self.marks[from]).unwrap();
            self.marks[from] = mark;
            let to = &mut worlds[1 - from];
            let merged = to.engine.merge_room(to.now, &school, &room, changes);
            assert_eq!(merged.refused, 0);
            news += merged.taken;
        }
        rest(worlds);
        news
    }
}

/// The teacher with two pupils at the box, and three pupils at the relay.
fn halves() -> [World; 2] {
    let mut relay = World::new();
    relay.engine = engine(relay.now, "relay-1");
    for name in ["dora", "emil", "fanni"] {
        relay.join(name);
    }
    relay.run_ms(300);
    [World::lesson(), relay]
}

#[test]
fn what_is_ordered_at_one_node_holds_at_the_other() {
    let mut worlds = halves();
    let mut exchange = Exchange::default();
    exchange.run(&mut worlds);
    let dora = 0;
    worlds[1].publish(dora, true, true, false);
    worlds[0].order(TEACHER, Order::MuteAll);
    worlds[0].order(TEACHER, Order::Lock { kind: SourceKind::Camera, on: true });
    worlds[0].order(TEACHER, Order::Spotlight { account: Some(account("dora")) });
    worlds[0].order(TEACHER, Order::Remove { account: account("fanni") });
    exchange.run(&mut worlds);
    let seen = worlds[1].person(dora, "dora");
    assert!(seen.muted && !seen.microphone && !seen.camera && !seen.may.camera);
    assert_eq!(worlds[1].rules(dora).spotlight, Some(account("dora")));
    assert_eq!(worlds[1].closed(2).as_deref(), Some("removed"));
    worlds[0].order(TEACHER, Order::End);
    exchange.run(&mut worlds);
    assert_eq!(worlds[1].closed(dora).as_deref(), Some("room-closed"));
}

#[test]
fn hands_have_one_order_over_both_nodes_after_they_were_apart() {
    let mut worlds = halves();
    let mut exchange = Exchange::default();
    for (world, client) in [(1, 1), (0, BEN), (1, 0), (0, ANNA)] {
        rest(&mut worlds);
        worlds[world].control(client, ToNode::Hand { raised: true });
    }
    rest(&mut worlds);
    let hands = |world: &World, by| {
        let mut hands: Vec<_> = world
            .roster(by)
            .into_iter()
            .filter_map(|person| Some((person.hand?, person.account.to_string())))
            .collect();
        hands.sort();
        hands
    };
    let at = |place, name: &str| (place, name.to_owned());
    assert_eq!(hands(&worlds[0], TEACHER), [at(1, "ben"), at(2, "anna")]);
    assert!(exchange.run(&mut worlds) > 0);
    assert_eq!(hands(&worlds[0], TEACHER), [at(2, "ben"), at(4, "anna")]);
    assert_eq!(hands(&worlds[1], 0), [at(1, "emil"), at(3, "dora")]);
    exchange.run(&mut worlds);
    assert_eq!(exchange.run(&mut worlds), 0, "then there is nothing more to say");
}

#[test]
fn while_the_line_is_cut_each_half_counts_its_own_hands_and_then_all_are_in_order_again() {
    let mut worlds = halves();
    let mut exchange = Exchange::default();
    let (dora, relay) = (0, NodeName::new("relay-1").unwrap());
    for (world, client) in [(1, dora), (0, BEN)] {
        worlds[world].control(client, ToNode::Hand { raised: true });
        rest(&mut worlds);
    }
    exchange.run(&mut worlds);
    let hand = |worlds: &[World; 2], world: usize, by, name| worlds[world].person(by, name).hand;
    assert_eq!((hand(&worlds, 0, BEN, "ben"), hand(&worlds, 1, dora, "dora")), (Some(2), Some(1)));

    let now = worlds[0].now;
    worlds[0].engine.lose_node(now, &room().0, &relay);
    rest(&mut worlds);
    assert_eq!((hand(&worlds, 0, BEN, "ben"), hand(&worlds, 1, dora, "dora")), (Some(1), Some(1)));
    worlds[0].control(ANNA, ToNode::Hand { raised: true });
    worlds[0].order(TEACHER, Order::MuteAll);

    exchange.run(&mut worlds);
    exchange.run(&mut worlds);
    assert_eq!((hand(&worlds, 0, BEN, "ben"), hand(&worlds, 0, BEN, "anna")), (Some(2), Some(3)));
    assert_eq!(hand(&worlds, 1, dora, "dora"), Some(1));
    assert!(!worlds[1].person(dora, "dora").muted, "she was not there to be muted");
    assert_eq!(exchange.run(&mut worlds), 0);
}

#[test]
fn the_waiting_room_holds_at_the_other_node_and_who_was_let_in_comes_in_there() {
    let mut worlds = halves();
    let mut exchange = Exchange::default();
    exchange.run(&mut worlds);
    worlds[0].order(TEACHER, Order::Lobby { on: true });
    exchange.run(&mut worlds);
    let again = worlds[1].rejoin("dora", MediaRole::Participant);
    assert!(!worlds[1].roster(again).is_empty(), "who was in the room at the relay stays in it");
    let gina = worlds[1].join("gina");
    let hans = worlds[1].join("hans");
    worlds[1].run_ms(200);
    assert_eq!(worlds[1].roster(again).len(), 3);
    exchange.run(&mut worlds);
    assert_eq!(worlds[0].lobby(TEACHER), Some((vec!["gina".into(), "hans".into()], vec![])), "the teacher sees them");
    worlds[0].order(TEACHER, Order::Admit { account: account("gina") });
    worlds[0].order(TEACHER, Order::Refuse { account: account("hans") });
    exchange.run(&mut worlds);
    assert!(!worlds[1].roster(gina).is_empty());
    assert_eq!(worlds[1].closed(hans).as_deref(), Some("refused"));
    worlds[1].join("ida");
    worlds[1].run_ms(200);
    exchange.run(&mut worlds);
    worlds[0].order(TEACHER, Order::AdmitAll);
    exchange.run(&mut worlds);
    assert_eq!(worlds[1].roster(gina).len(), 5);
    assert_eq!(worlds[0].lobby(TEACHER), Some((vec![], vec![])));
}
