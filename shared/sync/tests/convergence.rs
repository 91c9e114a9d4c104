//! Invariant: whatever breaks, once it is whole again all replicas hold the same state, the log has no gap, and everything
//! that was acknowledged is in it exactly once.

mod sim;
mod world;

use sim::{Counts, Defect, Rule, for_seeds, run};

#[test]
fn replicas_converge_and_nothing_is_lost_whatever_breaks() {
    let reports = for_seeds(1_000, |seed| run(seed, None).map_err(|violation| violation.to_string()));
    let mut all = Counts::default();
    for Counts {
        elections,
        crashes,
        burnt,
        cuts,
        busy,
        late,
        failovers,
        acknowledged,
        entries,
        rejected,
        told,
        renamed,
        loaded,
        doubled,
    } in reports.iter().map(|report| report.counts)
    {
        all.elections += elections;
        all.crashes += crashes;
        all.burnt += burnt;
        all.cuts += cuts;
        all.busy += busy;
        all.late += late;
        all.failovers += failovers;
        all.acknowledged += acknowledged;
        all.entries += entries;
        all.rejected += rejected;
        all.told += told;
        all.renamed += renamed;
        all.loaded += loaded;
        all.doubled += doubled;
    }
    println!("{} runs: {all:?}", reports.len());
    if reports.len() >= 100 {
        // The storm must have been one.
        let n = reports.len() as u64;
        assert!(all.elections > n && all.crashes > n && all.cuts > n && all.failovers > n, "{all:?}");
        assert!(
            all.loaded > n / 4 && all.burnt > n / 10 && all.busy > n / 4 && all.late > n && all.told > n / 4,
            "{all:?}"
        );
        assert!(all.acknowledged > 50 * n && all.rejected > n / 2, "{all:?}");
    }
}

#[test]
fn a_seed_replays_bit_by_bit() {
    let seed = std::env::var("SCHULHOF_SEED").map_or(7, |text| text.parse().expect("a number"));
    let (a, b) = (run(seed, None).unwrap(), run(seed, None).unwrap());
    assert_eq!((a.trace, a.state_hash), (b.trace, b.state_hash));
    assert_ne!(a.trace, run(seed + 1, None).unwrap().trace);
}

/// Runs seeds with a defect in the programs until one shows, which must be soon, and must be by one of these rules.
fn is_found(defect: Defect, rules: &[Rule]) {
    let found = (0..40).find_map(|seed| run(seed, Some(defect)).err().map(|violation| (seed, violation)));
    let (seed, violation) = found.unwrap_or_else(|| panic!("{defect:?} was not found in 40 runs"));
    println!("{defect:?}, seed {seed}: {violation}");
    assert!(rules.contains(&violation.rule), "{defect:?} was taken for {violation}");
}

#[test]
fn a_core_that_forgets_what_was_committed_is_found() {
    is_found(Defect::CoreForgets, &[Rule::SameEntry, Rule::Protocol, Rule::NothingLost]);
}

#[test]
fn a_core_node_that_leaves_out_an_operation_is_found() {
    // What is left out last has no entry behind it that would be another one.
    is_found(Defect::NodeSkips, &[Rule::SameEntry, Rule::OncePerOrigin, Rule::Converged]);
}

#[test]
fn a_core_that_orders_an_operation_twice_is_found() {
    is_found(Defect::OrdersTwice, &[Rule::OncePerOrigin]);
}

#[test]
fn a_replica_that_says_saved_too_early_is_found() {
    is_found(Defect::AcknowledgesEarly, &[Rule::NothingLost]);
}

#[test]
fn a_replica_that_forgets_what_it_has_sent_is_found() {
    is_found(Defect::ForgetsSent, &[Rule::NothingLost]);
}

#[test]
fn a_replica_whose_state_rots_is_found() {
    is_found(Defect::StateRots, &[Rule::Converged, Rule::SameEntry]);
}

#[test]
fn a_replica_that_guesses_numbers_is_found() {
    is_found(Defect::GuessesNumbers, &[Rule::NumbersStay]);
}

#[test]
fn a_replica_that_keeps_rejections_to_itself_is_found() {
    is_found(Defect::KeepsQuiet, &[Rule::ReasonsTold]);
}
