//! The status for a person's eyes.

use super::{NodeStatus, Status};
use std::fmt::Write as _;

pub fn render(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line(format!("{:<10} {:<10} {:>8} {:<9} {:<28} DETAIL", "NODE", "KIND", "PID", "STATE", "ADDRESS"));
    for node in &status.nodes {
        let state = match (node.ready, node.reasons.is_empty()) {
            (true, true) => "ready",
            (true, false) => "degraded",
            (false, _) => "NOT READY",
        };
        let pid = node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let (name, kind, url, detail) = (&node.name, &node.kind, &node.url, detail(node));
        line(format!("{name:<10} {kind:<10} {pid:>8} {state:<9} {url:<28} {detail}"));
    }
    if !status.groups.is_empty() {
        line(String::new());
        line(format!("{:<10} {:<10} {:>8} APPLIED", "GROUP", "LEADER", "TERM"));
    }
    for group in &status.groups {
        let leader = group.leader.as_deref().unwrap_or("none");
        let applied: Vec<_> = group.applied.iter().map(|(node, applied)| format!("{node} {applied}")).collect();
        line(format!("{:<10} {leader:<10} {:>8} {}", group.group, group.term, applied.join(", ")));
    }
    if !status.schools.is_empty() {
        line(String::new());
        line(format!("{:<10} {:<10} {:>8} {:>8} {:>8}", "SCHOOL", "BOX", "HEAD", "CURSOR", "LAG"));
    }
    for school in &status.schools {
        let connected = if school.box_connected { "connected" } else { "offline" };
        line(format!(
            "{:<10} {connected:<10} {:>8} {:>8} {:>8}",
            school.school, school.head, school.cursor, school.lag
        ));
    }
    out
}

fn detail(node: &NodeStatus) -> String {
    let number = |key: &str| node.status[key].as_u64().unwrap_or_default();
    let mut detail = match node.kind.as_str() {
        "relay" | "box-media" if node.status.is_object() => {
            format!("{} of {} people in {} rooms", number("participants"), number("participants_max"), number("rooms"))
        }
        "gateway" if node.status.is_object() => {
            format!("{} of {} schools open, {} waiting", number("open"), number("schools"), number("pending"))
        }
        "box" if node.status.is_object() => format!("head {}, {} waiting", number("head"), number("pending")),
        _ => String::new(),
    };
    if node.restarts > 0 {
        detail = format!("{detail}{}restarted {}x", if detail.is_empty() { "" } else { ", " }, node.restarts);
    }
    if !node.reasons.is_empty() {
        detail = format!("{detail}{}{}", if detail.is_empty() { "" } else { "; " }, node.reasons.join(", "));
    }
    detail
}
