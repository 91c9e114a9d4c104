//! The open door: strangers come in there and nowhere else, and both ends know whom they speak to.

use schulhof_net::{
    enrol::{EnrolError, Secret, Token, join, renew, words},
    identity::{Ca, Identity, KeyHash, NodeKey, RequestedKey, Role, peer_certificate},
    quic::{Caller, Endpoint, Expected, FrameReader, FrameWriter, Options, QuicError, Stranger},
};
use schulhof_wire::{
    NodeName, SchoolId,
    enrol::{ALPN_ENROL, EnrolAnswer, EnrolRequest, Enrolled, VERSION, code},
    node::{ALPN_RAFT, ALPN_SYNC},
};
use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn core(ca: &Ca) -> Endpoint {
    let identity = ca.issue(Role::Core, "core-1").unwrap();
    let alpns: &[&[u8]] = &[ALPN_RAFT, ALPN_SYNC];
    Endpoint::bind_with_open_door(Options { listen: LISTEN, identity: &identity, data: None, alpns }, ALPN_ENROL)
        .unwrap()
}

fn token(ca: &Ca, core: &Endpoint) -> Token {
    let address = core.local_addr().unwrap().to_string();
    Token::new(vec![address], ca.fingerprint(), Secret::generate()).unwrap()
}

/// Answers every request by the given rule.
fn answering(core: Endpoint, mut answer: impl FnMut(EnrolRequest, Option<KeyHash>) -> EnrolAnswer + Send + 'static) {
    tokio::spawn(async move {
        while let Some(handshake) = core.accept().await {
            let Ok(caller) = handshake.finish_any().await else { continue };
            let connection = match caller {
                Caller::Known(accepted) => accepted.connection,
                Caller::Stranger(connection) => connection,
            };
            let key = peer_certificate(&connection).map(|certificate| KeyHash::of(&certificate).unwrap());
            let Ok((send, receive)) = connection.accept_bi().await else { continue };
            let request = FrameReader::<EnrolRequest>::new(receive).read().await.unwrap().unwrap();
            let mut writer = FrameWriter::new(send);
            writer.write(&answer(request, key)).await.unwrap();
            writer.delivered().await;
        }
    });
}

fn enrolled(ca: &Ca, csr: &[u8], school: &str) -> EnrolAnswer {
    let now = SystemTime::now();
    let key = RequestedKey::of(csr).unwrap();
    let certificate = ca.sign(&key, Role::Box, "nord", now, now + Duration::from_hours(1)).unwrap();
    EnrolAnswer::Enrolled(Box::new(Enrolled {
        version: VERSION,
        school: SchoolId::new(school).unwrap(),
        name: NodeName::new("nord-1").unwrap(),
        certificate: certificate.to_vec(),
        ca: ca.certificate().to_vec(),
        expires_ms: 0,
        core: Vec::new(),
    }))
}

#[tokio::test]
async fn a_stranger_comes_in_at_the_open_door_alone() {
    let ca = Ca::generate().unwrap();
    let core = core(&ca);
    let address = core.local_addr().unwrap();
    let stranger = Stranger::bind(LISTEN, token(&ca, &core).pin).unwrap();
    let accept = async { core.accept().await.unwrap().finish_any().await };
    let (caller, connected) = tokio::join!(accept, stranger.connect(address, ALPN_ENROL));
    assert!(matches!(caller, Ok(Caller::Stranger(_))));
    connected.unwrap();
    for alpn in [ALPN_SYNC, ALPN_RAFT] {
        let accept = async { core.accept().await.unwrap().finish_any().await };
        let (caller, connected) = tokio::join!(accept, without_certificate(&ca, address, alpn));
        assert!(matches!(caller, Err(QuicError::Stranger)), "{caller:?}");
        // The client's side of the handshake is over before the server can say no.
        let closed = connected.expect("TLS itself lets strangers in").closed().await;
        assert!(closed.to_string().contains("a certificate is needed"), "{closed}");
    }
    // An endpoint without an open door turns strangers away in the handshake itself.
    let identity = ca.issue(Role::Core, "core-2").unwrap();
    let alpns: &[&[u8]] = &[ALPN_SYNC];
    let closed = Endpoint::bind(Options { listen: LISTEN, identity: &identity, data: None, alpns }).unwrap();
    let accept = async { closed.accept().await.unwrap().finish_any().await };
    let connect = without_certificate(&ca, closed.local_addr().unwrap(), ALPN_SYNC);
    let (caller, _connected) = tokio::join!(accept, connect);
    assert!(matches!(caller, Err(QuicError::Handshake(_))), "{caller:?}");
}

