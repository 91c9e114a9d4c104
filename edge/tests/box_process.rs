//! A whole box from its configuration: files, listeners, media process, order to stop.

mod support;

use schulhof_edge::{Config, config::Media};
use schulhof_net::identity::{Ca, Role};
use schulhof_placement::Budget;
use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A folder with everything a box needs; the media process is a script.
fn prepare(folder: &Path, script: &str) -> Config {
    let identity = folder.join("identity");
    let ca = Ca::generate().unwrap();
    ca.issue(Role::Box, "nord").unwrap().save(&identity).unwrap();
    std::fs::write(identity.join("ticket.pk8"), support::ticket_key().to_pkcs8()).unwrap();
    let listen = free_port();
    Config {
        http: free_port(),
        data: folder.join("data"),
        identity,
        admin: free_port(),
        media: Some(Media {
            uplink_kbit_s: None,
            turn_tls: None,
            listen,
            url: format!("http://localhost:{}", listen.port()),
            advertise: vec!["127.0.0.1".parse().unwrap()],
            admin: free_port(),
            budget: Budget::of_participants(30),
            command: Some(["/bin/sh", "-c", script, "media-script"].map(str::to_owned).to_vec()),
        }),
        ..support::config()
    }
}

/// The part of the tests that is a process of its own. Does nothing otherwise.
#[test]
fn child_that_is_a_box() {
    let Some(file) = std::env::var_os("SCHULHOF_TEST_BOX").map(PathBuf::from) else { return };
    let config: Config = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Err(error) = runtime.block_on(schulhof_edge::run(config)) {
        println!("error: {error:#}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn start(folder: &Path, config: &Config) -> Child {
    let file = folder.join("config.toml");
    std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_a_box", "--nocapture"])
        .env("SCHULHOF_TEST_BOX", &file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn get(addr: SocketAddr, path: &str) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(addr).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:8080\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

async fn eventually<T>(mut what: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = what().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "it does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn media_pid(admin: SocketAddr) -> Option<u64> {
    let answer = get(admin, "/status").await?;
    let status: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1)?).ok()?;
    status["media"]["pid"].as_u64()
}

fn is_running(pid: u64) -> bool {
    // A zombie has ended.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: u64, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn a_box_serves_restarts_its_media_process_and_stops_it_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "exec sleep 1000");
    let mut child = start(folder.path(), &config);
    let page = eventually(async || get(config.http, "/").await).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let ready = get(config.admin, "/readyz").await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("the core cannot be reached"), "{ready}");
    let session = get(config.http, "/api/session").await.unwrap();
    assert!(session.starts_with("HTTP/1.1 401"), "{session}");
    let metrics = get(config.admin, "/metrics").await.unwrap();
    assert!(metrics.contains("schulhof_edge_refused_total{code=\"not-signed-in\"} 1"), "{metrics}");

    let first = eventually(async || media_pid(config.admin).await).await;
    signal(first, "-KILL");
    let second = eventually(async || media_pid(config.admin).await.filter(|pid| *pid != first)).await;
    assert!(is_running(second));
    let told = std::fs::read_to_string(config.data.join("media.toml")).unwrap();
    let media: schulhof_net::media::Config = toml::from_str(&told).unwrap();
    assert_eq!((media.name.as_str(), media.participants_max), ("nord", 30));
    assert_eq!(media.ticket_keys.get(&support::school()), Some(&[support::ticket_key().public()][..]));

    signal(u64::from(child.id()), "-TERM");
    assert!(child.wait().unwrap().success());
    assert!(!is_running(second), "the media process outlived its box");
}

#[tokio::test]
async fn a_media_process_that_dies_at_once_is_started_again_ever_more_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path(), "echo x >> starts; exit 3");
    let script = format!("echo x >> {}; exit 3", folder.path().join("starts").display());
    let mut media = config.media.clone().unwrap();
    media.command = Some(["/bin/sh", "-c", &script, "media-script"].map(str::to_owned).to_vec());
    let config = Config { media: Some(media), ..config };
    let mut child = start(folder.path(), &config);
    let starts = || std::fs::read_to_string(folder.path().join("starts")).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    eventually(async || (starts() >= 4).then_some(())).await;
    // 100, 200 and 400 ms lie between four starts.
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert!(get(config.http, "/").await.is_some_and(|page| page.starts_with("HTTP/1.1 200")), "the box goes on");
    signal(u64::from(child.id()), "-TERM");
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn what_keeps_a_box_from_starting_is_one_clear_line() {
    let error_of = |folder: &Path, config: &Config| {
        let mut child = start(folder, config);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let error = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("error: ")?.1.to_owned()));
        assert!(!child.wait().unwrap().success());
        error.expect("an error line")
    };
    let folder = tempfile::tempdir().unwrap();
    let good = prepare(folder.path(), "exec sleep 1000");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config { http: taken.local_addr().unwrap(), ..good.clone() };
    let error = error_of(folder.path(), &config);
    assert!(error.contains(&taken.local_addr().unwrap().to_string()) && error.contains("in use"), "{error}");

    let config = Config { name: support::id("sued"), ..good.clone() };
    let error = error_of(folder.path(), &config);
    assert!(error.contains("sued") && error.contains("nord"), "{error}");

    let config = Config { core: vec![], ..good.clone() };
    assert!(error_of(folder.path(), &config).contains("core"), "no core");

    std::fs::remove_file(good.identity.join("ticket.pk8")).unwrap();
    assert!(error_of(folder.path(), &good).contains("ticket.pk8"), "no ticket key");

    std::fs::write(good.identity.join("ticket.pk8"), support::ticket_key().to_pkcs8()).unwrap();
    std::fs::create_dir_all(&good.data).unwrap();
    std::fs::write(good.data.join("VERSION"), "box 99\n").unwrap();
    assert!(error_of(folder.path(), &good).contains("newer program"), "a newer data folder");
}
