//! What goes wrong, and when: drawn from a seed, in two lanes. At any time at most one core node, and one box or the gateway,
//! are in trouble, so that a majority of core nodes that reach each other is always there: what Raft needs to go on.
//!
//! A lane goes on only when what it broke has come back; how long that takes is part of the run, so the seed gives the
//! same faults in the same order, not at the same instants.

use super::record::Recorder;
use crate::cluster::{
    CORES, Cluster,
    lines::{BAD_LINE, Line, NodeIndex},
};
use anyhow::Context as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What came back is well by then.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Raft entries that a node may be behind and still count as back.
const LAG_MAX: u64 = 50;
const CUT: Line = Line { cut: true, loss_permille: 0, delay: Duration::ZERO, bits_per_s: None };

/// Something that happens to a node, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9, started again afterwards.
    Kill,
    /// SIGTERM, started again afterwards.
    Restart,
    /// SIGSTOP, SIGCONT afterwards.
    Pause,
    /// Cut off from all others, both ways.
    Isolate,
    /// Hears nobody and is heard.
    Deaf,
    /// Hears all and is heard by nobody.
    Mute,
    /// Cut off from one core node.
    Pair,
    /// 2 Mbit/s, 5 % loss, 300 ms there and back.
    BadLine,
    /// Killed, its data gone, started anew.
    Burn,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Restart => "restarted",
            Self::Pause => "paused",
            Self::Isolate => "cut off",
            Self::Deaf => "deaf",
            Self::Mute => "mute",
            Self::Pair => "cut off from one core node",
            Self::BadLine => "on a bad line",
            Self::Burn => "burnt",
        })
    }
}

/// Faults of core nodes, and how often of all.
const CORE_FAULTS: [(Fault, u32); 8] = [
    (Fault::Kill, 6),
    (Fault::Restart, 2),
    (Fault::Pause, 3),
    (Fault::Isolate, 3),
    (Fault::Deaf, 2),
    (Fault::Mute, 2),
    (Fault::Pair, 2),
    (Fault::BadLine, 1),
];
const BOX_FAULTS: [(Fault, u32); 9] = [
    (Fault::Kill, 6),
    (Fault::Restart, 2),
    (Fault::Pause, 2),
    (Fault::Isolate, 3),
    (Fault::Deaf, 2),
    (Fault::Mute, 2),
    (Fault::Pair, 2),
    (Fault::BadLine, 3),
    (Fault::Burn, 2),
];

/// One fault of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Pause before it.
    pub rest: Duration,
    pub node: NodeIndex,
    pub fault: Fault,
    pub lasts: Duration,
    /// The other end of [`Fault::Pair`].
    pub peer: NodeIndex,
}

/// An endless schedule for the nodes of a range.
pub struct Lane {
    rng: StdRng,
    nodes: std::ops::Range<NodeIndex>,
    faults: &'static [(Fault, u32)],
}

impl Lane {
    pub fn cores(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), nodes: 0..CORES, faults: &CORE_FAULTS }
    }

    pub fn boxes(seed: u64, boxes: usize) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ 0x0b0c_0b0c_0b0c_0b0c);
        Self { rng, nodes: CORES..CORES + boxes, faults: &BOX_FAULTS }
    }
}

impl Iterator for Lane {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let rest = Duration::from_millis(self.rng.random_range(500..2_500));
        let node = self.rng.random_range(self.nodes.clone());
        let sum = self.faults.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.random_range(0..sum);
        let mut faults = self.faults.iter();
        let fault = loop {
            let (fault, weight) = faults.next()?;
            if drawn < *weight {
                break *fault;
            }
            drawn -= weight;
        };
        let lasts = Duration::from_millis(self.rng.random_range(300..5_000));
        let others: Vec<_> = (0..CORES).filter(|core| *core != node).collect();
        let peer = others[self.rng.random_range(0..others.len())];
        Some(Event { rest, node, fault, lasts, peer })
    }
}

