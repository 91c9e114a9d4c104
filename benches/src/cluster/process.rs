//! One process of the product: started, killed, paused and continued as often as wanted; what it costs, from `/proc`.

use crate::http;
use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use schulhof_net::lifeline;
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const POLL_EVERY: Duration = Duration::from_millis(20);
/// A process that has been told to stop ends by then.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Ticks of `utime` and `stime` in `/proc/PID/stat`: 100 on every Linux that we run on (`USER_HZ`).
const TICK_MS: u64 = 10;

pub struct Process {
    pub name: String,
    pub admin: SocketAddr,
    program: PathBuf,
    /// Subcommand and options before the configuration.
    command: Vec<&'static str>,
    dir: PathBuf,
    log: &'static str,
    child: Mutex<Option<Child>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Process {
    pub fn new(
        program: &Path,
        subcommand: &'static str,
        dir: &Path,
        name: String,
        admin: SocketAddr,
        log: &'static str,
    ) -> Self {
        Self::with_options(program, &[subcommand], dir, name, admin, log)
    }

    /// As [`Process::new`], of a subcommand with options.
    pub fn with_options(
        program: &Path,
        command: &[&'static str],
        dir: &Path,
        name: String,
        admin: SocketAddr,
        log: &'static str,
    ) -> Self {
        let (program, dir, command) = (program.to_owned(), dir.to_owned(), command.to_vec());
        Self { name, admin, program, command, dir, log, child: Mutex::new(None) }
    }

    /// Starts it; its output goes to `log` in its folder.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut child = self.child.lock();
        ensure!(child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(&self.program);
        command.args(&self.command).arg("--config").arg(self.dir.join("config.toml")).env("RUST_LOG", self.log);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = lifeline::tie(&mut command).spawn();
        *child = Some(started.with_context(|| format!("cannot start {}", self.program.display()))?);
        Ok(())
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.lock().as_ref().map(Child::id)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.with_context(|| format!("{} does not run", self.name))?, signal)?;
        Ok(())
    }

    /// SIGKILL; back when it is gone.
    pub fn kill(&self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.lock().take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP: holds its ports and says nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn proceed(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM; back when it has ended well.
    pub async fn terminate(&self) -> anyhow::Result<()> {
        if self.pid().is_none() {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        loop {
            let ended = match self.child.lock().as_mut() {
                Some(child) => child.try_wait()?,
                None => return Ok(()),
            };
            if let Some(status) = ended {
                *self.child.lock() = None;
                ensure!(status.success(), "ended with {status}");
                return Ok(());
            }
            ensure!(started.elapsed() < STOP_MAX, "did not stop within {} s", STOP_MAX.as_secs());
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// How it ended, if it did so by itself.
    pub fn died(&self) -> Option<String> {
        let status = self.child.lock().as_mut()?.try_wait().ok()??;
        Some(format!("{} ended by itself: {status}", self.name))
    }

    /// `/readyz` says so.
    pub async fn until_ready(&self, limit: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(how) = self.died() {
                bail!("{how}; its log is {}", self.log_file().display());
            }
            if schulhof_ops::http::get(&format!("http://{}/readyz", self.admin)).await.is_ok_and(|a| a.status == 200) {
                return Ok(());
            }
            ensure!(started.elapsed() < limit, "{} is not ready after {} s", self.name, limit.as_secs());
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// What `/status` says.
    pub async fn status(&self) -> anyhow::Result<serde_json::Value> {
        Ok(schulhof_ops::http::get(&format!("http://{}/status", self.admin)).await?.json()?)
    }

    /// One of its counters, now; the sum over labels.
    pub fn counter(&self, name: &str) -> anyhow::Result<f64> {
        let (_, metrics) = http::request(self.admin, "GET", "/metrics", "")?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Time that it spent on processors, in its own code and in the kernel.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15 (proc_pid_stat(5)).
        let (_, rest) = stat.rsplit_once(") ").context("an unreadable /proc/PID/stat")?;
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
        Ok(Duration::from_millis(ticks * TICK_MS))
    }

    /// A field of `/proc/PID/status` in kB, such as `VmRSS` or `VmHWM`.
    pub fn memory_kb(&self, field: &str) -> anyhow::Result<u64> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let line = line.with_context(|| format!("no {field}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}
