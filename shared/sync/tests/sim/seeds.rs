//! Many seeds on all processors; the lowest that fails is named.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// `SCHULHOF_SEED=n` runs that one, `SCHULHOF_SEEDS=n` so many from 0 on. Gives the results by seed.
///
/// # Panics
/// If `run` gives an error or panics, with the seed.
pub fn for_seeds<T: Send>(default_count: u64, run: impl Fn(u64) -> Result<T, String> + Sync) -> Vec<T> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SCHULHOF_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHULHOF_SEEDS").unwrap_or(default_count),
    };
    let next = AtomicU64::new(seeds.start);
    let done: Mutex<Vec<(u64, Result<T, String>)>> = Mutex::default();
    let worker = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)))
            .unwrap_or_else(|_| Err("it panicked (see above)".to_owned()));
        if result.is_err() {
            // Lower seeds that are under way go on, higher ones need not begin.
            next.store(seeds.end, Ordering::Relaxed);
        }
        done.lock().expect("no holder panics").push((seed, result));
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    let mut done = done.into_inner().expect("no holder panics");
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter()
        .map(|(seed, result)| {
            result.unwrap_or_else(|error| panic!("seed {seed}: {error}\nrun again with SCHULHOF_SEED={seed}"))
        })
        .collect()
}