/// Lets a lane's faults happen until told to end; leaves everything well. Gives how often each happened.
pub async fn run(
    cluster: Arc<Cluster>,
    lane: Lane,
    recorder: Arc<Recorder>,
    mut end: watch::Receiver<bool>,
) -> BTreeMap<Fault, u32> {
    let mut counts = BTreeMap::new();
    for event in lane {
        tokio::select! {
            () = tokio::time::sleep(event.rest) => {}
            _ = end.wait_for(|end| *end) => break,
        }
        for node in &cluster.nodes {
            if let Some(how) = node.died() {
                recorder.violation(how);
                let _ = node.kill();
                let _ = node.start();
            }
        }
        let name = &cluster.nodes[event.node].name;
        let at_s = recorder.started.elapsed().as_secs_f64();
        eprintln!("{at_s:7.1} s  {name} {} for {} ms", event.fault, event.lasts.as_millis());
        *counts.entry(event.fault).or_default() += 1;
        if let Err(error) = happen(&cluster, event).await {
            recorder.violation(format!("{name} {}: {error:#}", event.fault));
        }
        if let Err(error) = recovered(&cluster, event.node).await {
            let at_s = recorder.started.elapsed().as_secs_f64();
            recorder.violation(format!("{at_s:.1} s: {name} after it was {}: {error:#}", event.fault));
        }
    }
    counts
}

async fn happen(cluster: &Cluster, event: Event) -> anyhow::Result<()> {
    let Event { node, fault, lasts, peer, .. } = event;
    let process = &cluster.nodes[node];
    // Boxes and the gateway have no lines among each other.
    let others: Vec<_> = (0..cluster.nodes.len()).filter(|n| *n != node && (node < CORES || *n < CORES)).collect();
    let set = |into: Line, out: Line| {
        for other in &others {
            cluster.lines.set(*other, node, into);
            cluster.lines.set(node, *other, out);
        }
    };
    match fault {
        Fault::Kill | Fault::Burn => {
            process.kill()?;
            if fault == Fault::Burn {
                std::fs::remove_dir_all(cluster.data(node))?;
            }
        }
        Fault::Restart => process.terminate().await?,
        Fault::Pause => process.pause()?,
        Fault::Isolate => set(CUT, CUT),
        Fault::Deaf => set(CUT, Line::default()),
        Fault::Mute => set(Line::default(), CUT),
        Fault::Pair => cluster.lines.set_both(node, peer, CUT),
        Fault::BadLine => set(BAD_LINE, BAD_LINE),
    }
    tokio::time::sleep(lasts).await;
    match fault {
        Fault::Kill | Fault::Burn | Fault::Restart => process.start()?,
        Fault::Pause => process.proceed()?,
        Fault::Isolate | Fault::Deaf | Fault::Mute | Fault::Pair | Fault::BadLine => {
            set(Line::default(), Line::default());
        }
    }
    Ok(())
}

/// A core node is back when it has what the others had at the beginning; a box when it serves.
async fn recovered(cluster: &Cluster, node: NodeIndex) -> anyhow::Result<()> {
    cluster.nodes[node].until_ready(RECOVERY_MAX).await?;
    if node >= CORES {
        return Ok(());
    }
    let started = Instant::now();
    let mut wanted = BTreeMap::<u64, u64>::new();
    for other in (0..CORES).filter(|other| *other != node) {
        for (group, index) in applied(cluster, other).await? {
            let highest = wanted.entry(group).or_default();
            *highest = index.max(*highest);
        }
    }
    loop {
        let has = applied(cluster, node).await.unwrap_or_default();
        if wanted.iter().all(|(group, index)| has.get(group).is_some_and(|has| has + LAG_MAX >= *index)) {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < RECOVERY_MAX, "it has {has:?}, the others had {wanted:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Applied Raft index of each group on a core node.
pub async fn applied(cluster: &Cluster, core: NodeIndex) -> anyhow::Result<BTreeMap<u64, u64>> {
    let status = cluster.nodes[core].status().await?;
    let groups = status["groups"].as_array().context("no groups in /status")?;
    let pair = |group: &serde_json::Value| Some((group["group"].as_u64()?, group["applied"].as_u64()?));
    groups.iter().map(|group| pair(group).context("a group without applied index")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults_and_every_kind_comes() {
        let events = |seed| Lane::boxes(seed, 3).take(300).collect::<Vec<_>>();
        assert_eq!(events(1), events(1));
        assert_ne!(events(1), events(2));
        assert!(BOX_FAULTS.iter().all(|(fault, _)| events(1).iter().any(|event| event.fault == *fault)));
        assert!(events(1).iter().all(|event| (CORES..CORES + 3).contains(&event.node) && event.peer < CORES));
        assert!(Lane::cores(1).take(300).all(|event| event.node < CORES && event.peer != event.node));
    }
}
