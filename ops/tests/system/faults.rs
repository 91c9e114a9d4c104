//! What happens to machines in schools, and loses nothing.

use crate::{
    harness::{System, signal},
    person::Person,
};
use rustix::process::Signal;
use std::fs;

const CORES: [&str; 3] = ["core-1", "core-2", "core-3"];
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn texts<'a>(history: &'a [schulhof_school::view::MessageView], person: &Person) -> Vec<&'a str> {
    history.iter().filter(|m| m.device == person.device).map(|m| m.text.as_str()).collect()
}

#[tokio::test]
async fn a_burnt_box_comes_back_empty_and_the_browsers_bring_what_only_they_had() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let nord = system.node("nord");
    let mut teacher = Person::sign_in(&nord.url, "m.weber").await;
    let mut colleague = Person::sign_in(&nord.url, "j.lindner").await;
    teacher.write("8b", "secured").await;
    teacher.until_secured().await;
    system.freeze(&CORES);
    for text in ["on the box only 1", "on the box only 2"] {
        teacher.write("8b", text).await;
        colleague.write("8b", text).await;
    }
    let marks = teacher.marks().await.unwrap();
    assert_eq!((marks.saved.0, marks.secured.0), (3, 1));

    // The disk is gone while it runs, so that it cannot come back with it.
    fs::rename(&nord.data, dir.path().join("ashes")).unwrap();
    system.kill("nord");
    for name in CORES {
        signal(system.pid(name), Signal::CONT);
    }
    teacher.come_back("m.weber").await;
    colleague.come_back("j.lindner").await;
    teacher.until_secured().await;
    colleague.until_secured().await;

    let history = teacher.history("8b").await;
    assert_eq!(texts(&history, &teacher), ["secured", "on the box only 1", "on the box only 2"]);
    assert_eq!(texts(&history, &colleague), ["on the box only 1", "on the box only 2"]);
    let indices: Vec<_> = history.iter().map(|m| m.index.expect("all are secured")).collect();
    assert!(indices.is_sorted_by(|a, b| a < b), "each once: {indices:?}");
}

#[tokio::test]
async fn clocks_that_are_a_day_off_change_no_order_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let mut early = Person::sign_in(&url, "m.weber").await;
    let mut late = Person::sign_in(&url, "j.lindner").await;
    (early.clock_off_ms, late.clock_off_ms) = (-DAY_MS, DAY_MS);
    late.write("8b", "1, tomorrow").await;
    early.write("8b", "2, yesterday").await;
    // And one whose clock jumps.
    late.clock_off_ms = -DAY_MS;
    late.write("8b", "3, yesterday").await;
    early.clock_off_ms = DAY_MS;
    early.write("8b", "4, tomorrow").await;
    early.until_secured().await;
    late.until_secured().await;
    let history = early.history("8b").await;
    let ours: Vec<_> = history.iter().filter(|m| [&early.device, &late.device].contains(&&m.device)).collect();
    let texts: Vec<_> = ours.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["1, tomorrow", "2, yesterday", "3, yesterday", "4, tomorrow"], "the log orders, not the clock");
    assert_eq!(late.history("8b").await, history);
}
