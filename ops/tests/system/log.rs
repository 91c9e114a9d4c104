//! Every acknowledged operation is in the log once, at one place for everybody, whatever dies meanwhile.

use crate::{
    harness::{SOON, System, complaint, core_entries, schulhof, signal, until},
    person::Person,
};
use rustix::process::Signal;
use schulhof_school::view::MessageView;
use std::{collections::BTreeSet, fs};

const CORES: [&str; 3] = ["core-1", "core-2", "core-3"];
/// Nord's data group.
const GROUP: u64 = 1;

/// In the order of the log, without gaps among one device's numbers, nothing twice; gives the texts of a device.
fn texts_of(history: &[MessageView], device: &schulhof_wire::DeviceId) -> Vec<String> {
    let indices: Vec<_> = history.iter().map(|m| m.index.expect("all are secured")).collect();
    assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
    let identities: BTreeSet<_> = history.iter().map(|m| (&m.device, m.seq)).collect();
    assert_eq!(identities.len(), history.len(), "an operation counts once");
    let own: Vec<_> = history.iter().filter(|m| m.device == *device).collect();
    assert!(own.iter().enumerate().all(|(n, m)| m.seq.0 == n as u64 + 1), "a device's numbers follow each other");
    own.iter().map(|m| m.text.clone()).collect()
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name} {n}")).collect()
}

#[tokio::test]
async fn a_message_gets_both_marks_and_reaches_the_others_in_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let mut teacher = Person::sign_in(&url, "m.weber").await;
    let mut colleague = Person::sign_in(&url, "j.lindner").await;
    let (one, other) = tokio::join!(
        async {
            for text in numbered("teacher", 20) {
                teacher.write("8b", &text).await;
            }
            teacher.until_secured().await;
            teacher.history("8b").await
        },
        async {
            for text in numbered("colleague", 20) {
                colleague.write("8b", &text).await;
            }
            colleague.until_secured().await;
            colleague.history("8b").await
        },
    );
    assert!(!one.is_empty() && !other.is_empty());
    let (one, other) = (teacher.history("8b").await, colleague.history("8b").await);
    assert_eq!(texts_of(&one, &teacher.device), numbered("teacher", 20));
    assert_eq!(texts_of(&one, &colleague.device), numbered("colleague", 20));
    assert_eq!(one, other, "the same messages at the same places");
}

#[tokio::test]
async fn when_the_leader_is_killed_every_message_is_secured_once_and_in_one_order_everywhere() {
    const EACH: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let logins = ["m.weber", "t.schaefer", "a.yilmaz", "j.lindner"];
    let mut people = Vec::new();
    for login in logins {
        people.push(Person::sign_in(&url, login).await);
    }
    let leader = system.leader(GROUP).await;
    let killed = system.pid(&leader);
    let writers = people.into_iter().zip(logins).map(|(mut person, login)| async move {
        for text in numbered(login, EACH) {
            person.write("staff", &text).await;
        }
        (person, login)
    });
    let watcher = Person::sign_in(&url, "p.hoffmann").await;
    // In the middle of it: some messages are there, and not all.
    let kill_in_the_middle = async {
        until("a quarter is written", SOON, async || {
            let written = watcher.history("staff").await.len();
            if written >= EACH { Ok(()) } else { Err(format!("{written}")) }
        })
        .await;
        signal(killed, Signal::KILL);
        assert!(watcher.history("staff").await.len() < logins.len() * EACH, "it was too late");
    };
    let (people, ()) = tokio::join!(futures_util::future::join_all(writers), kill_in_the_middle);
    for (person, _) in &people {
        person.until_secured().await;
    }
    let history = watcher.history("staff").await;
    for (person, login) in &people {
        assert_eq!(texts_of(&history, &person.device), numbered(login, EACH));
    }
    assert_eq!(people[0].0.history("staff").await, history);
    assert_ne!(system.pid(&leader), killed);

    // The same entries on every core node.
    let system_dir = system.dir.clone();
    until("all core nodes have applied the same", SOON, async || {
        let groups = system.status().groups;
        let applied = groups.iter().find(|g| g.group == GROUP).map(|g| g.applied.clone()).unwrap_or_default();
        let same = applied.len() == 3 && applied.iter().all(|(_, a)| *a == applied[0].1);
        if same { Ok(()) } else { Err(format!("{applied:?}")) }
    })
    .await;
    assert!(system.stop().success());
    let first = core_entries(&system_dir.join(CORES[0]).join("data"), GROUP, "nord");
    assert!(first.len() > logins.len() * EACH);
    assert!(first.iter().enumerate().all(|(n, entry)| entry.0 == n as u64 + 1), "gapless from 1");
    for node in &CORES[1..] {
        assert_eq!(
            core_entries(&system_dir.join(node).join("data"), GROUP, "nord"),
            first,
            "{node} holds the same as {}",
            CORES[0]
        );
    }
}

