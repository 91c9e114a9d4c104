//! One process of the system: starts it, sees when it is ready, starts it again when it dies, stops it.
//!
//! A process that dies before it was ever ready is a mistake (a taken port, a wrong file): its keeper gives up at once. Later
//! it is started again with growing pauses, and given up after [`FAILURES_MAX`] deaths in a row without being ready.

use crate::{http, node::LOG_ENV, record::NodeRecord};
use anyhow::Context as _;
use schulhof_net::{lifeline, observe::Readiness};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Deaths in a row without having been ready in between.
const FAILURES_MAX: u32 = 5;
/// Pause before the first restart; doubled with each failure.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Between two looks at `/readyz` of a process that is starting.
const READY_POLL_EVERY: Duration = Duration::from_millis(25);
/// A node that has been told to stop is killed after this long.
const STOP_MAX: Duration = Duration::from_secs(8);
/// A log larger than this is put aside (one old one is kept) when its process starts.
const LOG_LEN_MAX: u64 = 16 << 20;
/// How far back the last line of a log is looked for, in bytes.
const LAST_LINE_MAX: u64 = 4 << 10;

/// What there is to start.
#[derive(Debug, Clone)]
pub struct Spec {
    pub program: PathBuf,
    /// `core`, `relay`, `edge`, with its options.
    pub subcommand: &'static [&'static str],
    pub json_logs: bool,
    pub node: NodeRecord,
}

/// What a keeper tells. The name is the node's.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Started {
        name: String,
        pid: u32,
    },
    /// `/readyz` said so for the first time since the process was started.
    Ready {
        name: String,
    },
    Died {
        name: String,
        why: String,
        restart_in: Duration,
    },
    GaveUp {
        name: String,
        why: String,
    },
}

/// A task that keeps a process running.
pub struct Keeper {
    pub name: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Must be called on a runtime of one thread, the main one: the kernel ties children to the thread that started them.
    pub fn start(spec: Spec, events: mpsc::UnboundedSender<Event>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let name = spec.node.name.clone();
        Self { name, stop, task: tokio::spawn(keep(spec, events, stopped)) }
    }

    /// Tells the process to stop; [`Keeper::ended`] waits for it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn ended(&mut self) {
        // A keeper does not panic; if it did, its process was killed with it.
        let _ = (&mut self.task).await;
    }
}