/// Somebody who knows the CA, and shows nothing.
async fn without_certificate(
    ca: &Ca,
    address: SocketAddr,
    alpn: &[u8],
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.certificate().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let endpoint = quinn::Endpoint::client(LISTEN).unwrap();
    endpoint
        .connect_with(quinn::ClientConfig::new(std::sync::Arc::new(config)), address, "core.schulhof.internal")
        .unwrap()
        .await
}

#[tokio::test]
async fn with_a_certificate_all_doors_are_as_before() {
    let ca = Ca::generate().unwrap();
    let core = core(&ca);
    let identity = ca.issue(Role::Box, "nord").unwrap();
    let client = Endpoint::bind(Options { listen: LISTEN, identity: &identity, data: None, alpns: &[] }).unwrap();
    for alpn in [ALPN_SYNC, ALPN_ENROL] {
        let accept = async { core.accept().await.unwrap().finish_any().await };
        let connect = client.connect(core.local_addr().unwrap(), &Expected::AnyCore, alpn);
        let (caller, connected) = tokio::join!(accept, connect);
        connected.unwrap();
        let Ok(Caller::Known(accepted)) = caller else { panic!("{caller:?}") };
        assert_eq!((accepted.peer.to_string(), accepted.alpn.as_slice()), ("box nord".to_owned(), alpn));
    }
    let foreign = Ca::generate().unwrap().issue(Role::Box, "nord").unwrap();
    let client = Endpoint::bind(Options { listen: LISTEN, identity: &foreign, data: None, alpns: &[] }).unwrap();
    let accept = async { core.accept().await.unwrap().finish_any().await };
    let (caller, connected) =
        tokio::join!(accept, client.connect(core.local_addr().unwrap(), &Expected::AnyCore, ALPN_ENROL));
    assert!(caller.is_err() && connected.is_err(), "a foreign certificate is worse than none");
}

#[tokio::test]
async fn a_box_joins_and_both_ends_have_the_same_words() {
    let ca = Ca::generate().unwrap();
    let core = core(&ca);
    let token = token(&ca, &core);
    let (heard, hear) = std::sync::mpsc::channel();
    let (fingerprint, issuing) = (ca.fingerprint(), ca);
    answering(core, move |request, key| {
        let EnrolRequest::Join { secret, csr, .. } = request else { panic!("{request:?}") };
        assert_eq!(key, None);
        heard.send((Secret(secret).id(), RequestedKey::of(&csr).unwrap().hash())).unwrap();
        enrolled(&issuing, &csr, "nord")
    });
    let key = NodeKey::generate().unwrap();
    let joined = join(&token, &key, "test", None).await.unwrap();
    assert_eq!(joined.identity.own().to_string(), "box nord");
    let (id, seen) = hear.recv().unwrap();
    assert_eq!(seen, key.hash());
    assert_eq!(joined.words, words(id, seen, fingerprint));
}

#[tokio::test]
async fn a_core_of_another_ca_gets_no_secret() {
    let (ours, theirs) = (Ca::generate().unwrap(), Ca::generate().unwrap());
    let core = core(&theirs);
    let token = token(&ours, &core);
    answering(core, |request, _| panic!("the secret was told: {request:?}"));
    let error = join(&token, &NodeKey::generate().unwrap(), "test", None).await.unwrap_err();
    assert!(matches!(error, EnrolError::WrongCa(_)), "{error}");
    assert!(error.to_string().contains("another fingerprint"), "{error}");
}

