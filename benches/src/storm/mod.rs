//! `schulhof-bench storm`: everybody comes at eight o'clock. Real core nodes and boxes; people who are signed in ask for a
//! ticket, join the media process, shake hands, and wait for the first packet of the others' media.
//!
//! Three runs: as many as the box carries; then a box of a smaller budget, once with as many as it carries and once with ten
//! times as many. Those beyond the budget wait in the queue and ask again when they are told to, until they give up. Then
//! how long it takes until a new class gets in as if nothing had been.
//!
//! In each conference of thirty one person shows camera, screen and voice, the others listen and are silent now and then.
//! All people are 120 accounts, each on several devices: passwords are not what is measured.

mod door;
mod report;
mod town;

use crate::{client::Kit, cluster::product, crowd::Hall, media::recording::Recording};
use anyhow::{Context as _, ensure};
use door::{Door, Outcome};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use report::{Phase, Report};
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use town::{Town, TownBox};

/// In each conference.
pub const PEOPLE: usize = 30;
/// After the last request: until the last of those who are let in hear something.
const SETTLE: Duration = Duration::from_secs(5);
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Aims.
const P99_MAX_MS: u32 = 3_000;
const LOSS_MAX: f64 = 0.01;
const GOODPUT_MIN: f64 = 0.9;
const BACK_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
    /// People who come to a box that carries them all
    #[arg(long, default_value_t = 1_000)]
    joins: usize,
    /// Within so many seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// People whom the smaller box carries
    #[arg(long, default_value_t = 300)]
    budget: usize,
    /// So many times as many come to it
    #[arg(long, default_value_t = 10)]
    times: usize,
    /// Of the order in which people come
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The product to measure; the one beside this program if left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Keep data and logs in this folder, which must be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!((PEOPLE..=1_500).contains(&args.joins), "{PEOPLE} to 1500 joins");
    ensure!((PEOPLE..=600).contains(&args.budget), "a budget of {PEOPLE} to 600");
    ensure!((2..=20).contains(&args.times) && (1..=60).contains(&args.seconds), "2 to 20 times, within 1 to 60 s");
    let program = product(args.bin.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(async {
        let rooms = args.joins.div_ceil(PEOPLE);
        // The larger box has room for whole classes.
        let budgets = [(rooms * PEOPLE) as u32, args.budget as u32];
        let most = rooms.max((args.budget * args.times).div_ceil(PEOPLE));
        let town = Town::start(&program, args.keep.clone(), budgets, most).await?;
        let storm = Storm { kit: Kit::new()?, within: Duration::from_secs(args.seconds), seed: args.seed };
        let normal = storm.phase(&town.large, args.joins).await.context("as many as the box carries")?;
        let alone = storm.phase(&town.small, args.budget).await.context("as many as the smaller box carries")?;
        let (overload, back) = storm.overload(&town.small, args.budget * args.times).await.context("the storm")?;
        let report = Report::new(args.seed, normal, alone, overload, back);
        town.cluster.stop().await?;
        anyhow::Ok(report)
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(if report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Storm {
    kit: Arc<Kit>,
    within: Duration,
    seed: u64,
}

/// People who came, those who are in, and what they hear.
struct Crowd {
    hall: Arc<Hall>,
    door: Arc<Door>,
    conferences: Vec<String>,
    outcomes: Vec<Outcome>,
    rss_before_kb: u64,
}

impl Storm {
    /// All who come are carried.
    async fn phase(&self, at: &TownBox, offered: usize) -> anyhow::Result<Phase> {
        let crowd = self.come(at, offered, self.within + SETTLE).await?;
        let phase = crowd.judge(at)?;
        crowd.leave(at).await?;
        Ok(phase)
    }

    /// More come than are carried; those who wait give up in the end. Then all go, and another class comes: how long until
    /// all of it are in.
    async fn overload(&self, at: &TownBox, offered: usize) -> anyhow::Result<(Phase, Duration)> {
        let crowd = self.come(at, offered, self.within + SETTLE).await?;
        let phase = crowd.judge(at)?;
        crowd.leave(at).await?;
        let at_once = Self { kit: self.kit.clone(), within: Duration::ZERO, seed: self.seed };
        let class = at_once.come(at, PEOPLE, 4 * BACK_MAX).await?;
        let joined = class.judge(at)?;
        ensure!(joined.joined == PEOPLE, "a new class does not get in any more: {:?}", joined.failures);
        class.leave(at).await?;
        Ok((phase, Duration::from_millis(joined.slowest_ms.into())))
    }

    /// `offered` people come within the time, in classes; back when all have got in or given up at `patience`.
    async fn come(&self, at: &TownBox, offered: usize, patience: Duration) -> anyhow::Result<Crowd> {
        let conferences = at.open(offered.div_ceil(PEOPLE)).await?;
        let rss_before_kb = at.rss_kb()?;
        let hall = Arc::new(Hall::new(Arc::new(Recording::chromium()?))?);
        hall.begin();
        let door = Arc::new(Door::new(at, self.kit.clone(), hall.clone()).await?);
        // Who shows something comes first in each class, the others as they happen to.
        let mut order: Vec<usize> = (0..offered).collect();
        let showing = offered.div_ceil(PEOPLE);
        order.sort_by_key(|n| n % PEOPLE);
        order[showing..].shuffle(&mut StdRng::seed_from_u64(self.seed));
        let within = self.within;
        let (start, mut coming) = (tokio::time::Instant::now(), JoinSet::new());
        for (place, n) in order.into_iter().enumerate() {
            let door = door.clone();
            let conference = conferences[n / PEOPLE].clone();
            tokio::time::sleep_until(start + within.mul_f64(place as f64 / offered as f64)).await;
            coming.spawn(async move { door.enter(n, &conference, start + patience).await });
        }
        let outcomes = coming.join_all().await;
        // Who has joined just now hears something soon.
        let let_in = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::LetIn)).count();
        let settled = tokio::time::Instant::now() + SETTLE;
        while hall.counts()?.first_ms.len() < let_in && tokio::time::Instant::now() < settled {
            tokio::time::sleep(POLL_EVERY).await;
        }
        Ok(Crowd { hall, door, conferences, outcomes, rss_before_kb })
    }
}

impl Crowd {
    /// The classes are over.
    async fn leave(self, at: &TownBox) -> anyhow::Result<()> {
        at.close(&self.conferences).await?;
        drop(self);
        at.until_empty().await
    }

    fn judge(&self, at: &TownBox) -> anyhow::Result<Phase> {
        let counts = self.hall.counts()?;
        let of = |wanted: fn(&Outcome) -> bool| self.outcomes.iter().filter(|outcome| wanted(outcome)).count();
        let let_in = of(|outcome| matches!(outcome, Outcome::LetIn));
        let closed = self.door.closed();
        let mut failures: Vec<String> = self
            .outcomes
            .iter()
            .filter_map(|outcome| if let Outcome::Failed(why) = outcome { Some(why.clone()) } else { None })
            .chain(closed)
            .collect();
        let mut latencies_ms = counts.first_ms.clone();
        latencies_ms.sort_unstable();
        let share = |share: f64| {
            let last = latencies_ms.len().saturating_sub(1);
            latencies_ms.get((last as f64 * share) as usize).copied().unwrap_or(u32::MAX)
        };
        let silent = let_in.saturating_sub(latencies_ms.len());
        if silent > 0 {
            failures.push(format!("{silent} were let in and heard nothing; {} datagrams made no sense", counts.unread));
        }
        Ok(Phase {
            offered: self.outcomes.len(),
            joined: latencies_ms.len(),
            failed: of(|outcome| matches!(outcome, Outcome::Failed(_))) + silent,
            queued: of(|outcome| matches!(outcome, Outcome::Waiting)),
            p50_ms: share(0.5),
            p99_ms: share(0.99),
            slowest_ms: share(1.0),
            loss_of_admitted: counts.lost as f64 / (counts.lost + counts.received).max(1) as f64,
            asked: self.door.asked(),
            rss_before_kb: self.rss_before_kb,
            rss_kb: at.rss_kb()?,
            failures,
        })
    }
}
