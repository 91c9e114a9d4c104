//! What a node refuses at its start, in one line and without touching anything; and whom it turns away.

use crate::harness::{System, complaint, schulhof, snapshot};
use schulhof_net::{
    identity::{CA_FILE, CERTIFICATE_FILE, Ca, Identity, KEY_FILE, PeerIdentity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_ops::up::{
    layout::{CA, Layout, OPERATOR, SCHOOLS},
    ports, prepare,
};
use schulhof_wire::{
    LogIndex, SchoolId,
    node::{ALPN_SYNC, ToBox, ToCore, VERSION},
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::Output,
};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All files of a system, of which nothing runs.
fn prepared(dir: &Path) -> (Layout, ports::Claim) {
    let (ports, claim) = ports::choose(Some(0)).unwrap();
    let dir = dir.to_owned();
    let layout =
        Layout { dir, listen: LOCALHOST, host: "localhost".into(), advertise: vec![LOCALHOST], turn_tls: None, ports };
    prepare(&layout).unwrap();
    // Its boxes have joined: no core runs here that could let them in.
    let ca = Ca::load(&layout.node(CA)).unwrap();
    for school in &SCHOOLS {
        ca.issue(Role::Box, school.id).unwrap().save(&layout.identity(school.id)).unwrap();
    }
    (layout, claim.expect("free ports are claimed"))
}

const NODES: [(&str, &str); 3] = [("core", "core-1"), ("relay", "relay-1"), ("edge", "nord")];

fn run(layout: &Layout, (subcommand, name): (&str, &str)) -> Output {
    let output = schulhof(&[subcommand, "--config", layout.config(name).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn an_unknown_key_is_named_with_its_file_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, _claim) = prepared(dir.path());
    for node in NODES {
        let config = layout.config(node.1);
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("participant_max = 7\n{text}")).unwrap();
        let before = snapshot(dir.path());
        let line = complaint(&run(&layout, node));
        let expected = format!("schulhof {}: {}:1: unknown field `participant_max`", node.0, config.display());
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(snapshot(dir.path()), before);
    }
}

#[test]
fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, _claim) = prepared(dir.path());
    let ports = layout.ports;
    for (node, port) in NODES.into_iter().zip([ports.core_admin[0], ports.relay_media, ports.box_http[0]]) {
        let _taken = TcpListener::bind((LOCALHOST, port)).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains(&port.to_string()) && line.contains("address already in use"), "{line}");
    }
    for (node, port) in NODES.into_iter().zip([ports.core_quic[0], ports.relay_quic]) {
        let _taken = UdpSocket::bind((LOCALHOST, port)).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains(&port.to_string()) && line.to_lowercase().contains("address already in use"), "{line}");
    }
}

#[test]
fn a_newer_data_folder_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, _claim) = prepared(dir.path());
    for node in NODES {
        let data = layout.data(node.1);
        fs::create_dir_all(&data).unwrap();
        let kind = if node.0 == "edge" { "box" } else { node.0 };
        fs::write(data.join("VERSION"), format!("{kind} 999\n")).unwrap();
        fs::write(data.join("precious"), "from the future").unwrap();
        let before = snapshot(&data);
        let line = complaint(&run(&layout, node));
        assert!(line.contains("newer") && line.contains("999"), "{line}");
        assert_eq!(snapshot(&data), before);
    }
}

#[test]
fn a_certificate_of_another_ca_or_role_or_name_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, _claim) = prepared(dir.path());
    let own = Ca::load(&layout.node("ca")).unwrap();
    for (node, role) in NODES.into_iter().zip([Role::Core, Role::Relay, Role::Box]) {
        let identity = layout.identity(node.1);
        let ca = fs::read(identity.join(CA_FILE)).unwrap();

        // Of another CA than the one beside it.
        Ca::generate().unwrap().issue(role, node.1).unwrap().save(&identity).unwrap();
        fs::write(identity.join(CA_FILE), &ca).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains("was not issued by the CA beside it"), "{line}");

        own.issue(Role::Operator, node.1).unwrap().save(&identity).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains("operator") && line.contains(role.as_str()), "{line}");

        own.issue(role, "somebody-else").unwrap().save(&identity).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains("somebody-else"), "{line}");

        // A key that is not the certificate's.
        own.issue(role, node.1).unwrap().save(&identity).unwrap();
        let other = tempfile::tempdir().unwrap();
        own.issue(role, node.1).unwrap().save(other.path()).unwrap();
        fs::copy(other.path().join(KEY_FILE), identity.join(KEY_FILE)).unwrap();
        let line = complaint(&run(&layout, node));
        assert!(line.contains("does not belong to the certificate"), "{line}");
        assert!(identity.join(CERTIFICATE_FILE).exists());
    }
}

/// The first answer of a core node to somebody who says that a school is his.
async fn knock(identity: &Identity, addr: SocketAddr, school: &str) -> Result<ToBox, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let listen = SocketAddr::new(LOCALHOST, 0);
    let endpoint = Endpoint::bind(Options { listen, identity, data: None, alpns: &[] }).unwrap();
    let connection = endpoint.connect(addr, &Expected::AnyCore, ALPN_SYNC).await.map_err(|e| text(&e))?;
    let (send, recv) = connection.open_bi().await.map_err(|e| text(&e))?;
    let (mut writer, mut reader) = (FrameWriter::<ToCore>::new(send), FrameReader::<ToBox>::new(recv));
    let school = SchoolId::new(school).unwrap();
    let hello = ToCore::Hello { version: VERSION, software: "test".into(), school, after: LogIndex(0) };
    writer.write(&hello).await.map_err(|e| text(&e))?;
    reader.read().await.map_err(|e| text(&e))?.ok_or_else(|| "closed".to_owned())
}

#[tokio::test]
async fn the_core_turns_away_strangers_and_boxes_that_speak_for_another_school() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let addr: SocketAddr = system.node("core-1").url.strip_prefix("quic://").unwrap().parse().unwrap();

    // The operator is known: the door is open to those who may.
    let operator = Identity::load(&system.dir.join(OPERATOR).join("identity")).unwrap();
    let answer = knock(&operator, addr, "nord").await.unwrap();
    assert!(matches!(answer, ToBox::Welcome { .. } | ToBox::Redirect { .. }), "{answer:?}");

    // A box of the same name, by a CA that the core does not know. It trusts our CA, so that only the core can refuse.
    let stranger = tempfile::tempdir().unwrap();
    Ca::generate().unwrap().issue(Role::Box, "nord").unwrap().save(stranger.path()).unwrap();
    let stranger = Identity::load(stranger.path()).unwrap();
    let error = knock(&stranger, addr, "nord").await.unwrap_err();
    assert!(!error.is_empty());

    // A box of ours that wants another school's log.
    let sued = Identity::load(&system.node("sued").identity).unwrap();
    assert_eq!(sued.own(), &PeerIdentity::new(Role::Box, "sued").unwrap());
    match knock(&sued, addr, "nord").await {
        Ok(ToBox::Refused { code, .. }) => assert_eq!(code, "wrong-school"),
        other => panic!("{other:?}"),
    }
    // A relay has no school at all.
    let relay = Identity::load(&system.node("relay-1").identity).unwrap();
    match knock(&relay, addr, "nord").await {
        Ok(ToBox::Refused { code, .. }) => assert_eq!(code, "wrong-school"),
        Ok(other) => panic!("{other:?}"),
        Err(_) => {}
    }
}
