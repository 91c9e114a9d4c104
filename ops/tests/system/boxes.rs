//! Boxes come and go: invited, joined by command or by page, revoked.

use crate::{
    harness::{PROGRAM, SOON, System, complaint, schulhof, until},
    person::Person,
};
use rustix::process::Signal;
use schulhof_net::enrol::Token;
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// `schulhof box ...` as JSON.
fn boxes(system: &System, args: &[&str]) -> Value {
    let dir = system.dir.to_str().unwrap();
    let output = schulhof(&[&["box"][..], args, &["-o", "json", "--dir", dir]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The line of a box in the list.
fn line(system: &System, name: &str) -> Value {
    let list = boxes(system, &["list"]);
    let found = list["boxes"].as_array().unwrap().iter().find(|line| line["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

fn join(token: &str, dir: &Path) -> std::process::Output {
    schulhof(&["box", "join", token, "--dir", dir.to_str().unwrap(), "-o", "json"])
}

fn connected(system: &System, school: &str) -> bool {
    system.status().schools.iter().any(|s| s.school == school && s.box_connected)
}

#[tokio::test]
async fn a_box_is_invited_joins_and_is_cut_when_it_is_revoked_while_its_school_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    for (name, school) in [("nord-1", "nord"), ("sued-1", "sued")] {
        let line = line(&system, name);
        assert_eq!((line["state"].as_str(), line["school"].as_str()), (Some("active"), Some(school)), "{line}");
        assert_eq!(line["words"].as_str().unwrap().split(' ').count(), 4);
    }
    until("the box is connected", SOON, async || connected(&system, "nord").then_some(()).ok_or_else(String::new))
        .await;

    let started = Instant::now();
    assert_eq!(boxes(&system, &["revoke", "nord-1"])["school"], "nord");
    until("its connection is cut", SOON, async || (!connected(&system, "nord")).then_some(()).ok_or_else(String::new))
        .await;
    println!("cut after {} ms, as the status shows it", started.elapsed().as_millis());
    assert_eq!(line(&system, "nord-1")["state"], "revoked");
    until("the box has heard why", SOON, async || {
        let log = std::fs::read_to_string(system.node("nord").log).unwrap_or_default();
        if log.contains("revoked") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(connected(&system, "sued"), "the other school's box stays");
    let mut teacher = Person::sign_in(&system.node("nord").url, "m.weber").await;
    teacher.write("8b", "written on a box that has no core").await;

    let invited = boxes(&system, &["invite", "--school", "nord"]);
    let token = invited["token"].as_str().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let output = join(token, &first);
    let joined: Value = serde_json::from_slice(&output.stdout).expect("it joins");
    assert_eq!((joined["school"].as_str(), joined["name"].as_str()), (Some("nord"), Some("nord-2")));
    assert_eq!(joined["words"], line(&system, "nord-2")["words"], "the same words at both ends");
    let output = join(token, &second);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).ends_with("(used)"), "{}", complaint(&output));
    let output = join(&token.replace("/1/", "/1/x"), &second);
    assert!(complaint(&output).contains("copy it again"), "{}", complaint(&output));
    let text = schulhof(&["box", "invite", "--school", "sued", "--hours", "1", "--dir", system.dir.to_str().unwrap()]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().next().unwrap().parse::<Token>().is_ok() && text.contains('█'), "{text}");
}

async fn request(to: SocketAddr, request: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(SOON, exchange).await.map_err(|_| "no answer".to_owned())?;
    answer.map_err(|e| e.to_string())
}

async fn get(to: SocketAddr, path: &str) -> Result<String, String> {
    request(to, &format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_box_that_was_just_unpacked_asks_for_its_token_and_becomes_a_box_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    // Two free ports; nothing else takes them in the moment between.
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (http, admin) = (free(), free());
    let log = std::fs::File::create(dir.path().join("new.log")).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["box", "run", "--media-port", "0", "--http", &http.to_string(), "--admin", &admin.to_string(), "--dir"])
        .arg(dir.path().join("new"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(dir.path().join("new.log")).unwrap();
    let page = until("the page", SOON, async || get(http, "/").await).await;
    assert!(page.contains("name=\"token\"") && page.contains("content-security-policy"), "{page}");

    let invited = boxes(&system, &["invite", "--school", "sued"]);
    let token = invited["token"].as_str().unwrap().replace('/', "%2F").replace(':', "%3A").replace(',', "%2C");
    let post = |origin: &str, token: &str| {
        let body = format!("token={token}");
        format!(
            "POST / HTTP/1.1\r\nhost: {http}\r\norigin: {origin}\r\naccept-language: en\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let own = format!("http://{http}");
    let foreign = request(http, &post("http://evil.example", &token)).await.unwrap();
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    let wrong = request(http, &post(&own, "nonsense")).await.unwrap();
    assert!(wrong.starts_with("HTTP/1.1 422") && wrong.contains("not a token"), "{wrong}");
    let joined = request(http, &post(&own, &token)).await.unwrap();
    assert!(joined.starts_with("HTTP/1.1 200"), "{joined}");
    let words = line(&system, "sued-2")["words"].as_str().unwrap().to_owned();
    for word in words.split(' ') {
        assert!(joined.contains(&format!("<li>{word}</li>")), "{word} in {joined}");
    }

    until("it is a box", SOON, async || {
        assert!(child.try_wait().unwrap().is_none(), "the box ended: {}", said());
        let status = get(admin, "/status").await?;
        if status.contains("\"school\":\"sued\"") && status.contains("\"core_online\":true") {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    let page = until("the sign-in page", SOON, async || get(http, "/").await).await;
    assert!(!page.contains("name=\"token\""), "{page}");
    crate::harness::signal(child.id(), Signal::TERM);
    assert!(child.wait().unwrap().success(), "{}", said());
}
