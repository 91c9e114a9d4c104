//! Operators at the backup door: whole schools while they are written to; nobody else.

mod support;

use schulhof_core::state::school::{SchoolChunk, Summary};
use schulhof_net::{
    identity::Role,
    quic::{FrameReader, FrameWriter},
};
use schulhof_wire::{
    LogIndex, SchoolId,
    admin::{Answer, Ask, Private},
    backup::{ALPN_BACKUP, FromCore, ToCore, VERSION},
    node::ToBox,
};
use support::{Client, Cluster, message, room, school, seed};

/// Loads a school from chunks; the last answer, `None` if the core has ended the stream without one.
async fn load(client: &Client, at: usize, of: &str, replace: bool, chunks: &[Vec<u8>]) -> Option<FromCore> {
    let connection = client.connect_to(at, ALPN_BACKUP).await;
    let (send, receive) = connection.open_bi().await.unwrap();
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::<FromCore>::new(receive));
    writer.write(&ToCore::Load { version: VERSION, school: school(of), replace }).await.unwrap();
    let mut answer = async || tokio::time::timeout(support::PATIENCE, reader.read()).await.unwrap().unwrap();
    match answer().await {
        Some(FromCore::Ready) => {}
        other => return other,
    }
    for bytes in chunks {
        if writer.write(&ToCore::Chunk { bytes: bytes.clone() }).await.is_err() {
            break;
        }
    }
    writer.finish();
    answer().await
}

fn code(answer: Option<FromCore>) -> String {
    match answer {
        Some(FromCore::Refused { code, .. }) => code,
        other => panic!("not refused, but {other:?}"),
    }
}

/// All frames of an answer.
async fn ask(client: &Client, at: usize, question: ToCore) -> Vec<FromCore> {
    let connection = client.connect_to(at, ALPN_BACKUP).await;
    let (send, receive) = connection.open_bi().await.unwrap();
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::<FromCore>::new(receive));
    writer.write(&question).await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = tokio::time::timeout(support::PATIENCE, reader.read()).await.unwrap().unwrap() {
        frames.push(frame);
    }
    frames
}

fn dump(of: &str) -> ToCore {
    ToCore::Dump { version: VERSION, school: school(of) }
}

async fn summary(client: &Client, leader: usize, of: &str) -> (Summary, Vec<Vec<u8>>) {
    let mut frames = ask(client, leader, dump(of)).await;
    assert_eq!(frames.pop(), Some(FromCore::Whole));
    let chunks: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| match frame {
            FromCore::Chunk { bytes } => bytes.clone(),
            other => panic!("unexpected: {other:?}"),
        })
        .collect();
    let FromCore::Chunk { bytes } = frames.last().expect("chunks") else { panic!("no chunk") };
    let SchoolChunk::End(summary) = SchoolChunk::decode(bytes).unwrap() else { panic!("no end") };
    (summary, chunks)
}

