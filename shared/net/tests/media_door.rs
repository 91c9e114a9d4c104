//! A whole media node on loopback, seen from its door: who is let in, who is refused by which code, and what ends a
//! connection.

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use schulhof_net::media::{Config, Handle, serve};
use schulhof_placement::TicketKeys;
use schulhof_wire::{
    media::{JoinAnswer, JoinRequest, Order, SDP_LEN_MAX, ToClient, ToNode},
    ticket::{Claims, MediaNode, MediaRole, NodeKind},
};
use std::{collections::BTreeMap, time::Duration};
use support::{ANY, PATIENCE, ask, claims, join, key, let_in, node, offer, request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn control(node: &Handle, session: &str) -> Socket {
    let url = format!("ws://{}/media/control/{session}", node.addr());
    tokio_tungstenite::connect_async(url).await.unwrap().0
}

/// The next message that `wanted` takes; others pass by.
async fn next<T>(socket: &mut Socket, mut wanted: impl FnMut(ToClient) -> Option<T>) -> T {
    let search = async {
        loop {
            let message = socket.next().await.expect("the channel is open").unwrap();
            let Message::Text(text) = message else { continue };
            if let Some(found) = wanted(serde_json::from_str(&text).unwrap()) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("the node tells it in time")
}

async fn until_present(node: &Handle, people: usize) {
    let wait = async {
        while node.snapshot().engine.participants != people {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{:?}", node.snapshot()));
}

#[tokio::test]
async fn a_wrong_ticket_is_refused_by_its_code_and_counted() {
    let node = node(10).await;
    let good = claims("anna");
    let other_node = MediaNode { name: "sued".parse().unwrap(), ..good.primary.clone() };
    let expired = Claims { expires_at_ms: 1_000, ..good.clone() };
    let foreign = Claims { school: "west".parse().unwrap(), ..good.clone() };
    let elsewhere = Claims { primary: other_node, ..good.clone() };
    for (ticket, status, code) in [
        (key(2).sign(&good), 401, "ticket-forged"),
        (key(1).sign(&expired), 401, "ticket-expired"),
        (key(1).sign(&foreign), 401, "ticket-unknown-school"),
        (key(1).sign(&elsewhere), 403, "ticket-other-node"),
        ("nonsense".into(), 401, "ticket-malformed"),
        ("x".repeat(5_000), 401, "ticket-too-long"),
    ] {
        let answer = join(&node, ticket, offer()).await;
        let problem = answer.problem();
        assert_eq!((answer.status, problem.status, problem.code.as_str()), (status, status, code));
        assert_eq!(node.snapshot().joins.get(code), Some(&1));
    }
    assert_eq!(node.snapshot().engine.joins, 0, "no offer was looked at");
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_parsed() {
    let node = node(10).await;
    let answer = join(&node, key(1).sign(&claims("anna")), "v".repeat(SDP_LEN_MAX + 1)).await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (413, "offer-too-large"));
    // Announced or not, more than the longest join is not read.
    let answer = join(&node, key(1).sign(&claims("anna")), "v".repeat(3 * SDP_LEN_MAX)).await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (413, "too-large"));
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    stream.write_all(b"POST /media/join HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 200_000, "v".repeat(200_000));
    let _ = stream.write_all(chunk.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(node.snapshot().joins.get("too-large"), Some(&2));
}

#[tokio::test]
async fn what_is_no_join_and_what_is_no_offer_is_told_apart() {
    let node = node(10).await;
    let answer = request(&node, "POST /media/join HTTP/1.1", "{}").await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (400, "malformed"));
    let answer = join(&node, key(1).sign(&claims("anna")), "v=0\r\n".into()).await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (400, "bad-offer"));
    let answer = request(&node, "GET /media/control/0 HTTP/1.1", "").await;
    assert_ne!(answer.status, 200);
    assert_eq!(request(&node, "GET / HTTP/1.1", "").await.problem().code, "not-found");
}

#[tokio::test]
async fn any_page_may_ask_but_without_its_users_cookies() {
    let node = node(10).await;
    let preflight = "OPTIONS /media/join HTTP/1.1\r\norigin: https://elsewhere.example\r\n\
        access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\
        access-control-request-private-network: true";
    let answer = request(&node, preflight, "").await;
    assert_eq!(answer.status, 204);
    for line in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: post",
        "access-control-allow-headers: content-type",
        "access-control-allow-private-network: true",
    ] {
        assert!(answer.head.contains(line), "{line} in {}", answer.head);
    }
    assert!(!answer.head.contains("credentials"));
    let refused = join(&node, "nonsense".into(), offer()).await;
    assert!(refused.head.contains("access-control-allow-origin: *"), "a page can read why");
}

#[tokio::test]
async fn who_joins_is_welcomed_and_sees_the_others() {
    let node = node(10).await;
    let anna = let_in(&node, "anna").await;
    assert!(anna.answer.contains("a=ice-lite"), "{}", anna.answer);
    assert!(anna.answer.contains(&format!("127.0.0.1 {} typ host", node.addr().port())), "{}", anna.answer);
    let mut socket = control(&node, &anna.session).await;
    let you = next(&mut socket, |m| if let ToClient::Welcome { you, .. } = m { Some(you) } else { None }).await;
    let ben = let_in(&node, "ben").await;
    let mut other = control(&node, &ben.session).await;
    let both = next(&mut socket, |m| match m {
        ToClient::Roster { participants } if participants.len() == 2 => Some(participants),
        _ => None,
    })
    .await;
    assert_eq!(both[0].id, you);
    assert_eq!(both[1].account.as_str(), "ben");
    let hand = serde_json::to_string(&ToNode::Hand { raised: true }).unwrap();
    other.send(Message::text(hand)).await.unwrap();
    next(&mut socket, |m| {
        matches!(m, ToClient::Roster { participants } if participants[1].hand == Some(1)).then_some(())
    })
    .await;
    other.send(Message::text(serde_json::to_string(&ToNode::Ping { n: 7 }).unwrap())).await.unwrap();
    next(&mut other, |m| matches!(m, ToClient::Pong { n: 7 }).then_some(())).await;
    assert_eq!(node.snapshot().joins.get("ok"), Some(&2));
}

#[tokio::test]
async fn whom_a_moderator_removes_is_refused_at_the_door_and_so_is_everybody_after_the_end() {
    let node = node(10).await;
    let teacher = Claims { role: MediaRole::Moderator, ..claims("teacher") };
    let answer = join(&node, key(1).sign(&teacher), offer()).await;
    let joined: JoinAnswer = serde_json::from_str(&answer.body).unwrap();
    let mut leading = control(&node, &joined.session).await;
    let anna = let_in(&node, "anna").await;
    let mut sent_away = control(&node, &anna.session).await;
    let order = |order| Message::text(serde_json::to_string(&ToNode::Moderate { order }).unwrap());
    let reason = |m| if let ToClient::Closing { reason } = m { Some(reason) } else { None };
    let remove = Order::Remove { account: "anna".parse().unwrap() };
    leading.send(order(remove)).await.unwrap();
    assert_eq!(next(&mut sent_away, reason).await, "removed");
    let fresh = Claims { id: "another".into(), ..claims("anna") };
    let answer = join(&node, key(1).sign(&fresh), offer()).await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (403, "blocked"));

    leading.send(order(Order::Attendance)).await.unwrap();
    let stays = next(&mut leading, |m| if let ToClient::Attendance { stays } = m { Some(stays) } else { None }).await;
    // Both may have come within one millisecond.
    let names: BTreeMap<_, _> = stays.iter().map(|stay| (stay.name.as_str(), stay.to_ms.is_some())).collect();
    assert_eq!(names, BTreeMap::from([("teacher", false), ("anna", true)]));
    let year_2020_ms = 1_577_836_800_000;
    assert!(stays.iter().all(|stay| stay.from_ms > year_2020_ms), "by the calendar, not by the engine's clock");

    leading.send(order(Order::End)).await.unwrap();
    assert_eq!(next(&mut leading, reason).await, "room-closed");
    let answer = join(&node, key(1).sign(&claims("ben")), offer()).await;
    assert_eq!((answer.status, answer.problem().code.as_str()), (403, "room-closed"));
    assert_eq!((node.snapshot().joins.get("blocked"), node.snapshot().joins.get("room-closed")), (Some(&1), Some(&1)));
}

#[tokio::test]
async fn a_killed_control_channel_leaves_the_room() {
    let node = node(10).await;
    let (anna, ben) = (let_in(&node, "anna").await, let_in(&node, "ben").await);
    let mut staying = control(&node, &anna.session).await;
    let leaving = control(&node, &ben.session).await;
    until_present(&node, 2).await;
    // No close frame: the browser crashed.
    drop(leaving);
    next(&mut staying, |m| matches!(m, ToClient::Roster { participants } if participants.len() == 1).then_some(()))
        .await;
    until_present(&node, 1).await;
}

#[tokio::test]
async fn a_control_channel_is_opened_once_and_by_its_secret_only() {
    let node = node(10).await;
    let anna = let_in(&node, "anna").await;
    let _first = control(&node, &anna.session).await;
    for session in [anna.session.as_str(), "0123456789abcdef0123456789abcdef", "x", "..%2f"] {
        let url = format!("ws://{}/media/control/{session}", node.addr());
        let error = tokio_tungstenite::connect_async(url).await.unwrap_err();
        let tokio_tungstenite::tungstenite::Error::Http(response) = error else { panic!("{error}") };
        assert_eq!(response.status(), 404);
    }
    until_present(&node, 1).await;
}

#[tokio::test]
async fn a_flooding_client_is_thrown_out() {
    let node = node(10).await;
    let anna = let_in(&node, "anna").await;
    let mut socket = control(&node, &anna.session).await;
    let ping = serde_json::to_string(&ToNode::Ping { n: 1 }).unwrap();
    for _ in 0..1_000 {
        if socket.send(Message::text(ping.clone())).await.is_err() {
            break;
        }
    }
    let reason = next(&mut socket, |m| if let ToClient::Closing { reason } = m { Some(reason) } else { None }).await;
    assert_eq!(reason, "too-many-messages");
    until_present(&node, 0).await;
}

#[tokio::test]
async fn the_same_ticket_again_replaces_the_earlier_connection() {
    let node = node(10).await;
    let first = let_in(&node, "anna").await;
    let mut socket = control(&node, &first.session).await;
    let second = let_in(&node, "anna").await;
    let reason = next(&mut socket, |m| if let ToClient::Closing { reason } = m { Some(reason) } else { None }).await;
    assert_eq!(reason, "replaced");
    let _again = control(&node, &second.session).await;
    until_present(&node, 1).await;
}

#[tokio::test]
async fn a_full_node_says_when_to_come_back() {
    let node = node(1).await;
    let _anna = let_in(&node, "anna").await;
    let answer = join(&node, key(1).sign(&claims("ben")), offer()).await;
    let problem = answer.problem();
    assert_eq!((answer.status, problem.code.as_str()), (503, "full"));
    assert!(problem.retry_after_s.is_some());
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
}

#[tokio::test]
async fn who_stands_by_takes_a_place_is_seen_by_nobody_and_comes_in_with_one_word() {
    let node = node(2).await;
    let anna = let_in(&node, "anna").await;
    let mut socket = control(&node, &anna.session).await;
    let request = JoinRequest { ticket: key(1).sign(&claims("ben")), offer: offer(), standby: true };
    let ben: JoinAnswer = serde_json::from_str(&ask(&node, &request).await.body).unwrap();
    let mut spare = control(&node, &ben.session).await;
    next(&mut spare, |m| matches!(m, ToClient::Welcome { .. }).then_some(())).await;
    let say = |message: &ToNode| Message::text(serde_json::to_string(message).unwrap());
    spare.send(say(&ToNode::Ping { n: 1 })).await.unwrap();
    let first = next(&mut spare, Some).await;
    assert!(matches!(first, ToClient::Pong { n: 1 }), "{first:?}");
    assert_eq!(join(&node, key(1).sign(&claims("cem")), offer()).await.problem().code, "full");
    until_present(&node, 1).await;
    let status = node.status(0);
    assert_eq!((status.participants, status.standbys), (1, 1));

    spare.send(say(&ToNode::Activate)).await.unwrap();
    for socket in [&mut spare, &mut socket] {
        next(socket, |m| matches!(m, ToClient::Roster { participants } if participants.len() == 2).then_some(())).await;
    }
    drop(spare);
    until_present(&node, 1).await;
}

#[tokio::test]
async fn a_node_that_stops_sends_everybody_to_their_standby() {
    let node = node(10).await;
    let anna = let_in(&node, "anna").await;
    let mut socket = control(&node, &anna.session).await;
    next(&mut socket, |m| matches!(m, ToClient::Welcome { .. }).then_some(())).await;
    let (reason, ()) = tokio::join!(
        next(&mut socket, |m| if let ToClient::Closing { reason } = m { Some(reason) } else { None }),
        node.stop()
    );
    assert_eq!(reason, "draining");
    assert!(!node.readiness().ready);
}

#[tokio::test]
async fn a_taken_port_is_named_in_one_line() {
    let first = node(1).await;
    let config = Config {
        trunks: None,
        turn_tls: None,
        name: "nord".parse().unwrap(),
        kind: NodeKind::Box,
        listen: first.addr(),
        advertise: vec![ANY.ip()],
        url: "http://localhost".into(),
        ticket_keys: TicketKeys::default(),
        participants_max: 1,
        admin: ANY,
    };
    let error = serve(config).await.err().unwrap().to_string();
    assert_eq!(error, format!("cannot listen on {} (tcp) for the media door: address already in use", first.addr()));
}