#[tokio::test]
async fn a_node_that_is_no_core_is_not_taken_for_one() {
    let ca = Ca::generate().unwrap();
    // A box with a good certificate of the same CA that plays the core.
    let identity = ca.issue(Role::Box, "sued").unwrap();
    let options = Options { listen: LISTEN, identity: &identity, data: None, alpns: &[] };
    let impostor = Endpoint::bind_with_open_door(options, ALPN_ENROL).unwrap();
    let stranger = Stranger::bind(LISTEN, token(&ca, &impostor).pin).unwrap();
    let address = impostor.local_addr().unwrap();
    let accept = async { impostor.accept().await.unwrap().finish_any().await };
    let (_, connected) = tokio::join!(accept, stranger.connect(address, ALPN_ENROL));
    assert!(matches!(connected, Err(QuicError::Connect { .. })));
}

#[tokio::test]
async fn redirects_are_followed_and_refusals_come_with_their_reason() {
    let ca = Ca::generate().unwrap();
    let (first, second) = (core(&ca), core(&ca));
    let leader = schulhof_wire::enrol::CoreNode {
        name: NodeName::new("core-1").unwrap(),
        address: second.local_addr().unwrap().to_string(),
    };
    let token = token(&ca, &first);
    answering(first, move |_, _| EnrolAnswer::Redirect { leader: Some(leader.clone()) });
    answering(second, |_, _| EnrolAnswer::Refused { code: code::EXPIRED.into(), detail: "too late".into() });
    let error = join(&token, &NodeKey::generate().unwrap(), "test", None).await.unwrap_err();
    assert_eq!(error.code(), Some(code::EXPIRED), "{error}");
    assert_eq!(error.to_string(), "the core refuses: too late (expired)");
}

#[tokio::test]
async fn an_answer_for_another_school_or_key_is_not_taken() {
    let ca = Ca::generate().unwrap();
    let core = core(&ca);
    let token = token(&ca, &core);
    let mut turn = 0;
    answering(core, move |request, _| {
        let EnrolRequest::Join { csr, .. } = request else { panic!("{request:?}") };
        turn += 1;
        let other = NodeKey::generate().unwrap().request().unwrap();
        if turn == 1 { enrolled(&ca, &csr, "sued") } else { enrolled(&ca, &other, "nord") }
    });
    let key = NodeKey::generate().unwrap();
    let error = join(&token, &key, "test", None).await.unwrap_err();
    assert!(matches!(error, EnrolError::Misfit(_)), "{error}");
    let error = join(&token, &key, "test", None).await.unwrap_err();
    assert!(matches!(error, EnrolError::Identity(_)), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::generate().unwrap();
    let key = NodeKey::load_or_create(dir.path()).unwrap();
    let now = SystemTime::now();
    let requested = RequestedKey::of(&key.request().unwrap()).unwrap();
    let first = ca.sign(&requested, Role::Box, "nord", now, now + Duration::from_mins(1)).unwrap();
    let first = Identity::assemble(&key, ca.certificate(), first).unwrap();
    let before = first.validity_s().unwrap();
    let client = Endpoint::bind(Options { listen: LISTEN, identity: &first, data: None, alpns: &[] }).unwrap();
    let core = core(&ca);
    let address = core.local_addr().unwrap().to_string();
    let stranger = ca.issue(Role::Box, "sued").unwrap();
    answering(core.clone(), move |request, key| {
        let EnrolRequest::Renew { csr, .. } = request else { panic!("{request:?}") };
        assert_eq!(key, Some(RequestedKey::of(&csr).unwrap().hash()));
        enrolled(&ca, &csr, "nord")
    });
    let (renewed, _) = renew(&client, &key, &[address], "test").await.unwrap();
    let after = renewed.validity_s().unwrap();
    assert!(after.1 > before.1);
    client.renew(renewed).unwrap();
    assert_eq!(client.clone().identity().validity_s().unwrap(), after);
    assert!(client.renew(stranger).is_err(), "somebody else's certificate is none for this node");
}
