//! What all parts of a run share: time, chance, troubles, the trace, and the oracle.

use super::truth::Truth;
use schulhof_testkit::Rng;
use schulhof_wire::node::Entry;
use std::fmt;

/// How bad the world is: how often per thousand ticks, frames or requests.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// A core node loses the lead, dies, is cut off from the others, is stopped and goes on.
    pub election: u64,
    pub core_crash: u64,
    pub core_cut: u64,
    pub core_stop: u64,
    /// A replica dies, is stopped, its line is cut (both ways or one way), breaks and is made anew.
    pub crash: u64,
    pub stop: u64,
    pub cut: u64,
    pub broken: u64,
    /// A box burns down; a gateway forgets a school.
    pub burn: u64,
    pub evict: u64,
    /// A core has too much to do.
    pub busy: u64,
    /// A browser's request or its answer is lost, or the request comes late.
    pub request: u64,
    /// A browser's clock jumps by up to a day.
    pub jump: u64,
    /// A browser is thrown away with what it holds.
    pub lose_browser: u64,
}

pub const CALM: Trouble = Trouble {
    election: 0,
    core_crash: 0,
    core_cut: 0,
    core_stop: 0,
    crash: 0,
    stop: 0,
    cut: 0,
    broken: 0,
    burn: 0,
    evict: 0,
    busy: 0,
    request: 0,
    jump: 0,
    lose_browser: 0,
};

pub const STORM: Trouble = Trouble {
    election: 6,
    core_crash: 3,
    core_cut: 3,
    core_stop: 2,
    crash: 6,
    stop: 3,
    cut: 8,
    broken: 8,
    burn: 2,
    evict: 3,
    busy: 120,
    request: 40,
    jump: 10,
    lose_browser: 1,
};

/// A fault in the programs themselves, put in to see whether the oracle finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// An election loses what was committed.
    CoreForgets,
    /// A core node leaves out an operation that the others apply.
    NodeSkips,
    /// What was submitted twice becomes two entries.
    OrdersTwice,
    /// A replica says "saved" before it is on the disk.
    AcknowledgesEarly,
    /// A byte of a replica's state changes by itself.
    StateRots,
    /// A replica shows a waiting message with the number that it will probably get.
    GuessesNumbers,
    /// A replica takes an operation out of its outbox when it has sent it.
    ForgetsSent,
    /// A replica does not tell who wrote what the core rejected.
    KeepsQuiet,
}

/// Which versions of the programs meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// All are new; the core drops old entries, so that replicas are loaded from the state.
    New,
    /// Core nodes are yet to be updated, and are, one by one, as they start again.
    OldCore,
    /// The box is yet to be updated.
    OldBox,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The school's numbers have no gap.
    Gapless,
    /// The same number is the same entry, on every node and replica.
    SameEntry,
    /// A device's operations are in the log once, and in their order.
    OncePerOrigin,
    /// What was acknowledged is in the log, or its writer was told why not.
    NothingLost,
    /// Who wrote what has its place and no effect was told why.
    ReasonsTold,
    /// After healing all hold the same state.
    Converged,
    /// Nobody is shown a number that changes.
    NumbersStay,
    /// What a replica shows is what it would show after a restart.
    OverlayIsReplay,
    /// What two boxes planned apart is within the rules once it is in one order.
    Limits,
    /// After healing the world comes to rest.
    Rests,
    /// The ends understand each other.
    Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// FNV-1a (Fowler, Noll, Vo) over all that happens: two runs are the same if this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(pub u64);

impl Trace {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub fn note(&mut self, what: &str, numbers: &[u64]) {
        self.bytes(what.as_bytes());
        for number in numbers {
            self.bytes(&number.to_le_bytes());
        }
    }
}

/// How often what happened: a storm that is none proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub elections: u64,
    pub crashes: u64,
    pub burnt: u64,
    pub cuts: u64,
    pub busy: u64,
    pub late: u64,
    pub failovers: u64,
    pub acknowledged: u64,
    pub entries: u64,
    pub rejected: u64,
    pub told: u64,
    pub renamed: u64,
    /// States that were sent to replicas.
    pub loaded: u64,
    /// Contents that stand in the log under two numbers, since their browser had to take another name.
    pub doubled: u64,
}

pub struct Ctx {
    pub now_ms: u64,
    pub rng: Rng,
    pub trouble: Trouble,
    pub defect: Option<Defect>,
    pub mix: Mix,
    pub truth: Truth,
    pub trace: Trace,
    pub counts: Counts,
    pub violation: Option<Violation>,
}

impl Ctx {
    pub fn new(seed: u64, defect: Option<Defect>) -> Self {
        let mut rng = Rng::new(seed);
        let mix = [Mix::New, Mix::New, Mix::OldCore, Mix::OldBox][rng.index(4)];
        Self {
            now_ms: 1,
            rng,
            mix,
            trouble: CALM,
            defect,
            truth: Truth::default(),
            trace: Trace::new(),
            counts: Counts::default(),
            violation: None,
        }
    }

    pub fn happens(&mut self, permille: u64) -> bool {
        permille > 0 && self.rng.chance(permille, 1_000)
    }

    /// A time from now.
    pub fn later(&mut self, from_ms: u64, to_ms: u64) -> u64 {
        self.now_ms + self.rng.between(from_ms, to_ms)
    }

    pub fn report(&mut self, rule: Rule, detail: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, detail: detail.into() });
        }
    }

    /// Somebody has applied an entry.
    pub fn see(&mut self, who: &str, entry: &Entry) {
        self.trace.note(who, &[entry.index.0]);
        if let Err((rule, detail)) = self.truth.see(entry) {
            self.report(rule, format!("{who}: {detail}"));
        }
    }
}
