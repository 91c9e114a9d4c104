//! What the fuzzers share, and the doors to what is not the media engine's. Those of the engine: `schulhof_media::fuzzing`.

pub mod control;
pub mod framing;
pub mod ticket;

use std::{env, fs, path::Path};

/// Writes the seeds of a target to the folder that `SEEDS` names, if it does.
pub fn plant(target: &str) {
    let Some(folder) = env::var_os("SEEDS") else { return };
    let seeds = match target {
        "control" => control::seeds(),
        "framing" => framing::seeds(),
        "ticket" => ticket::seeds(),
        _ => schulhof_media::fuzzing::seeds::of(target),
    };
    for (n, seed) in seeds.into_iter().enumerate() {
        fs::write(Path::new(&folder).join(format!("seed-{n}")), seed).expect("the folder for seeds is written to");
    }
}
