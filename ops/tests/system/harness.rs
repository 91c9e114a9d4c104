//! A whole system in a temporary folder, on free ports.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use schulhof_ops::{
    record::{NodeRecord, Record},
    status::Status,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_schulhof");
/// Longer than `up` itself waits for its nodes.
const START_MAX: Duration = Duration::from_secs(70);
/// Everything that should happen soon; generous, as test machines are slow and shared.
pub const SOON: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Systems of one test program run one after the other: eight processes each, and what is measured is not their fight.
static TURN: Mutex<()> = Mutex::new(());

/// Waits until `look` gives something; panics with `what` and its last words after `limit`.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(why) if start.elapsed() > limit => panic!("not within {} s: {what}: {why}", limit.as_secs()),
            Err(_) => tokio::time::sleep(POLL_EVERY).await,
        }
    }
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

pub fn is_alive(pid: u32) -> bool {
    test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_ok()
        // A zombie waits for its parent only.
        && std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z')))
}

/// Two parts and a bit, a file that somebody attaches.
pub fn worksheet() -> Vec<u8> {
    (0..600_000_u32).flat_map(|n| [(n / 251) as u8 ^ (n * 7) as u8]).collect()
}

/// `schulhof` with arguments, to its end.
pub fn schulhof(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).stdin(Stdio::null()).output().unwrap()
}

/// The one line that a failed command says on standard error, apart from its log.
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("schulhof ")).collect();
    assert_eq!(lines.len(), 1, "not one line of complaint: {text}");
    lines[0].to_owned()
}

/// Everything below a folder with its contents: to see that nothing was touched.
pub fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                all.push((path, content));
            }
        }
    }
    all.sort();
    all
}

/// `schulhof up`, ready and seeded.
pub struct System {
    up: Child,
    pub dir: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl System {
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    pub async fn start_with(dir: &Path, options: &[&str]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = dir.join("system");
        let output = std::fs::File::create(dir.with_extension("out")).unwrap();
        let up = Command::new(PROGRAM)
            .args(["up", "--base-port", "0", "--dir"])
            .arg(&dir)
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut system = Self { up, dir, _turn: turn };
        until("the system is ready", START_MAX, async || {
            if let Some(status) = system.up.try_wait().unwrap() {
                panic!("up ended with {status}: {}", system.output());
            }
            match Record::load(&system.dir) {
                Ok(record) if record.ready && record.pid == system.up.id() => Ok(()),
                Ok(_) => Err(format!("not ready: {}", system.output())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        system
    }

    /// What `up` has said.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.dir.with_extension("out")).unwrap()
    }

    pub fn record(&self) -> Record {
        Record::load(&self.dir).unwrap()
    }

    pub fn node(&self, name: &str) -> NodeRecord {
        self.record().node(name).unwrap_or_else(|| panic!("no node {name}")).clone()
    }

    pub fn pid(&self, name: &str) -> u32 {
        self.node(name).pid.unwrap_or_else(|| panic!("{name} does not run"))
    }

    pub fn up_pid(&self) -> u32 {
        self.up.id()
    }

    /// What `schulhof status -o json` says.
    pub fn status(&self) -> Status {
        let output = schulhof(&["status", "-o", "json", "--dir", self.dir.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// The leader of a data group.
    pub async fn leader(&self, group: u64) -> String {
        until("the group has a leader", SOON, async || {
            let status = self.status();
            let found = status.groups.iter().find(|g| g.group == group).and_then(|g| g.leader.clone());
            found.ok_or_else(|| format!("{:?}", status.groups))
        })
        .await
    }

    pub async fn until_ready(&self) {
        until("all nodes are ready", SOON, async || {
            let status = self.status();
            if status.ready { Ok(()) } else { Err(format!("{:?}", status.nodes)) }
        })
        .await;
    }

    pub fn kill(&self, name: &str) {
        signal(self.pid(name), Signal::KILL);
    }

    /// Nodes that hang: they hold their ports and say nothing, as behind a line that is down.
    pub fn freeze(&self, names: &[&str]) {
        for name in names {
            signal(self.pid(name), Signal::STOP);
        }
    }

    /// All processes that belong to it.
    pub fn pids(&self) -> Vec<u32> {
        let nodes = self.status().nodes;
        nodes.iter().filter_map(|node| node.pid).chain([self.up.id()]).collect()
    }

    /// As Ctrl-C does.
    pub fn stop(mut self) -> ExitStatus {
        self.terminate()
    }

    /// Waits for the end of `up` itself, which something else has brought about.
    pub fn ended(mut self) -> ExitStatus {
        self.up.wait().unwrap()
    }

    fn terminate(&mut self) -> ExitStatus {
        if self.up.try_wait().unwrap().is_none() {
            signal(self.up.id(), Signal::TERM);
        }
        self.up.wait().unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.output());
            for name in self.record_or_none().iter().flat_map(|r| &r.nodes) {
                let log = std::fs::read_to_string(&name.log).unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(15).collect();
                eprintln!("--- {}\n{}", name.name, end.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
        self.terminate();
    }
}

impl System {
    fn record_or_none(&self) -> Option<Record> {
        Record::load(&self.dir).ok()
    }
}

/// What a core node holds on disk of a school, after it was stopped: index, operation, verdict.
pub fn core_entries(data: &Path, group: u64, school: &str) -> Vec<(u64, Vec<u8>, Option<String>)> {
    const CACHE_LEN: usize = 16 << 20;
    let path = data.join("state").join(format!("group-{group}.redb"));
    let store =
        schulhof_core::state::Store::open(&path, schulhof_core::raft::types::Group(group as u32), CACHE_LEN).unwrap();
    let school = schulhof_wire::SchoolId::new(school).unwrap();
    let entries = store.entries(&school, schulhof_wire::LogIndex(0), usize::MAX, usize::MAX).unwrap();
    entries.into_iter().map(|e| (e.index.0, e.operation.0, e.rejected)).collect()
}
