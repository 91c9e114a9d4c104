//! `schulhof node`: core nodes that come and go, while everything else goes on.

use super::{Client, Refusal, run};
use crate::cli::{NodeAddArgs, NodeChangeArgs, NodeCommand, NodeReplaceArgs, OperateArgs};
use anyhow::{Context as _, bail};
use schulhof_wire::{
    NodeName,
    admin::{Answer, Ask, Node, NodeChange, NodeState},
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

/// A change goes on by itself in the core; after so long the command no longer waits for it.
const CHANGE_MAX: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// One node, as `-o json` shows it.
#[derive(Debug, Clone, Serialize)]
struct Line {
    id: u64,
    node: NodeName,
    address: SocketAddr,
    state: NodeState,
    answers: bool,
    groups: u32,
    votes: u32,
    learns: u32,
    leads: u32,
}

impl From<Node> for Line {
    fn from(node: Node) -> Self {
        let Node { id, name, address, state, answers, groups, votes, learns, leads } = node;
        Self { id, node: name, address, state, answers, groups, votes, learns, leads }
    }
}

pub fn command(command: NodeCommand) -> anyhow::Result<ExitCode> {
    match command {
        NodeCommand::List(args) => show(&args, async |client| nodes(client, Ask::Nodes).await),
        NodeCommand::Add(NodeAddArgs { node, addr, dry_run, operate }) => {
            show(&operate, async |client| add(client, node, addr, None, dry_run).await)
        }
        NodeCommand::Replace(NodeReplaceArgs { node, with, addr, dry_run, operate }) => {
            show(&operate, async |client| add(client, with, addr, Some(node), dry_run).await)
        }
        NodeCommand::Drain(NodeChangeArgs { node, dry_run, operate }) => {
            let done = |line: &Line| line.state == NodeState::Draining && line.leads == 0;
            show(&operate, async |client| change(client, node, NodeChange::Drain, dry_run, done).await)
        }
        NodeCommand::Serve(NodeChangeArgs { node, dry_run, operate }) => {
            let done = |line: &Line| line.state == NodeState::Active;
            show(&operate, async |client| change(client, node, NodeChange::Serve, dry_run, done).await)
        }
        NodeCommand::Remove(NodeChangeArgs { node, dry_run, operate }) => {
            let done = |line: &Line| line.state == NodeState::Gone;
            show(&operate, async |client| change(client, node, NodeChange::Remove, dry_run, done).await)
        }
    }
}

fn show(
    args: &OperateArgs,
    command: impl AsyncFnOnce(&mut Client) -> anyhow::Result<Vec<Line>>,
) -> anyhow::Result<ExitCode> {
    run(args, command, |lines| table(lines))
}

async fn nodes(client: &mut Client, ask: Ask) -> anyhow::Result<Vec<Line>> {
    match client.ask(ask).await? {
        Answer::Nodes(nodes) => Ok(nodes.into_iter().map(Line::from).collect()),
        other => bail!("the core answered {other:?}"),
    }
}

async fn add(
    client: &mut Client,
    name: NodeName,
    address: SocketAddr,
    replaces: Option<NodeName>,
    dry_run: bool,
) -> anyhow::Result<Vec<Line>> {
    let ask = Ask::NodeAdd { name: name.clone(), address, replaces: replaces.clone(), dry_run };
    let added = match nodes(client, ask).await {
        Ok(lines) if dry_run => return Ok(lines),
        Ok(lines) => lines.into_iter().next().context("the core named no node")?,
        // Asked twice, because the first answer was lost, or to wait on: it is the one that is joining.
        Err(e) if !dry_run && e.downcast_ref::<Refusal>().is_some_and(|r| r.code == "node-exists") => {
            let known = nodes(client, Ask::Nodes).await?;
            let same = |line: &Line| line.node == name && line.address == address && line.state == NodeState::Joining;
            known.into_iter().find(same).ok_or(e)?
        }
        Err(e) => return Err(e),
    };
    let mut lines = until(client, added.id, |line| line.state == NodeState::Active).await?;
    if let Some(old) = replaces {
        let known = nodes(client, Ask::Nodes).await?;
        if let Some(line) = known.iter().rev().find(|line| line.node == old) {
            lines.extend(until(client, line.id, |line| line.state == NodeState::Gone).await?);
        }
    }
    Ok(lines)
}

async fn change(
    client: &mut Client,
    name: NodeName,
    change: NodeChange,
    dry_run: bool,
    done: impl Fn(&Line) -> bool,
) -> anyhow::Result<Vec<Line>> {
    let lines = nodes(client, Ask::NodeChange { name, change, dry_run }).await?;
    match lines.first() {
        Some(line) if !dry_run => until(client, line.id, done).await,
        _ => Ok(lines),
    }
}

/// Ends when the node is as wanted.
async fn until(client: &mut Client, id: u64, done: impl Fn(&Line) -> bool) -> anyhow::Result<Vec<Line>> {
    let begun = Instant::now();
    while begun.elapsed() < CHANGE_MAX {
        let found = nodes(client, Ask::Nodes).await?.into_iter().find(|line| line.id == id);
        if let Some(line) = found.filter(|line| done(line)) {
            return Ok(vec![line]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("not done after {} s; it goes on, and `schulhof node list` shows how far it is", CHANGE_MAX.as_secs())
}

fn table(lines: &[Line]) -> String {
    let mut out = format!(
        "{:>3} {:<16} {:<22} {:<9} {:<8} {:>6} {:>6} {:>6}\n",
        "NR", "NODE", "ADDRESS", "STATE", "ANSWERS", "VOTES", "LEARNS", "LEADS"
    );
    for line in lines {
        let state = format!("{:?}", line.state).to_lowercase();
        let answers = if line.answers { "yes" } else { "no" };
        let (name, address) = (line.node.as_str(), line.address.to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>3} {name:<16} {address:<22} {state:<9} {answers:<8} {:>6} {:>6} {:>6}",
            line.id, line.votes, line.learns, line.leads
        );
    }
    out
}