async fn seeded(cluster: &Cluster, of: &SchoolId) -> support::Session {
    let mut operator = cluster.client(Role::Operator, "up").session(of, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    operator.collect(Some(1), 2, LogIndex(0)).await;
    let name = of.as_str();
    let mut session = cluster.client(Role::Box, name).session(of, LogIndex(2)).await;
    session.submit(1, &[room("d-1"), message("d-1", 2)]).await;
    session.collect(Some(1), 2, LogIndex(2)).await;
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_holds_everything_that_was_committed_before_it_was_asked_for() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let mut session = seeded(&cluster, &nord).await;
    let leader = cluster.leader(1).await;
    let operator = cluster.client(Role::Operator, "backup");
    for round in 0..5u64 {
        session.submit(2 + round, &[message("d-1", 3 + round)]).await;
        session.collect(Some(2 + round), 1, LogIndex(4 + round)).await;
        let (summary, _) = summary(&operator, leader, "nord").await;
        assert_eq!((summary.head, summary.first), (LogIndex(5 + round), LogIndex(1)));
        let hashes = cluster.hashes(&nord, summary.head).await;
        assert!(hashes.iter().all(|hash| *hash == summary.state_hash), "that of every replica");
    }
    let (empty, _) = summary(&operator, cluster.leader(2).await, "sued").await;
    assert_eq!((empty.head, empty.records), (LogIndex(0), 0), "a school without data has a dump, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_get_schools_and_only_from_the_leader() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader(1).await;
    let operator = cluster.client(Role::Operator, "backup");
    let list = |after| ToCore::Schools { version: VERSION, after };
    // A node knows the schools once the meta group has begun.
    support::eventually("the schools", async || {
        let answer = ask(&operator, leader, list(None)).await;
        matches!(answer[..], [FromCore::Schools { .. }]).then_some(())
    })
    .await;
    for at in 0..3 {
        let all = FromCore::Schools { schools: vec![school("nord"), school("sued")] };
        assert_eq!(ask(&operator, at, list(None)).await, [all], "each node knows the schools");
        let rest = FromCore::Schools { schools: vec![school("sued")] };
        assert_eq!(ask(&operator, at, list(Some(school("nord")))).await, [rest]);
        let unknown = ask(&operator, at, dump("west")).await;
        assert!(matches!(&unknown[..], [FromCore::Refused { code, .. }] if code == "unknown-school"), "{unknown:?}");
        let newer = ask(&operator, at, ToCore::Schools { version: VERSION + 1, after: None }).await;
        assert!(matches!(&newer[..], [FromCore::Refused { code, .. }] if code == "version"), "{newer:?}");
        if at != leader {
            let name = Some(cluster.configs[leader].name.clone());
            assert_eq!(ask(&operator, at, dump("nord")).await, [FromCore::Redirect { leader: name }]);
        }
    }
    // A school's own box gets its log at its own door, and no dump of it here.
    for (role, name) in [(Role::Box, "nord"), (Role::Gateway, "g-1"), (Role::Relay, "r-1"), (Role::Core, "core-9")] {
        let connection = cluster.client(role, name).connect_to(leader, ALPN_BACKUP).await;
        let closed = tokio::time::timeout(support::PATIENCE, connection.closed()).await.unwrap();
        assert!(closed.to_string().contains("for operators"), "{role}: {closed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_comes_back_into_an_empty_core_and_goes_on_where_it_was() {
    let nord = school("nord");
    let (before, chunks) = {
        let cluster = Cluster::start().await;
        drop(seeded(&cluster, &nord).await);
        summary(&cluster.client(Role::Operator, "backup"), cluster.leader(1).await, "nord").await
    };
    let cluster = Cluster::start().await;
    let (leader, meta) = (cluster.leader(1).await, cluster.leader(0).await);
    let operator = cluster.client(Role::Operator, "backup");
    // One that is cut, one that is damaged, one that is whole: each begins anew.
    assert_eq!(load(&operator, leader, "nord", false, &chunks[..2]).await, None);
    let missing: Vec<_> = chunks.iter().take(1).chain(chunks.iter().skip(2)).cloned().collect();
    assert_eq!(code(load(&operator, leader, "nord", false, &missing).await), "damaged");
    let Some(FromCore::Loaded { epoch, head, state_hash }) = load(&operator, leader, "nord", false, &chunks).await
    else {
        panic!("not loaded")
    };
    assert_eq!((epoch, head, state_hash.0), (2, before.head, before.state_hash));
    // An operator that has lost the answer asks again; nothing is loaded twice.
    assert!(matches!(load(&operator, leader, "nord", false, &chunks).await, Some(FromCore::Loaded { epoch: 2, .. })));
    let box_client = cluster.client(Role::Box, "nord");
    let early = box_client.hello(leader, &nord, LogIndex(0)).await;
    assert!(!matches!(early, Some((ToBox::Welcome { head: LogIndex(4), .. }, _))), "not served before that is said");

    let serve = ToCore::Serve { version: VERSION, school: nord.clone(), epoch };
    assert_eq!(ask(&operator, meta, serve.clone()).await, [FromCore::Done]);
    assert_eq!(ask(&operator, meta, serve).await, [FromCore::Done]);
    let hashes = cluster.hashes(&nord, before.head).await;
    assert!(hashes.iter().all(|hash| *hash == before.state_hash), "on every node");
    let mut session = cluster.client(Role::Box, "nord").session(&nord, LogIndex(0)).await;
    session.collect(None, 4, LogIndex(0)).await;
    session.submit(1, &[message("d-1", 2), message("d-1", 3)]).await;
    let entries = session.collect(Some(1), 1, LogIndex(4)).await;
    assert_eq!(support::decoded(&entries), [message("d-1", 3)], "what the backup holds is known, what follows is new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_with_data_is_replaced_only_if_that_is_said() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let mut session = seeded(&cluster, &nord).await;
    let (leader, meta) = (cluster.leader(1).await, cluster.leader(0).await);
    let operator = cluster.client(Role::Operator, "backup");
    let (before, chunks) = summary(&operator, leader, "nord").await;
    session.submit(2, &[message("d-1", 3)]).await;
    session.collect(Some(2), 1, LogIndex(4)).await;

    assert_eq!(code(load(&operator, leader, "nord", false, &chunks).await), "not-empty");
    assert_eq!(
        code(load(&operator, cluster.leader(2).await, "sued", false, &chunks).await),
        "damaged",
        "not its chunks"
    );
    assert_eq!(cluster.hashes(&nord, LogIndex(5)).await.len(), 3, "nothing has happened to it");

    let Some(FromCore::Loaded { epoch, .. }) = load(&operator, leader, "nord", true, &chunks).await else {
        panic!("not loaded")
    };
    assert_eq!(
        ask(&operator, meta, ToCore::Serve { version: VERSION, school: nord.clone(), epoch }).await,
        [FromCore::Done]
    );
    assert!(cluster.hashes(&nord, before.head).await.iter().all(|hash| *hash == before.state_hash));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_without_a_place_gets_one() {
    let cluster = Cluster::start().await;
    let meta = cluster.leader(0).await;
    let operator = cluster.client(Role::Operator, "backup");
    let place = ToCore::Place { version: VERSION, school: school("west") };
    support::eventually("a place", async || {
        (ask(&operator, meta, place.clone()).await == [FromCore::Done]).then_some(())
    })
    .await;
    assert_eq!(ask(&operator, meta, place).await, [FromCore::Done], "twice is as good as once");
    let all = ask(&operator, meta, ToCore::Schools { version: VERSION, after: None }).await;
    assert_eq!(all, [FromCore::Schools { schools: vec![school("nord"), school("sued"), school("west")] }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_has_lost_everything_knows_its_ca_and_its_boxes_again() {
    let enrolment = ToCore::Enrolment { version: VERSION };
    let records = {
        let cluster = Cluster::start().await;
        let operator = cluster.client(Role::Operator, "backup");
        let meta = cluster.leader(0).await;
        assert_eq!(ask(&operator, meta, enrolment.clone()).await, [FromCore::Whole], "nothing, and that is whole");
        let install =
            Ask::CaInstall { certificate: cluster.ca.certificate().to_vec(), key: Private(cluster.ca.key_der()) };
        assert_eq!(cluster.ask(install).await, Answer::Done);
        let invite = Ask::BoxInvite { school: school("nord"), token: [7; 32], ttl_ms: None };
        assert!(matches!(cluster.ask(invite).await, Answer::BoxInvited { .. }));
        let mut frames = ask(&operator, cluster.leader(0).await, enrolment.clone()).await;
        assert_eq!(frames.pop(), Some(FromCore::Whole));
        let [FromCore::Records { records }] = &frames[..] else { panic!("one frame: {frames:?}") };
        let box_client = cluster.client(Role::Box, "nord").connect_to(meta, ALPN_BACKUP).await;
        assert!(box_client.closed().await.to_string().contains("for operators"));
        records.clone()
    };
    let cluster = Cluster::start().await;
    let (operator, meta) = (cluster.client(Role::Operator, "backup"), cluster.leader(0).await);
    let load = |records: &[(Vec<u8>, Vec<u8>)]| ToCore::LoadEnrolment { version: VERSION, records: records.to_vec() };
    let foreign = ask(&operator, meta, load(&[(b"s/nord".to_vec(), b"x".to_vec())])).await;
    assert!(matches!(&foreign[..], [FromCore::Refused { code, .. }] if code == "damaged"), "{foreign:?}");
    for _ in 0..2 {
        assert_eq!(ask(&operator, meta, load(&records)).await, [FromCore::Done], "once more if the answer was lost");
    }
    let again = ask(&operator, meta, enrolment).await;
    assert_eq!(again, [FromCore::Records { records: records.clone() }, FromCore::Whole]);
    let other = [(records[0].0.clone(), b"x".to_vec())];
    let late = ask(&operator, meta, load(&other)).await;
    assert!(matches!(&late[..], [FromCore::Refused { code, .. }] if code == "ca-exists"), "{late:?}");
}
