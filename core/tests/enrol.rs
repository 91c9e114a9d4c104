//! Enrolment against real nodes: every reason for which somebody is refused, and who stays out.

mod support;

use schulhof_net::{
    enrol::{EnrolError, Joined, Secret, Token, join, renew},
    identity::{Ca, NodeKey, Role},
    observe::{Admin, Readiness},
    quic::{Endpoint, FrameReader, FrameWriter, Options, Stranger},
};
use schulhof_wire::{
    LogIndex, SchoolId,
    admin::{ALPN_ADMIN, Answer, Ask, BoxState, Invitation, Private},
    enrol::{ALPN_ENROL, EnrolAnswer, EnrolRequest, code},
    node::{ALPN_RAFT, ALPN_SYNC, ToBox},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Cluster, PATIENCE, eventually, school};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A cluster whose CA is installed.
async fn cluster() -> Cluster {
    let cluster = Cluster::start().await;
    let key = Private(cluster.ca.key_der());
    let install = Ask::CaInstall { certificate: cluster.ca.certificate().to_vec(), key };
    assert_eq!(cluster.ask(install).await, Answer::Done);
    cluster
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    cluster.configs.iter().map(|config| config.quic.to_string()).collect()
}

async fn invite(cluster: &Cluster, to: &str, ttl_ms: Option<u64>) -> Token {
    let secret = Secret::generate();
    let invite = Ask::BoxInvite { school: school(to), token: secret.id().0, ttl_ms };
    let Answer::BoxInvited { ca, core, .. } = cluster.ask(invite).await else { panic!("not invited") };
    assert_eq!(ca, cluster.ca.fingerprint().0);
    assert_eq!(core.into_iter().map(|node| node.address).collect::<Vec<_>>(), addresses(cluster));
    Token::new(addresses(cluster), cluster.ca.fingerprint(), secret).unwrap()
}

async fn joined(token: &Token) -> (Joined, NodeKey) {
    let key = NodeKey::generate().unwrap();
    (join(token, &key, "test", Some("ticket-key".into())).await.unwrap(), key)
}

#[track_caller]
fn refused(outcome: Result<Joined, EnrolError>, expected: &str) {
    let error = outcome.map(|joined| joined.enrolled).expect_err(expected);
    assert_eq!(error.code(), Some(expected), "{error}");
}

async fn list(cluster: &Cluster) -> (Vec<BoxState>, Vec<Invitation>) {
    match cluster.ask(Ask::Boxes).await {
        Answer::Boxes { boxes, invitations } => (boxes, invitations),
        other => panic!("unexpected: {other:?}"),
    }
}

fn endpoint(joined: &Joined) -> Endpoint {
    Endpoint::bind(Options { listen: LISTEN, identity: &joined.identity, data: None, alpns: &[] }).unwrap()
}

/// Somebody who knows the CA, and shows nothing.
async fn without_certificate(cluster: &Cluster, alpn: &[u8]) -> quinn::Connection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cluster.ca.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client(LISTEN).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    endpoint.connect_with(config, cluster.configs[0].quic, "core.schulhof.internal").unwrap().await.unwrap()
}

