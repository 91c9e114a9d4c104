//! Closed loops against one system, and what they cost whom.

use crate::process::cpu_ns;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Something that takes operations and acknowledges them.
pub trait System {
    type Client: Client;
    /// The client of this number; it is used by one loop at a time.
    fn client(&self, number: usize) -> Self::Client;
}

pub trait Client: Send + 'static {
    /// One operation, to its acknowledgement.
    fn operate(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How a turn is run.
pub struct Round {
    pub clients: usize,
    pub warm_up: Duration,
    pub turn: Duration,
    /// The system's processes.
    pub pids: Vec<u32>,
}

/// What one turn has given.
#[derive(Default)]
pub struct Turn {
    pub elapsed: Duration,
    pub latencies_us: Vec<u32>,
    pub client_cpu_ns: u64,
    pub server_cpu_ns: u64,
}

/// All turns of a system.
#[derive(Default)]
pub struct Measured {
    pub all: Turn,
    /// Operations per second of each turn.
    pub rates: Vec<f64>,
}

impl Measured {
    pub fn add(&mut self, turn: Turn) {
        self.rates.push(turn.latencies_us.len() as f64 / turn.elapsed.as_secs_f64());
        self.all.elapsed += turn.elapsed;
        self.all.latencies_us.extend(turn.latencies_us);
        self.all.client_cpu_ns += turn.client_cpu_ns;
        self.all.server_cpu_ns += turn.server_cpu_ns;
    }
}

fn servers_cpu_ns(pids: &[u32]) -> anyhow::Result<u64> {
    pids.iter().map(|pid| cpu_ns(*pid)).sum()
}

/// Runs the loops for a turn. The first failure ends it: a bench of something that fails says nothing.
pub async fn round<S: System>(system: &S, round: &Round) -> anyhow::Result<Turn> {
    let (counting, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut loops = tokio::task::JoinSet::new();
    for number in 0..round.clients {
        let mut client = system.client(number);
        let (counting, stop) = (counting.clone(), stop.clone());
        loops.spawn(async move {
            let mut latencies_us = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                client.operate().await?;
                // Begun and ended within the turn.
                if counting.load(Ordering::Relaxed) {
                    latencies_us.push(started.elapsed().as_micros() as u32);
                }
            }
            anyhow::Ok(latencies_us)
        });
    }
    tokio::time::sleep(round.warm_up).await;
    let own = std::process::id();
    let (client_before, server_before) = (cpu_ns(own)?, servers_cpu_ns(&round.pids)?);
    let begun = Instant::now();
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(round.turn).await;
    counting.store(false, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let (client_after, server_after) = (cpu_ns(own)?, servers_cpu_ns(&round.pids)?);
    stop.store(true, Ordering::Relaxed);
    let mut latencies_us = Vec::new();
    while let Some(ended) = loops.join_next().await {
        latencies_us.extend(ended??);
    }
    Ok(Turn {
        elapsed,
        latencies_us,
        // Threads that ended meanwhile are no longer counted.
        client_cpu_ns: client_after.saturating_sub(client_before),
        server_cpu_ns: server_after.saturating_sub(server_before),
    })
}