async fn keep(spec: Spec, events: mpsc::UnboundedSender<Event>, mut stop: watch::Receiver<bool>) {
    let name = || spec.node.name.clone();
    // Nobody listens any more only when everything ends.
    let tell = |event| drop(events.send(event));
    let mut was_ever_ready = false;
    let mut failures = 0;
    while !*stop.borrow() {
        let mut child = match spawn(&spec) {
            Ok(child) => child,
            Err(error) => return tell(Event::GaveUp { name: name(), why: format!("{error:#}") }),
        };
        if let Some(pid) = child.id() {
            tell(Event::Started { name: name(), pid });
        }
        let mut ready = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = until_ready(&spec.node), if !ready => {
                    ready = true;
                    was_ever_ready = true;
                    failures = 0;
                    tell(Event::Ready { name: name() });
                }
                () = stopped(&mut stop) => return terminate(&spec.node.name, child).await,
            }
        };
        failures += 1;
        let why = why(status, &spec.node.log);
        if !was_ever_ready || failures >= FAILURES_MAX {
            return tell(Event::GaveUp { name: name(), why });
        }
        let restart_in = (BACKOFF_MIN * 2u32.pow(failures - 1)).min(BACKOFF_MAX);
        tell(Event::Died { name: name(), why, restart_in });
        tokio::select! {
            () = tokio::time::sleep(restart_in) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// A function of its own, as what `wait_for` gives must not be held over an await.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the keeper's handle is gone: stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn spawn(spec: &Spec) -> anyhow::Result<Child> {
    let log = open_log(&spec.node.log).with_context(|| spec.node.log.display().to_string())?;
    let mut command = std::process::Command::new(&spec.program);
    command.arg0("schulhof").args(spec.subcommand).arg("--config").arg(&spec.node.config);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if spec.json_logs {
        command.env(LOG_ENV, "json");
    }
    lifeline::tie(&mut command);
    Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", spec.program.display()))
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|m| m.len() > LOG_LEN_MAX) {
        fs::rename(path, path.with_extension("1"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// Polls: a node that is starting has no other way to say that it is ready.
async fn until_ready(node: &NodeRecord) {
    // A box is ready with its media node: a lesson that began before would go to the cloud.
    for admin in std::iter::once(&node.admin).chain(node.media.as_ref().map(|media| &media.admin)) {
        while !readiness(admin).await.is_ok_and(|r| r.ready) {
            tokio::time::sleep(READY_POLL_EVERY).await;
        }
    }
}

/// What a node says about itself.
pub async fn readiness(admin: &str) -> anyhow::Result<Readiness> {
    Ok(http::get(&format!("{admin}/readyz")).await?.json()?)
}

async fn terminate(name: &str, mut child: Child) {
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended by itself just now.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
        eprintln!("{name} did not stop within {} s and is killed", STOP_MAX.as_secs());
        let _ = child.kill().await;
    }
}

/// Exit status and last words, on one line.
fn why(status: io::Result<ExitStatus>, log: &Path) -> String {
    let how = match status {
        Err(error) => format!("was lost: {error}"),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(9)) => "was killed (signal 9)".to_owned(),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
    };
    match last_line(log) {
        Some(line) => format!("{how}; its log ends with: {line}"),
        None => how,
    }
}

fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LAST_LINE_MAX))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    let text = String::from_utf8_lossy(&end);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_log_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(last_line(&log), None);
        fs::write(&log, format!("{}\nlast words\n\n", "x".repeat(10_000))).unwrap();
        assert_eq!(last_line(&log).as_deref(), Some("last words"));
        let status = Ok(ExitStatus::from_raw(9));
        assert_eq!(why(status, &log), "was killed (signal 9); its log ends with: last words");
        assert_eq!(why(Ok(ExitStatus::from_raw(256)), &dir.path().join("none")), "ended with exit code 1");
    }

    #[test]
    fn a_log_that_has_grown_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        File::create(&log).unwrap().set_len(LOG_LEN_MAX + 1).unwrap();
        open_log(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert!(dir.path().join("log.1").exists());
    }

    fn spec(program: &str, dir: &Path) -> Spec {
        let node = NodeRecord {
            name: "core-1".into(),
            kind: crate::record::Kind::Core,
            pid: None,
            restarts: 0,
            admin: "http://127.0.0.1:1".into(),
            url: String::new(),
            gateway: None,
            media: None,
            config: dir.join("config.toml"),
            data: dir.join("data"),
            identity: dir.join("identity"),
            log: dir.join("log"),
        };
        Spec { program: program.into(), subcommand: &["core"], json_logs: false, node }
    }

    #[tokio::test]
    async fn a_process_that_dies_before_it_was_ready_is_given_up_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (tell, mut events) = mpsc::unbounded_channel();
        let mut keeper = Keeper::start(spec("/bin/false", dir.path()), tell);
        assert!(matches!(events.recv().await, Some(Event::Started { .. })));
        let why = "ended with exit code 1".to_owned();
        assert_eq!(events.recv().await, Some(Event::GaveUp { name: "core-1".into(), why }));
        keeper.ended().await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (tell, mut events) = mpsc::unbounded_channel();
        let _keeper = Keeper::start(spec("/nowhere/schulhof", dir.path()), tell);
        let Some(Event::GaveUp { why, .. }) = events.recv().await else { panic!("it did not give up") };
        assert!(why.starts_with("cannot start /nowhere/schulhof"), "{why}");
    }
}
