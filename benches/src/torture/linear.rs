//! Is the history of a register linearizable? Wing and Gong's search (1993) with the configurations of all orders kept at
//! once (Lowe 2017, "just-in-time linearization"): after each response exactly those remain in which the operation has
//! taken effect between its invocation and now.
//!
//! Pure. Bounded: as many operations may be open at once as [`WIDTH_MAX`], and as many configurations be kept as
//! [`CONFIGURATIONS_MAX`]; beyond, the answer is that there is none.

use std::collections::HashSet;

/// Operations that are open at the same time.
pub const WIDTH_MAX: usize = 24;
const CONFIGURATIONS_MAX: usize = 1 << 20;

/// What was done to the register. Values are the caller's; 0 is what it held at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Write(u64),
    Read(u64),
}

/// An action with its times, in any unit of one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    pub invoked: u64,
    pub responded: u64,
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// No order explains this operation (its place in the history) together with those before it.
    Violated(usize),
    /// Too many operations at once to say.
    Undecided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration {
    /// Slots of open operations that have taken effect.
    done: u32,
    value: u64,
}

/// Looks for an order that respects real time and explains every read.
pub fn check(history: &[Operation]) -> Verdict {
    // At one instant invocations come first: then both may have been at the same time.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(history.len() * 2);
    for (n, operation) in history.iter().enumerate() {
        events.push((operation.invoked, false, n));
        events.push((operation.responded.max(operation.invoked), true, n));
    }
    events.sort_unstable();
    let mut open: [Option<usize>; WIDTH_MAX] = [None; WIDTH_MAX];
    let mut configurations = HashSet::from([Configuration { done: 0, value: 0 }]);
    for (_, responds, n) in events {
        if !responds {
            let Some(slot) = open.iter().position(Option::is_none) else { return Verdict::Undecided };
            open[slot] = Some(n);
            continue;
        }
        let slot = open.iter().position(|held| *held == Some(n)).expect("it was invoked before");
        let Some(after) = responded(history, &open, configurations, slot) else { return Verdict::Undecided };
        if after.is_empty() {
            return Verdict::Violated(n);
        }
        configurations = after;
        open[slot] = None;
    }
    Verdict::Linearizable
}

/// The configurations in which the operation of a slot has taken effect, others before it if need be. `None`: too many.
fn responded(
    history: &[Operation],
    open: &[Option<usize>; WIDTH_MAX],
    configurations: HashSet<Configuration>,
    slot: usize,
) -> Option<HashSet<Configuration>> {
    let bit = 1 << slot;
    let mut after = HashSet::new();
    let mut seen = configurations.clone();
    let mut waiting: Vec<Configuration> = configurations.into_iter().collect();
    while let Some(configuration) = waiting.pop() {
        if configuration.done & bit != 0 {
            // Others may wait for their own response.
            after.insert(Configuration { done: configuration.done & !bit, ..configuration });
            continue;
        }
        for (other, held) in open.iter().enumerate() {
            let Some(n) = *held else { continue };
            if configuration.done & (1 << other) != 0 {
                continue;
            }
            let value = match history[n].action {
                Action::Write(value) => value,
                Action::Read(value) if value == configuration.value => value,
                Action::Read(_) => continue,
            };
            let next = Configuration { done: configuration.done | (1 << other), value };
            if seen.insert(next) {
                waiting.push(next);
            }
        }
        if seen.len() > CONFIGURATIONS_MAX {
            return None;
        }
    }
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Read, Write};
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    fn at(invoked: u64, responded: u64, action: Action) -> Operation {
        Operation { invoked, responded, action }
    }

    #[test]
    fn what_happens_at_the_same_time_may_take_effect_in_any_order() {
        for seen in [1, 2] {
            let history = [at(0, 10, Write(1)), at(0, 10, Write(2)), at(11, 12, Read(seen))];
            assert_eq!(check(&history), Verdict::Linearizable);
        }
        // During a write, both the old and the new value may be seen, in this order.
        assert_eq!(
            check(&[at(0, 10, Write(1)), at(1, 2, Read(0)), at(3, 4, Read(1)), at(5, 6, Read(1))]),
            Verdict::Linearizable
        );
    }

    #[test]
    fn a_value_that_goes_back_is_found() {
        let history = [at(0, 10, Write(1)), at(1, 2, Read(1)), at(3, 4, Read(0))];
        assert_eq!(check(&history), Verdict::Violated(2));
    }

    #[test]
    fn a_write_that_is_not_seen_after_its_response_is_found() {
        assert_eq!(check(&[at(0, 1, Write(1)), at(2, 3, Read(0))]), Verdict::Violated(1));
        assert_eq!(check(&[at(0, 1, Write(1)), at(2, 3, Write(2)), at(4, 5, Read(1))]), Verdict::Violated(2));
    }

    #[test]
    fn a_value_that_nobody_wrote_is_found() {
        assert_eq!(check(&[at(0, 1, Write(1)), at(0, 3, Read(7))]), Verdict::Violated(1));
    }

    #[test]
    fn two_readers_that_see_two_writes_in_different_orders_are_found() {
        let history =
            [at(0, 100, Write(1)), at(0, 100, Write(2)), at(10, 11, Read(1)), at(12, 13, Read(2)), at(14, 15, Read(1))];
        assert_eq!(check(&history), Verdict::Violated(4));
    }

    #[test]
    fn too_many_at_once_are_not_judged() {
        let history: Vec<_> = (0..=WIDTH_MAX as u64).map(|n| at(n, 1_000, Write(n + 1))).collect();
        assert_eq!(check(&history), Verdict::Undecided);
    }

    /// Operations that take effect at one moment between their times; then one read is made to see an older value.
    #[test]
    fn histories_of_a_true_register_pass_and_a_stale_read_in_them_does_not() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut value = 0;
            let mut history = Vec::new();
            for n in 1..=60_u64 {
                let effect = n * 10;
                let (invoked, responded) =
                    (effect - rng.random_range(0..40.min(effect)), effect + rng.random_range(0..40));
                let action = if rng.random_bool(0.5) {
                    value = n;
                    Write(n)
                } else {
                    Read(value)
                };
                history.push(at(invoked, responded, action));
            }
            assert_eq!(check(&history), Verdict::Linearizable, "seed {seed}");
            // Long after everything.
            let written: Vec<u64> =
                history.iter().filter_map(|o| if let Write(value) = o.action { Some(value) } else { None }).collect();
            let stale = written[..written.len() - 1].iter().copied().find(|old| {
                let last_write = history.iter().filter(|o| o.action == Write(*old)).map(|o| o.responded).max();
                history.iter().any(|o| matches!(o.action, Write(new) if new != *old) && Some(o.invoked) > last_write)
            });
            if let Some(stale) = stale {
                history.push(at(10_000, 10_001, Read(stale)));
                assert_eq!(check(&history), Verdict::Violated(history.len() - 1), "seed {seed}");
            }
        }
    }
}
