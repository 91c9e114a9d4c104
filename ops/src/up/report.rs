//! What `up` prints when everything is ready: where to go and who to be.

use super::layout::{Layout, SCHOOLS};
use crate::{
    record::{Kind, Record},
    seed::{DemoSchool, PASSWORD},
};
use std::fmt::Write as _;

/// Pupils of the first class that are named; the others are found in the address book.
const PUPILS_SHOWN: usize = 3;

pub fn table(layout: &Layout, record: &Record) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", text.trim_end());
    };
    for node in record.nodes.iter().filter(|n| n.kind == Kind::Box) {
        let school = SCHOOLS.iter().find(|s| s.id == node.name).map_or(node.name.as_str(), |s| s.name);
        line(format!("{school:<18} {}", node.url));
        let Some(demo) = DemoSchool::of(&node.name) else { continue };
        let logins = |people: Vec<&str>| people.join(", ");
        let teachers = demo.teachers.iter().map(|p| p.login.as_str()).collect();
        let class = &demo.classes[0];
        let pupils = class.pupils.iter().take(PUPILS_SHOWN).map(|p| p.login.as_str()).collect();
        line(format!("    teachers       {}", logins(teachers)));
        line(format!("    pupils of {:<4} {}, ...", class.id, logins(pupils)));
        line(format!("    administrator  {}", demo.admin.login));
        line(format!("    password       {PASSWORD} (all of them)"));
        if let Some(gateway) = &node.gateway {
            line(format!("    over the cloud {gateway}"));
        }
        line(String::new());
    }
    line(format!("{:<10} {:<28} {:<24} LOG", "NODE", "ADDRESS", "ADMIN"));
    for node in &record.nodes {
        let log = node.log.strip_prefix(&layout.dir).unwrap_or(&node.log);
        let log = layout.dir.file_name().map_or_else(|| log.to_owned(), |dir| std::path::Path::new(dir).join(log));
        line(format!("{:<10} {:<28} {:<24} {}", node.name, node.url, node.admin, log.display()));
        if let Some(media) = &node.media {
            line(format!("{:<10} {:<28} {}", "  media", media.url, media.admin));
        }
        if let Some(port) = layout.turn_port(&node.name) {
            line(format!("{:<10} turns:{}:{port}", "  turn", layout.host));
        }
    }
    out
}
