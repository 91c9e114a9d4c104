//! The crates' arrows, as the workspace draws them: a crate uses only what stands left of it, edge and core never meet,
//! pure crates reach no runtime, socket, store or clock of others, and `testkit` is for tests and benches alone.

use serde_json::Value;
use std::{collections::BTreeMap, process::Command};

/// Place of each crate from left to right; a crate may use only those of a lower one.
const RANKS: [(&str, u32); 12] = [
    ("schulhof-wire", 0),
    ("schulhof-school", 1),
    ("schulhof-placement", 1),
    ("schulhof-sync", 2),
    ("schulhof-media", 2),
    ("schulhof-net", 3),
    ("schulhof-web", 3),
    ("schulhof-edge", 4),
    ("schulhof-core", 4),
    ("schulhof", 5),
    (BENCHES, 6),
    // Anybody's tests may use it, and the benches.
    (TESTKIT, 0),
];
const TESTKIT: &str = "schulhof-testkit";
const BENCHES: &str = "schulhof-bench";
const PURE: [&str; 5] = ["schulhof-wire", "schulhof-school", "schulhof-placement", "schulhof-sync", "schulhof-media"];
/// What a pure crate must not even reach through others.
const IMPURE: [&str; 14] = [
    "tokio",
    "mio",
    "async-std",
    "smol",
    "quinn",
    "axum",
    "hyper",
    "reqwest",
    "socket2",
    "redb",
    "sled",
    "openraft",
    "rustix",
    "tempfile",
];
/// What a pure crate must not use itself: protocol crates below it may have them for their own defaults.
const IMPURE_DIRECTLY: [&str; 3] = ["rand", "getrandom", "libc"];

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Package -> its direct dependencies with their kind (`None` is a normal one).
fn dependencies() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"])).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let dependencies = dependencies.iter().map(|d| (text(&d["name"]).unwrap(), text(&d["kind"]))).collect();
            (text(&package["name"]).unwrap(), dependencies)
        })
        .collect()
}

#[test]
fn a_crate_uses_only_what_stands_left_of_it() {
    let ranks = BTreeMap::from(RANKS);
    for (package, dependencies) in dependencies() {
        let rank = *ranks.get(package.as_str()).unwrap_or_else(|| panic!("{package} has no place among the arrows"));
        for (dependency, kind) in dependencies {
            let Some(below) = ranks.get(dependency.as_str()) else { continue };
            if dependency == TESTKIT {
                let tests_only = package == BENCHES || kind.as_deref() == Some("dev");
                assert!(tests_only, "{package} uses {TESTKIT} outside of tests");
            } else if package != TESTKIT {
                assert!(*below < rank, "{package} must not use {dependency}");
            }
        }
    }
}

#[test]
fn edge_and_core_never_meet() {
    for (one, other) in [("schulhof-edge", "schulhof-core"), ("schulhof-core", "schulhof-edge")] {
        assert!(!reached_by(one).contains(&other.to_owned()), "{one} reaches {other}");
    }
}

#[test]
fn pure_crates_reach_no_runtime_socket_or_store() {
    for package in PURE {
        let reached = reached_by(package);
        for impure in IMPURE {
            assert!(!reached.contains(&impure.to_owned()), "{package} reaches {impure}");
        }
    }
    for (package, dependencies) in dependencies().iter().filter(|(p, _)| PURE.contains(&p.as_str())) {
        for (dependency, kind) in dependencies {
            let own = kind.is_none() && IMPURE_DIRECTLY.contains(&dependency.as_str());
            assert!(!own, "{package} uses {dependency}: randomness and the system come in as arguments");
        }
    }
}

/// All crates behind a package, as it is built alone.
fn reached_by(package: &str) -> Vec<String> {
    let tree =
        cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}", "--locked"]);
    tree.lines().filter_map(|line| line.split(' ').next()).skip(1).map(str::to_owned).collect()
}