/// How often anybody was refused for a reason, in this process.
async fn refusals(reason: &str) -> u64 {
    let serving = Admin::bind(LISTEN).unwrap().serve(Readiness::ready, || serde_json::Value::Null);
    let mut stream = tokio::net::TcpStream::connect(serving.addr).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let series = format!("schulhof_core_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.trim().parse().unwrap())
}

async fn revoke(cluster: &Cluster, what: &str) {
    let revoked = cluster.ask(Ask::BoxRevoke { what: what.into() }).await;
    assert!(matches!(revoked, Answer::BoxRevoked(_)), "{revoked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_joins_with_a_token_and_speaks_for_its_school_from_then_on() {
    let cluster = cluster().await;
    let token = invite(&cluster, "nord", None).await;
    let (joined, _) = joined(&token).await;
    assert_eq!((joined.enrolled.school.as_str(), joined.enrolled.name.as_str()), ("nord", "nord-1"));
    let client = cluster.client_of(endpoint(&joined));
    assert_eq!(client.session(&school("nord"), LogIndex(0)).await.head, LogIndex(0));
    let (boxes, invitations) = list(&cluster).await;
    assert_eq!(boxes.len(), 1);
    assert_eq!(boxes[0].words, joined.words, "the same words at both ends");
    assert_eq!((boxes[0].revoked_ms, boxes[0].ticket_key.as_deref()), (None, Some("ticket-key")));
    assert_eq!(invitations[0].used.as_ref().map(schulhof_wire::NodeName::as_str), Some("nord-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_token_is_refused_with_its_reason() {
    let cluster = cluster().await;
    let key = NodeKey::generate().unwrap();
    let other = NodeKey::generate().unwrap();
    let fingerprint = cluster.ca.fingerprint();

    let unknown = Token::new(addresses(&cluster), fingerprint, Secret::generate()).unwrap();
    refused(join(&unknown, &key, "test", None).await, code::UNKNOWN_TOKEN);

    let used = invite(&cluster, "nord", None).await;
    let first = join(&used, &key, "test", None).await.unwrap();
    refused(join(&used, &other, "test", None).await, code::USED);
    let again = join(&used, &key, "test", None).await.unwrap();
    assert_eq!(again.enrolled, first.enrolled, "whoever has not heard the answer hears it again");

    let short = invite(&cluster, "nord", Some(1)).await;
    let expired = eventually("the token's end", async || join(&short, &other, "test", None).await.err()).await;
    assert_eq!(expired.code(), Some(code::EXPIRED), "{expired}");

    let withdrawn = invite(&cluster, "nord", None).await;
    revoke(&cluster, &withdrawn.secret.id().short()).await;
    refused(join(&withdrawn, &other, "test", None).await, code::REVOKED);

    let elsewhere = invite(&cluster, "sued", None).await;
    refused(join(&elsewhere, &key, "test", None).await, "wrong-school");

    let foreign = Token::new(addresses(&cluster), Ca::generate().unwrap().fingerprint(), elsewhere.secret).unwrap();
    let error = join(&foreign, &other, "test", None).await.unwrap_err();
    assert!(matches!(error, EnrolError::WrongCa(_)), "{error}");
    assert_eq!(join(&elsewhere, &other, "test", None).await.unwrap().enrolled.school, school("sued"));

    let (boxes, _) = list(&cluster).await;
    assert_eq!(boxes.len(), 2, "no refusal has made a box");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_asks_for_another_school_gets_nothing_and_is_counted() {
    let cluster = cluster().await;
    let (joined, _) = joined(&invite(&cluster, "nord", None).await).await;
    let client = cluster.client_of(endpoint(&joined));
    let before = refusals("wrong-school").await;
    for at in 0..cluster.nodes.len() {
        let (frame, mut session) = client.hello(at, &school("sued"), LogIndex(0)).await.unwrap();
        assert!(matches!(&frame, ToBox::Refused { code, .. } if code == "wrong-school"), "{frame:?}");
        assert_eq!(session.next().await, None, "nothing follows");
    }
    assert!(refusals("wrong-school").await >= before + cluster.nodes.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_box_is_cut_within_seconds_and_kept_out_and_the_others_stay() {
    let cluster = cluster().await;
    let (bad, key) = joined(&invite(&cluster, "nord", None).await).await;
    let (good, _) = joined(&invite(&cluster, "sued", None).await).await;
    let (bad_endpoint, good_endpoint) = (endpoint(&bad), endpoint(&good));
    let client = cluster.client_of(bad_endpoint.clone());
    let mut session = client.session(&school("nord"), LogIndex(0)).await;
    let lines: Vec<_> = futures_util::future::join_all((0..3).map(|at| client.connect(at))).await;
    let other = cluster.client_of(good_endpoint).session(&school("sued"), LogIndex(0)).await;

    let started = Instant::now();
    revoke(&cluster, bad.enrolled.name.as_str()).await;
    for line in &lines {
        let closed = tokio::time::timeout(PATIENCE, line.closed()).await.expect("every node cuts");
        assert!(closed.to_string().contains("revoked"), "{closed}");
    }
    assert_eq!(session.next().await, None);
    let took = started.elapsed();
    println!("cut after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(10), "{took:?}; a minute is promised");

    for at in 0..3 {
        assert_eq!(client.refused(at, &school("nord"), LogIndex(0)).await, code::REVOKED);
    }
    let error = renew(&bad_endpoint, &key, &addresses(&cluster), "test").await.unwrap_err();
    assert_eq!(error.code(), Some(code::REVOKED), "{error}");
    let token = invite(&cluster, "nord", None).await;
    refused(join(&token, &key, "test", None).await, code::REVOKED);
    assert_eq!(joined(&token).await.0.enrolled.name.as_str(), "nord-2", "a new box with a new key may come");
    assert!(other.is_open(), "nobody else is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_renews_with_its_certificate_and_nobody_elses() {
    let cluster = cluster().await;
    let (first, key) = joined(&invite(&cluster, "nord", None).await).await;
    let own = endpoint(&first);
    let (renewed, enrolled) = renew(&own, &key, &addresses(&cluster), "newer").await.unwrap();
    assert_eq!(renewed.key_hash().unwrap(), first.identity.key_hash().unwrap());
    assert_eq!(enrolled.name, first.enrolled.name);
    own.renew(renewed).unwrap();
    cluster.client_of(own.clone()).session(&school("nord"), LogIndex(0)).await;

    let other = NodeKey::generate().unwrap();
    let error = renew(&own, &other, &addresses(&cluster), "test").await.unwrap_err();
    assert_eq!(error.code(), Some(code::WRONG_ROLE), "{error}");
    // A certificate that the CA gave past the core makes no box.
    let by_hand = cluster.ca.issue(Role::Box, "nord").unwrap();
    let dir = tempfile::tempdir().unwrap();
    by_hand.save(dir.path()).unwrap();
    let by_hand = Endpoint::bind(Options { listen: LISTEN, identity: &by_hand, data: None, alpns: &[] }).unwrap();
    let key = NodeKey::load(dir.path()).unwrap();
    let error = renew(&by_hand, &key, &addresses(&cluster), "test").await.unwrap_err();
    assert_eq!(error.code(), Some(code::UNKNOWN_BOX), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_nodes_forgets_nothing() {
    let mut cluster = cluster().await;
    let used = invite(&cluster, "nord", None).await;
    let open = invite(&cluster, "sued", None).await;
    let (bad, _) = joined(&used).await;
    revoke(&cluster, bad.enrolled.name.as_str()).await;
    let before = list(&cluster).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.restart(at).await;
    }
    assert_eq!(list(&cluster).await, before);
    refused(join(&used, &NodeKey::generate().unwrap(), "test", None).await, code::USED);
    let client = cluster.client_of(endpoint(&bad));
    assert_eq!(client.refused(0, &school("nord"), LogIndex(0)).await, code::REVOKED);
    assert_eq!(joined(&open).await.0.enrolled.school, school("sued"), "the CA's key opens again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_finds_the_leader_while_a_node_is_down() {
    let mut cluster = cluster().await;
    let token = invite(&cluster, "nord", None).await;
    cluster.stop(0).await;
    assert_eq!(joined(&token).await.0.enrolled.name.as_str(), "nord-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_the_enrolment_door_and_no_other() {
    let cluster = cluster().await;
    let token = Token::new(addresses(&cluster), cluster.ca.fingerprint(), Secret::generate()).unwrap();
    let stranger = Stranger::bind(LISTEN, token.pin).unwrap();
    let before = refusals("no-certificate").await;
    for alpn in [ALPN_SYNC, ALPN_RAFT, ALPN_ADMIN, schulhof_wire::blob::ALPN_BLOB] {
        // The client's side of the handshake is over before the server can say no.
        let connection = without_certificate(&cluster, alpn).await;
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.expect("it is closed");
        assert!(closed.to_string().contains("a certificate is needed"), "{closed}");
    }
    assert!(refusals("no-certificate").await >= before + 4);
    let says = async |request: Option<EnrolRequest>| {
        let connection = stranger.connect(cluster.configs[0].quic, ALPN_ENROL).await.unwrap();
        let (mut send, receive) = connection.open_bi().await.unwrap();
        match request {
            Some(request) => FrameWriter::new(send).write(&request).await.unwrap(),
            None => send.write_all(&[0xff; 64]).await.unwrap(),
        }
        FrameReader::<EnrolAnswer>::new(receive).read().await.unwrap().unwrap()
    };
    let is = |answer: EnrolAnswer, expected: &str| {
        assert!(matches!(&answer, EnrolAnswer::Refused { code, .. } if code == expected), "{expected}: {answer:?}");
    };
    is(says(None).await, code::MALFORMED);
    let (secret, csr) = ([0; 16], vec![1, 2, 3]);
    let join =
        |version| EnrolRequest::Join { version, software: String::new(), secret, csr: csr.clone(), ticket_key: None };
    is(says(Some(join(1))).await, code::MALFORMED);
    is(says(Some(join(9))).await, code::VERSION);
    let renew = EnrolRequest::Renew { version: 1, software: String::new(), csr: csr.clone() };
    is(says(Some(renew)).await, code::WRONG_ROLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ca_nobody_is_invited_and_only_operators_ask() {
    let cluster = Cluster::start().await;
    let invite = Ask::BoxInvite { school: school("nord"), token: [1; 32], ttl_ms: None };
    let answer = cluster.ask(invite).await;
    assert!(matches!(&answer, Answer::Refused { code, .. } if code == code::NO_CA), "{answer:?}");
    let unknown = Ask::BoxInvite { school: SchoolId::new("ost").unwrap(), token: [1; 32], ttl_ms: None };
    let answer = cluster.ask(unknown).await;
    assert!(matches!(&answer, Answer::Refused { code, .. } if code == "unknown-school"), "{answer:?}");
    let gateway = cluster.client(Role::Gateway, "g-1").admin(0).await.expect("the handshake is fine");
    let closed = tokio::time::timeout(PATIENCE, gateway.closed()).await.expect("it is closed");
    assert!(closed.to_string().contains("for operators"), "{closed}");
}
