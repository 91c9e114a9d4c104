//! Boxes and operators at the door: what they get, what is refused.

mod support;

use schulhof_net::identity::Role;
use schulhof_school::Operation;
use schulhof_wire::{
    LogIndex,
    chunk::SchoolChunk,
    node::{EncodedOperation, SYNC_VERSION, SYNC_VERSION_MIN, ToBox, ToCore},
};
use support::{Cluster, decoded, message, room, school, seed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_box_submits_comes_back_gapless_and_once() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let operator = cluster.client(Role::Operator, "up");
    let mut seeding = operator.session(&nord, LogIndex(0)).await;
    assert_eq!(seeding.head, LogIndex(0));
    seeding.submit(1, &seed()).await;
    seeding.collect(Some(1), 2, LogIndex(0)).await;

    let school_box = cluster.client(Role::Box, "nord");
    let mut session = school_box.session(&nord, LogIndex(0)).await;
    assert_eq!(session.head, LogIndex(2));
    session.collect(None, 2, LogIndex(0)).await;
    let first: Vec<Operation> = std::iter::once(room("d-1")).chain((2..=5).map(|seq| message("d-1", seq))).collect();
    session.submit(1, &first).await;
    let entries = session.collect(Some(1), 5, LogIndex(2)).await;
    assert_eq!(decoded(&entries), first);
    assert!(entries.iter().all(|entry| entry.rejected.is_none()), "{entries:?}");

    // Twice the same and one that is new: only that one gets a place.
    session.submit(2, &first).await;
    session.collect(Some(2), 0, LogIndex(7)).await;
    session.submit(3, &[message("d-1", 5), message("d-1", 6)]).await;
    let entries = session.collect(Some(3), 1, LogIndex(7)).await;
    assert_eq!(decoded(&entries), [message("d-1", 6)]);

    // A forbidden one has its place too, with the reason.
    let stranger = Operation { actor: schulhof_school::Actor::Account("nobody".parse().unwrap()), ..message("d-9", 1) };
    session.submit(4, &[stranger]).await;
    let entries = session.collect(Some(4), 1, LogIndex(8)).await;
    assert_eq!(entries[0].rejected.as_deref(), Some("unknown-actor"));

    // The operator's session gets the same entries, live; who comes later gets all of them.
    assert_eq!(seeding.collect(None, 7, LogIndex(2)).await.len(), 7);
    let mut late = school_box.session(&nord, LogIndex(4)).await;
    late.collect(None, 5, LogIndex(4)).await;

    late.writer.write(&ToCore::Ping).await.unwrap();
    assert_eq!(late.next().await, Some(ToBox::Head { head: LogIndex(9) }));
    // The other school knows nothing of it.
    let other = operator.session(&school("sued"), LogIndex(0)).await;
    assert_eq!(other.head, LogIndex(0));
    let hashes = cluster.hashes(&nord, LogIndex(9)).await;
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "all replicas hold the same bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_number_takes_no_place_and_is_asked_for_again() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let mut operator = cluster.client(Role::Operator, "up").session(&nord, LogIndex(0)).await;
    let [first, second] = <[Operation; 2]>::try_from(seed()).unwrap();
    operator.submit(1, std::slice::from_ref(&second)).await;
    assert!(matches!(operator.next().await, Some(ToBox::Busy { batch: 1, .. })));
    operator.submit(2, &[first, second]).await;
    operator.collect(Some(2), 2, LogIndex(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_business_here_is_refused() {
    let cluster = Cluster::start().await;
    let (nord, sued) = (school("nord"), school("sued"));
    let leader = cluster.leader(1).await;
    let school_box = cluster.client(Role::Box, "nord");
    let operator = cluster.client(Role::Operator, "up");
    // On every node alike, whoever leads.
    for at in 0..3 {
        assert_eq!(school_box.refused(at, &sued, LogIndex(0)).await, "wrong-school");
        assert_eq!(operator.refused(at, &school("west"), LogIndex(0)).await, "unknown-school");
        assert_eq!(cluster.client(Role::Box, "west").refused(at, &school("west"), LogIndex(0)).await, "unknown-school");
        // A relay or a core node is no box, even with a school's name.
        for role in [Role::Relay, Role::Core] {
            assert!(cluster.client(role, "nord").hello(at, &nord, LogIndex(0)).await.is_none(), "{role}");
        }
    }
    assert_eq!(school_box.refused(leader, &nord, LogIndex(1)).await, "ahead");

    let code = async |client: &support::Client, frame: ToCore| {
        let mut session = client.session(&nord, LogIndex(0)).await;
        session.writer.write(&frame).await.unwrap();
        match session.next().await {
            Some(ToBox::Refused { code, .. }) => code,
            other => panic!("not refused, but {other:?}"),
        }
    };
    let submit = |operations| ToCore::Submit { batch: 1, operations };
    let encoded = |operation: &Operation| EncodedOperation(operation.encode());
    assert_eq!(code(&school_box, submit(vec![encoded(&seed()[0])])).await, "malformed", "a box as operator");
    assert_eq!(code(&operator, submit(vec![encoded(&room("d-1"))])).await, "malformed", "an operator as account");
    assert_eq!(code(&school_box, submit(vec![EncodedOperation(b"{}".to_vec())])).await, "malformed");
    assert_eq!(code(&school_box, submit(vec![EncodedOperation(vec![b' '; 65 * 1024])])).await, "malformed");
    assert_eq!(code(&school_box, submit(vec![])).await, "malformed");
    let hello =
        ToCore::Hello { version: SYNC_VERSION, software: String::new(), school: nord.clone(), after: LogIndex(0) };
    assert_eq!(code(&school_box, hello).await, "malformed", "a second hello");
    // Nothing of all that has left a trace.
    assert_eq!(school_box.session(&nord, LogIndex(0)).await.head, LogIndex(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sends_boxes_to_the_leader() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader(2).await;
    let school_box = cluster.client(Role::Box, "sued");
    for at in (0..3).filter(|at| *at != leader) {
        let (answer, _) = school_box.hello(at, &school("sued"), LogIndex(0)).await.unwrap();
        assert_eq!(answer, ToBox::Redirect { leader: Some(cluster.configs[leader].name.clone()) });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_groups_leaders_and_boxes() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let mut operator = cluster.client(Role::Operator, "up").session(&nord, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    operator.collect(Some(1), 2, LogIndex(0)).await;
    let mut school_box = cluster.client(Role::Box, "nord").session(&nord, LogIndex(0)).await;
    school_box.collect(None, 2, LogIndex(0)).await;
    let leader = cluster.leader(1).await;
    cluster.leader(2).await;
    cluster.leader(0).await;
    let node = cluster.nodes[leader].as_ref().unwrap();
    assert!(node.readiness().ready, "{:?}", node.readiness());
    let status = node.status();
    assert_eq!(status["kind"], "core");
    assert_eq!(status["groups"][0]["group"], 0, "the meta group");
    assert_eq!(status["groups"][1]["leader"], cluster.configs[leader].name.as_str());
    assert_eq!(status["groups"][0]["members"].as_array().unwrap().len(), 3);
    let expected = serde_json::json!({"school": "nord", "connected": true, "cursor": 2, "head": 2, "lag": 0});
    assert_eq!(status["boxes"][0], expected);
    assert_eq!(status["boxes"][1]["connected"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_speaks_for_accounts_of_every_school_and_never_as_operator() {
    let cluster = Cluster::start().await;
    let (nord, sued) = (school("nord"), school("sued"));
    for id in [&nord, &sued] {
        let mut operator = cluster.client(Role::Operator, "up").session(id, LogIndex(0)).await;
        operator.submit(1, &seed()).await;
        operator.collect(Some(1), 2, LogIndex(0)).await;
    }
    let gateway = cluster.client(Role::Gateway, "g-1");
    for id in [&nord, &sued] {
        let mut session = gateway.session(id, LogIndex(2)).await;
        session.submit(1, &[room("d-1"), message("d-1", 2)]).await;
        session.collect(Some(1), 2, LogIndex(2)).await;
        session.submit(2, &seed()).await;
        assert!(
            matches!(session.next().await, Some(ToBox::Refused { code, .. }) if code == "malformed"),
            "as operator"
        );
    }
    assert_eq!(gateway.refused(0, &school("west"), LogIndex(0)).await, "unknown-school");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_of_a_gateway_has_a_stream_for_each_of_many_schools() {
    // More than anybody else may open.
    const STREAMS: usize = 150;
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let leader = cluster.leader(1).await;
    let gateway = cluster.client(Role::Gateway, "g-1");
    let connection = gateway.connect(leader).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(support::hello_on(&connection, &nord, LogIndex(0)).await);
        assert!(matches!(open.last(), Some((ToBox::Welcome { .. }, _))));
    }
    // One that is refused does not end the others.
    let (refused, _) = support::hello_on(&connection, &school("west"), LogIndex(0)).await;
    assert!(matches!(refused, ToBox::Refused { code, .. } if code == "unknown-school"));
    let mut operator = cluster.client(Role::Operator, "up").session(&nord, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    for (_, session) in &mut open {
        session.collect(None, 2, LogIndex(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_box_of_a_school_with_much_history_gets_the_state_and_an_older_one_all_entries() {
    const MESSAGES: u64 = 2_500;
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let head = cluster.write_history(&nord, MESSAGES).await;
    let school_box = cluster.client(Role::Box, "nord");

    let mut empty = school_box.session_in(SYNC_VERSION, &nord, LogIndex(0)).await;
    let mut chunks = Vec::new();
    while !matches!(chunks.last(), Some(SchoolChunk::End(_))) {
        match empty.next().await {
            Some(ToBox::Snapshot { chunk }) => chunks.push(SchoolChunk::decode(&chunk).unwrap()),
            other => panic!("{other:?} amid the state"),
        }
    }
    let Some(SchoolChunk::End(summary)) = chunks.last() else { unreachable!() };
    assert_eq!(summary.head, head);
    let hashes = cluster.hashes(&nord, head).await;
    assert!(hashes.iter().all(|hash| *hash == summary.state_hash));
    // Entries follow where it ends, and the stream takes operations all along.
    empty.submit(1, &[message("d-1", MESSAGES + 1)]).await;
    empty.collect(Some(1), 1, head).await;

    let mut old = school_box.session_in(SYNC_VERSION_MIN, &nord, LogIndex(0)).await;
    old.collect(None, MESSAGES as usize + 3, LogIndex(0)).await;
}
