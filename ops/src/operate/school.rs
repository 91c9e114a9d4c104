//! `schulhof school`: which schools there are, and in which group each one's log is.

use super::{Client, run};
use crate::cli::{SchoolAddArgs, SchoolCommand};
use anyhow::bail;
use schulhof_wire::{
    SchoolId,
    admin::{Answer, Ask, School},
};
use serde::Serialize;
use std::{fmt::Write as _, process::ExitCode};

/// One school, as `-o json` shows it.
#[derive(Debug, Serialize)]
struct Line {
    school: SchoolId,
    name: Option<String>,
    group: u32,
    epoch: u64,
}

impl From<School> for Line {
    fn from(School { school, name, group, epoch }: School) -> Self {
        Self { school, name, group, epoch }
    }
}

pub fn command(command: SchoolCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchoolCommand::List(args) => {
            run(&args, async |client| schools(client, Ask::Schools).await, |lines| table(lines))
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

fn table(lines: &[Line]) -> String {
    let mut out = format!("{:<24} {:>5} {:>5} NAME\n", "SCHOOL", "GROUP", "EPOCH");
    for Line { school, name, group, epoch } in lines {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{:<24} {group:>5} {epoch:>5} {}", school.as_str(), name.as_deref().unwrap_or("-"));
    }
    out
}
