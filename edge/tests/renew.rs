//! A box renews its certificate by itself, and goes on with the new one.

use schulhof_edge::{config::Core, enrol::renew, stop};
use schulhof_net::{
    identity::{Ca, Identity, KeyHash, NodeKey, RequestedKey, Role, peer_certificate},
    quic::{Caller, Endpoint, FrameReader, FrameWriter, Options},
};
use schulhof_wire::{
    NodeName, SchoolId,
    enrol::{ALPN_ENROL, EnrolAnswer, EnrolRequest, Enrolled, VERSION, code},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate that ends in ten minutes and began an hour ago: two thirds are over.
fn old_identity(ca: &Ca, dir: &Path) -> Identity {
    let key = NodeKey::load_or_create(dir).unwrap();
    let requested = RequestedKey::of(&key.request().unwrap()).unwrap();
    let now = SystemTime::now();
    let certificate = ca.sign(&requested, Role::Box, "nord", now, now + Duration::from_mins(10)).unwrap();
    let identity = Identity::assemble(&key, ca.certificate(), certificate).unwrap();
    identity.save(dir).unwrap();
    identity
}

fn core(ca: &Ca) -> Endpoint {
    let identity = ca.issue(Role::Core, "core-1").unwrap();
    Endpoint::bind_with_open_door(Options { listen: LISTEN, identity: &identity, data: None, alpns: &[] }, ALPN_ENROL)
        .unwrap()
}

/// Answers one request on the next connection; `busy` says no first.
async fn answer(core: &Endpoint, ca: &Ca, busy: bool) -> KeyHash {
    let caller = core.accept().await.unwrap().finish_any().await.unwrap();
    let Caller::Known(accepted) = caller else { panic!("a box shows its certificate") };
    let shown = KeyHash::of(&peer_certificate(&accepted.connection).unwrap()).unwrap();
    let (send, receive) = accepted.connection.accept_bi().await.unwrap();
    let request = FrameReader::<EnrolRequest>::new(receive).read().await.unwrap().unwrap();
    let EnrolRequest::Renew { csr, .. } = request else { panic!("{request:?}") };
    let key = RequestedKey::of(&csr).unwrap();
    let now = SystemTime::now();
    let certificate = ca.sign(&key, Role::Box, "nord", now, now + Duration::from_hours(720)).unwrap();
    let enrolled = EnrolAnswer::Enrolled(Box::new(Enrolled {
        version: VERSION,
        school: SchoolId::new("nord").unwrap(),
        name: NodeName::new("nord-1").unwrap(),
        certificate: certificate.to_vec(),
        ca: ca.certificate().to_vec(),
        expires_ms: 0,
        core: Vec::new(),
    }));
    let mut writer = FrameWriter::new(send);
    writer.write(&if busy { EnrolAnswer::Busy { retry_after_ms: 1 } } else { enrolled }).await.unwrap();
    writer.delivered().await;
    shown
}

#[tokio::test]
async fn a_box_renews_at_two_thirds_by_itself_and_keeps_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Arc::new(Ca::generate().unwrap());
    let old = old_identity(&ca, dir.path());
    let endpoint = Endpoint::bind(Options { listen: LISTEN, identity: &old, data: None, alpns: &[] }).unwrap();
    let core = core(&ca);
    let nodes = vec![Core { name: NodeName::new("core-1").unwrap(), addr: core.local_addr().unwrap() }];
    let (stopper, stopping) = stop::channel();
    let keeping = tokio::spawn(renew::keep(endpoint.clone(), dir.path().to_owned(), nodes, stopping));
    let answering = async {
        for busy in [true, false] {
            assert_eq!(answer(&core, &ca, busy).await, old.key_hash().unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, answering).await.expect("the box asks, and asks again");
    let renewed = async {
        while endpoint.identity().validity_s().unwrap().1 <= old.validity_s().unwrap().1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the new certificate is in use");
    let saved = Identity::load_as(dir.path(), Role::Box).unwrap();
    assert_eq!(saved.validity_s().unwrap(), endpoint.identity().validity_s().unwrap());
    assert_eq!(saved.key_hash().unwrap(), old.key_hash().unwrap());
    stopper.stop();
    tokio::time::timeout(PATIENCE, keeping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_renewal_leaves_the_old_certificate_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::generate().unwrap();
    let old = old_identity(&ca, dir.path());
    let endpoint = Endpoint::bind(Options { listen: LISTEN, identity: &old, data: None, alpns: &[] }).unwrap();
    let core = core(&ca);
    let nodes = [core.local_addr().unwrap().to_string()];
    let refusing = async {
        let Ok(Caller::Known(accepted)) = core.accept().await.unwrap().finish_any().await else { panic!("no box") };
        let (send, _receive) = accepted.connection.accept_bi().await.unwrap();
        let mut writer = FrameWriter::new(send);
        let detail = "the box was revoked".into();
        writer.write(&EnrolAnswer::Refused { code: code::REVOKED.into(), detail }).await.unwrap();
        writer.delivered().await;
    };
    let (refused, ()) = tokio::join!(renew::once(&endpoint, dir.path(), &nodes), refusing);
    assert!(refused.unwrap_err().to_string().contains("revoked"));
    assert_eq!(endpoint.identity().validity_s().unwrap(), old.validity_s().unwrap());
    assert_eq!(Identity::load(dir.path()).unwrap().validity_s().unwrap(), old.validity_s().unwrap());
}
