//! Starting, status, stopping, restarts.

use crate::{
    harness::{PROGRAM, SOON, System, complaint, is_alive, schulhof, signal, until},
    person::Person,
};
use rustix::process::Signal;
use schulhof_ops::record::Record;
use std::{
    fs,
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
};

#[tokio::test]
async fn status_shows_who_leads_and_killed_nodes_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let status = system.status();
    assert!(status.ready);
    assert_eq!(status.groups.iter().map(|g| g.group).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for group in &status.groups {
        assert!(group.leader.as_ref().is_some_and(|l| l.starts_with("core-")), "{group:?}");
        assert_eq!(group.applied.len(), 3, "{group:?}");
    }
    let schools: Vec<_> = status.schools.iter().map(|s| (s.school.as_str(), s.box_connected)).collect();
    assert_eq!(schools, [("nord", true), ("sued", true)]);
    until("no box lags", SOON, async || {
        let schools = system.status().schools;
        if schools.iter().all(|s| s.lag == 0 && s.head > 0) { Ok(()) } else { Err(format!("{schools:?}")) }
    })
    .await;
    let kinds: Vec<_> = status.nodes.iter().map(|n| n.kind.as_str()).collect();
    assert_eq!(kinds, ["core", "core", "core", "relay", "gateway", "box", "box-media", "box", "box-media"]);

    for name in ["core-2", "relay-1", "gateway-1", "nord"] {
        let before = system.pid(name);
        system.kill(name);
        until("it runs again", SOON, async || {
            let node = system.node(name);
            if node.pid.is_some_and(|pid| pid != before) { Ok(()) } else { Err(format!("{node:?}")) }
        })
        .await;
        system.until_ready().await;
        assert_eq!(system.node(name).restarts, 1);
        assert!(system.output().contains(&format!("{name} was killed (signal 9)")), "{}", system.output());
    }

    let table = schulhof(&["status", "--dir", system.dir.to_str().unwrap()]);
    assert!(table.status.success());
    let table = String::from_utf8(table.stdout).unwrap();
    for word in ["core-1", "relay-1", "nord", "sued", "LEADER", "LAG", "restarted 1x"] {
        assert!(table.contains(word), "{word} in {table}");
    }
}

#[tokio::test]
async fn a_stop_ends_every_process_and_the_next_start_finds_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let pids = system.pids();
    assert_eq!(pids.len(), 10, "three core nodes, relay, gateway, two boxes with a media process each, and up itself");
    let heads = |system: &System| system.status().schools.iter().map(|s| s.head).collect::<Vec<_>>();
    let seeded = heads(&system);
    assert!(system.stop().success());
    for pid in pids {
        assert!(!is_alive(pid), "process {pid} is still there");
    }
    assert!(Record::load(&dir.path().join("system")).is_err());

    let again = System::start(dir.path()).await;
    assert_eq!(heads(&again), seeded, "seeding a second time changes nothing");
}

#[tokio::test]
async fn fresh_begins_anew_and_logs_are_json_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let head = |system: &System| system.status().schools.iter().find(|s| s.school == "nord").unwrap().head;
    let seeded = head(&system);
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    teacher.write("8b", "soon forgotten").await;
    teacher.until_secured().await;
    assert!(system.stop().success());

    let ready_file = dir.path().join("ready.json");
    let options = ["--fresh", "--json-logs", "--ready-file", ready_file.to_str().unwrap()];
    let system = System::start_with(dir.path(), &options).await;
    assert_eq!(head(&system), seeded);
    let record: Record = serde_json::from_slice(&fs::read(&ready_file).unwrap()).unwrap();
    assert_eq!(record, system.record());
    let logs: Vec<_> = record.nodes.iter().map(|n| fs::read_to_string(&n.log).unwrap()).collect();
    for line in logs.iter().flat_map(|log| log.lines()) {
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(parsed["level"].is_string() && parsed["timestamp"].is_string(), "{line}");
    }
    assert!(logs.iter().all(|log| !log.is_empty()));
}

#[tokio::test]
async fn a_node_that_cannot_be_started_again_ends_everything_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let pids = system.pids();
    let node = system.node("core-2");
    fs::write(&node.config, "nonsense = 1\n").unwrap();
    system.kill("core-2");
    let output = dir.path().join("system.out");
    assert_eq!(system.ended().code(), Some(1));
    for pid in pids {
        assert!(!is_alive(pid), "process {pid} is still there");
    }
    let output = fs::read_to_string(output).unwrap();
    let last = output.lines().last().unwrap();
    assert!(last.starts_with("schulhof up: core-2 ended with exit code 1"), "{output}");
    assert!(last.contains("unknown field `nonsense`"), "{output}");
    assert_eq!(output.matches("core-2 is started again").count(), 4, "{output}");
}

#[tokio::test]
async fn when_up_is_killed_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let pids = system.pids();
    signal(system.up_pid(), Signal::KILL);
    assert!(!system.ended().success());
    until("all processes are gone", SOON, async || {
        let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_port_in_use_ends_up_with_one_line_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    // The first of a block of ports is the web address of the first box.
    let (ports, _claim) = schulhof_ops::up::ports::choose(Some(0)).unwrap();
    let port = ports.box_http[0];
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = Command::new(PROGRAM)
        .args(["up", "--dir"])
        .arg(dir.path().join("system"))
        .args(["--base-port", &port.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = complaint(&output);
    assert!(line.starts_with("schulhof up: nord ended with exit code 1"), "{line}");
    assert!(line.contains(&format!("127.0.0.1:{port}")) && line.ends_with("address already in use"), "{line}");
}

#[tokio::test]
async fn a_second_up_in_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let output = schulhof(&["up", "--base-port", "0", "--dir", system.dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("in use by another process"), "{}", complaint(&output));
    assert!(system.status().ready, "the first one goes on");
}

#[test]
fn status_without_a_system_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = schulhof(&["status", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("is `schulhof up` running with this folder?"), "{}", complaint(&output));
}

#[test]
fn free_ports_are_really_free() {
    let (ports, _claim) = schulhof_ops::up::ports::choose(Some(0)).unwrap();
    TcpListener::bind(("127.0.0.1", ports.relay_media)).unwrap();
    UdpSocket::bind(("127.0.0.1", ports.relay_media)).unwrap();
}
