//! Operators at the admin door: what they get, who is refused, what a new school needs.

mod support;

use schulhof_net::identity::Role;
use schulhof_wire::{
    LogIndex,
    admin::{Answer, Ask, Request, VERSION},
};
use support::{Cluster, ask_on, school, seed};

fn schools(answer: Answer) -> Vec<(String, u32, u64)> {
    let Answer::Schools(schools) = answer else { panic!("not schools: {answer:?}") };
    schools.into_iter().map(|s| (s.school.to_string(), s.group, s.epoch)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_school_takes_operations_without_a_restart_and_survives_one() {
    let mut cluster = Cluster::start().await;
    let new = Ask::SchoolAdd { school: school("west"), name: Some("Westschule".into()), group: Some(2) };
    assert_eq!(schools(cluster.ask(new.clone()).await), [("west".to_owned(), 2, 1)]);
    match cluster.ask(new).await {
        Answer::Refused { code, .. } => assert_eq!(code, "school-exists"),
        other => panic!("{other:?}"),
    }
    let operator = cluster.client(Role::Operator, "up");
    let mut session = operator.session(&school("west"), LogIndex(0)).await;
    session.submit(1, &seed()).await;
    session.collect(Some(1), 2, LogIndex(0)).await;

    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.restart(at).await;
    }
    let all = schools(cluster.ask(Ask::Schools).await);
    assert_eq!(all, [("nord".to_owned(), 1, 1), ("sued".to_owned(), 2, 1), ("west".to_owned(), 2, 1)]);
    assert_eq!(cluster.client(Role::Box, "west").session(&school("west"), LogIndex(0)).await.head, LogIndex(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_names_the_leader_and_only_operators_come_in() {
    let cluster = Cluster::start().await;
    cluster.ask(Ask::Schools).await;
    let leader = cluster.leader(0).await;
    let operator = cluster.client(Role::Operator, "up");
    let request = Request { version: VERSION, ask: Ask::Schools };
    let follower = operator.admin((leader + 1) % 3).await.unwrap();
    match ask_on(&follower, &request).await {
        Some(Answer::Redirect { leader: Some(named) }) => {
            assert_eq!(
                (named.name, named.address),
                (cluster.configs[leader].name.clone(), cluster.configs[leader].quic)
            );
        }
        // The lead went there since.
        Some(Answer::Schools(_)) => {}
        other => panic!("{other:?}"),
    }
    match ask_on(&follower, &Request { version: VERSION + 1, ask: Ask::Schools }).await {
        Some(Answer::Refused { code, .. }) => assert_eq!(code, "version"),
        other => panic!("{other:?}"),
    }
    for role in [Role::Box, Role::Gateway, Role::Relay] {
        let connection = cluster.client(role, "nord").admin(leader).await.unwrap();
        assert_eq!(ask_on(&connection, &request).await, None, "{role}");
        let reason = connection.closed().await.to_string();
        assert!(reason.contains("the admin door is for operators"), "{reason}");
    }
}
