//! A bad line for UDP, to be used by hand: `udp-line FRONT TARGET [NAME=VALUE ...]`, such as
//! `udp-line 127.0.0.1:9000 127.0.0.1:8480 down.rate=500 loss=50 delay=150 jitter=5 seed=7`.
//!
//! Names: `rate` (kbit/s), `loss` (of 1000), `delay`, `jitter`, `queue` (ms), `reorder`, `cut` (0, 1), each for both
//! directions or with `up.` or `down.` in front; `seed`. A line on standard input with such words changes the way while it
//! runs; the end of the input ends the proxy.

use schulhof_testkit::{Conditions, UdpProxy, Way};
use std::{io::BufRead as _, process::ExitCode};

/// Nothing: not understood.
fn set(way: &mut Way, word: &str) -> Option<()> {
    let (name, value) = word.split_once('=')?;
    let value: u64 = value.parse().ok()?;
    if name == "cut" {
        way.cut = value != 0;
        return Some(());
    }
    let (up, down, name) = match name.split_once('.') {
        Some(("up", name)) => (true, false, name),
        Some(("down", name)) => (false, true, name),
        Some(_) => return None,
        None => (true, true, name),
    };
    let directions = [(up, &mut way.up), (down, &mut way.down)];
    for (_, conditions) in directions.into_iter().filter(|(meant, _)| *meant) {
        let Conditions { delay_min_ms, delay_max_ms, .. } = *conditions;
        match name {
            "rate" => conditions.rate_kbit_s = value,
            "loss" => conditions.loss_permille = value,
            "delay" => {
                (conditions.delay_min_ms, conditions.delay_max_ms) = (value, value + delay_max_ms - delay_min_ms);
            }
            "jitter" => conditions.delay_max_ms = delay_min_ms + value,
            "queue" => conditions.queue_ms = value,
            "reorder" => conditions.reorder = value != 0,
            _ => return None,
        }
    }
    Some(())
}

fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [front, target, words @ ..] = &arguments[..] else {
        return Err("usage: udp-line FRONT TARGET [NAME=VALUE ...]".into());
    };
    let address = |text: &String| text.parse().map_err(|_| format!("{text} is no address"));
    let mut way = Way::default();
    let mut seed = 1;
    for word in words {
        match word.strip_prefix("seed=").map(str::parse) {
            Some(Ok(number)) => seed = number,
            _ => set(&mut way, word).ok_or_else(|| format!("{word} is not understood"))?,
        }
    }
    let proxy = UdpProxy::start(address(front)?, address(target)?, &way, seed).map_err(|error| error.to_string())?;
    println!("{} -> {target}, seed {seed}", proxy.front());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        for word in line.split_whitespace() {
            if set(&mut way, word).is_none() {
                eprintln!("{word} is not understood");
            }
        }
        proxy.set(&way);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
