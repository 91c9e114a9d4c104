//! `schulhof school`: which schools there are, and in which group each one's log is.

use super::{Client, Refusal, run};
use crate::cli::{SchoolAddArgs, SchoolCommand, SchoolMoveArgs};
use anyhow::bail;
use schulhof_wire::{
    SchoolId,
    admin::{Answer, Ask, Moving, School},
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

/// A move goes on by itself in the core; after so long the command no longer waits for it. Some 10 MB/s are moved.
const MOVE_MAX: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One school, as `-o json` shows it.
#[derive(Debug, Serialize)]
struct Line {
    school: SchoolId,
    name: Option<String>,
    group: u32,
    epoch: u64,
    /// `{"to": N}` while it is on its way, `{"from": N}` while the group that it left still holds it.
    moving: Option<Moving>,
}

impl From<School> for Line {
    fn from(School { school, name, group, epoch, moving }: School) -> Self {
        Self { school, name, group, epoch, moving }
    }
}

pub fn command(command: SchoolCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchoolCommand::List(args) => {
            run(&args, async |client| schools(client, Ask::Schools).await, |lines| table(lines))
        }
        SchoolCommand::Move(SchoolMoveArgs { school, to, dry_run, operate }) => {
            run(&operate, async |client| move_to(client, school, to, dry_run).await, |lines| table(lines))
        }
        SchoolCommand::Add(SchoolAddArgs { school, name, group, operate }) => run(
            &operate,
            async |client| schools(client, Ask::SchoolAdd { school, name, group }).await,
            |lines| table(lines),
        ),
    }
}

async fn schools(client: &mut Client, ask: Ask) -> anyhow::Result<Vec<Line>> {
    match client.ask(ask).await? {
        Answer::Schools(schools) => Ok(schools.into_iter().map(Line::from).collect()),
        other => bail!("the core answered {other:?}"),
    }
}

/// Ends when the school is served in its new group.
async fn move_to(client: &mut Client, school: SchoolId, to: u32, dry_run: bool) -> anyhow::Result<Vec<Line>> {
    let begun = match schools(client, Ask::SchoolMove { school: school.clone(), to, dry_run }).await {
        Ok(lines) if dry_run => return Ok(lines),
        Ok(_) => Instant::now(),
        // Asked twice, because the first answer was lost: it is under way, or has arrived.
        Err(e) if !dry_run && e.downcast_ref::<Refusal>().is_some_and(|r| r.code == "moving") => Instant::now(),
        Err(e) => return Err(e),
    };
    while begun.elapsed() < MOVE_MAX {
        let lines = schools(client, Ask::Schools).await?;
        let arrived = |line: &Line| line.school == school && !matches!(line.moving, Some(Moving::To(_)));
        if let Some(line) = lines.into_iter().find(arrived) {
            anyhow::ensure!(line.group == to, "{school} went to group {} meanwhile", line.group);
            return Ok(vec![line]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("{school} is still on its way after {} s; `schulhof school list` shows how far", MOVE_MAX.as_secs())
}

fn table(lines: &[Line]) -> String {
    let mut out = format!("{:<24} {:>5} {:>5} {:<10} NAME\n", "SCHOOL", "GROUP", "EPOCH", "MOVING");
    for Line { school, name, group, epoch, moving } in lines {
        let moving = match moving {
            None => "-".to_owned(),
            Some(Moving::To(group)) => format!("to {group}"),
            Some(Moving::From(group)) => format!("from {group}"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:<24} {group:>5} {epoch:>5} {moving:<10} {}",
            school.as_str(),
            name.as_deref().unwrap_or("-")
        );
    }
    out
}