#[tokio::test]
async fn without_the_core_the_school_goes_on_and_everything_is_secured_once_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let mut teacher = Person::sign_in(&url, "m.weber").await;
    let reader = Person::sign_in(&url, "j.lindner").await;
    teacher.write("8b", "before 0").await;
    teacher.until_secured().await;

    // Frozen, so that they are not started again; killed later, so that they come back from their disks.
    system.freeze(&CORES);
    for text in numbered("alone", 30) {
        teacher.write("8b", &text).await;
    }
    let marks = teacher.marks().await.unwrap();
    assert_eq!((marks.saved.0, marks.secured.0), (31, 1), "saved on the box, not secured");
    let waiting = reader.history("8b").await;
    assert_eq!(waiting.iter().filter(|m| m.index.is_none()).count(), 30, "others in the school read them already");

    for name in CORES {
        system.kill(name);
    }
    teacher.until_secured().await;
    let history = reader.history("8b").await;
    let expected: Vec<_> = ["before 0".to_owned()].into_iter().chain(numbered("alone", 30)).collect();
    assert_eq!(texts_of(&history, &teacher.device), expected);
    system.until_ready().await;
}

#[tokio::test]
async fn a_box_killed_between_the_marks_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let url = system.node("nord").url;
    let mut teacher = Person::sign_in(&url, "m.weber").await;
    system.freeze(&CORES);
    for text in numbered("kept", 10) {
        teacher.write("8b", &text).await;
    }
    let before = system.pid("nord");
    system.kill("nord");
    until("the box is back", SOON, async || {
        let node = system.node("nord");
        if node.pid.is_some_and(|pid| pid != before) { Ok(()) } else { Err(format!("{node:?}")) }
    })
    .await;
    // The session and the numbering go on where they were, still without the core.
    teacher.write("8b", "kept 10").await;
    assert_eq!(teacher.marks().await.unwrap().saved.0, 11);
    assert_eq!(teacher.marks().await.unwrap().secured.0, 0);

    for name in CORES {
        signal(system.pid(name), Signal::CONT);
    }
    teacher.until_secured().await;
    assert_eq!(texts_of(&teacher.history("8b").await, &teacher.device), numbered("kept", 11));
}

#[tokio::test]
async fn a_damaged_log_record_is_refused_and_the_others_carry_on() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    for text in numbered("written", 10) {
        teacher.write("8b", &text).await;
    }
    teacher.until_secured().await;
    let node = system.node("core-3");
    assert!(system.stop().success());

    // One bit of a record in the middle: later writes follow.
    let log = node.data.join("log");
    let segment = fs::read_dir(&log).unwrap().map(|e| e.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(&segment, &bytes).unwrap();

    let output = schulhof(&["core", "--config", node.config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let line = complaint(&output);
    assert!(line.contains("damaged log record") && line.contains(segment.to_str().unwrap()), "{line}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "what is damaged is not mended in silence");
}
