//! Core nodes come and go while a school is written to and read.

mod support;

use schulhof_wire::{
    NodeName,
    admin::{Answer, Ask, Node, NodeChange, NodeState},
};
use support::{Cluster, eventually, load::Load, school};

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

async fn node(cluster: &Cluster, of: &str) -> Node {
    let Answer::Nodes(nodes) = cluster.ask(Ask::Nodes).await else { panic!("not nodes") };
    nodes.into_iter().rev().find(|node| node.name == name(of)).expect("the node is known")
}

async fn until(cluster: &Cluster, of: &str, what: &str, is: impl Fn(&Node) -> bool) {
    eventually(what, async || is(&node(cluster, of).await).then_some(())).await;
}

fn add(cluster: &Cluster, at: usize, replaces: Option<&str>) -> Ask {
    let config = &cluster.configs[at];
    let replaces = replaces.map(name);
    Ask::NodeAdd { name: config.name.clone(), address: config.quic, replaces, dry_run: false }
}

fn change(of: &str, change: NodeChange, dry_run: bool) -> Ask {
    Ask::NodeChange { name: name(of), change, dry_run }
}

fn code(answer: Answer) -> (String, String) {
    let Answer::Refused { code, detail } = answer else { panic!("not refused: {answer:?}") };
    (code, detail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_added_drained_removed_and_replaced_while_a_school_is_written_to() {
    let mut cluster = Cluster::start().await;
    // Their addresses are known to the clients from the beginning; the core knows nothing of them.
    let (fourth, fifth) = (cluster.prepare("core-4"), cluster.prepare("core-5"));
    let load = Load::start(&cluster, &school("nord")).await;
    load.progress(20).await;

    let (refusal, detail) = code(cluster.ask(change("core-1", NodeChange::Remove, false)).await);
    assert_eq!(refusal, "too-few-nodes");
    assert!(detail.ends_with("in group 0, 1, 2"), "{detail}");

    assert!(matches!(cluster.ask(add(&cluster, fourth, None)).await, Answer::Nodes(_)));
    cluster.start_prepared(fourth).await;
    until(&cluster, "core-4", "it votes everywhere", |n| n.state == NodeState::Active && n.votes == 3).await;
    load.progress(20).await;

    assert!(matches!(cluster.ask(change("core-1", NodeChange::Drain, true)).await, Answer::Nodes(_)));
    assert_eq!(node(&cluster, "core-1").await.state, NodeState::Active, "only asked");
    cluster.ask(change("core-1", NodeChange::Drain, false)).await;
    until(&cluster, "core-1", "it leads nothing", |n| n.state == NodeState::Draining && n.leads == 0).await;
    assert_eq!(node(&cluster, "core-1").await.votes, 3, "it still votes");
    cluster.ask(change("core-1", NodeChange::Remove, false)).await;
    until(&cluster, "core-1", "it is in no group", |n| n.state == NodeState::Gone && n.votes == 0).await;
    cluster.stop(0).await;
    load.progress(20).await;

    // The new node keeps its number.
    cluster.stop(fourth).await;
    cluster.restart(fourth).await;
    assert_eq!(node(&cluster, "core-4").await.id, 4);
    load.progress(20).await;

    // One of three dies: no other one may go, and the dead one can be replaced.
    cluster.stop(2).await;
    until(&cluster, "core-3", "it does not answer", |n| !n.answers).await;
    let (refusal, detail) = code(cluster.ask(change("core-2", NodeChange::Remove, true)).await);
    assert_eq!(refusal, "no-majority");
    assert!(detail.contains("group 0, 1, 2"), "{detail}");
    assert!(matches!(cluster.ask(add(&cluster, fifth, Some("core-3"))).await, Answer::Nodes(_)));
    cluster.start_prepared(fifth).await;
    until(&cluster, "core-5", "it votes everywhere", |n| n.state == NodeState::Active && n.votes == 3).await;
    until(&cluster, "core-3", "it is in no group", |n| n.state == NodeState::Gone && n.votes == 0).await;
    load.progress(20).await;

    let head = load.stop(&cluster).await;
    let hashes = cluster.hashes(&school("nord"), head).await;
    assert!(
        hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]),
        "core-2, core-4 and core-5 hold the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_fresh_core_every_node_votes_soon_also_those_that_lead() {
    let cluster = Cluster::start().await;
    // One mark per group whose vote is kept back.
    let marks = |config: &schulhof_core::Config| std::fs::read_dir(config.data.join("rejoin")).unwrap().count();
    support::eventually("no marks", async || cluster.configs.iter().all(|config| marks(config) == 0).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_word_from_each_other_before_it_proposes_what_is_new() {
    let mut cluster = Cluster::start().await;
    let all = |cluster: &Cluster, at: usize| cluster.nodes[at].as_ref().unwrap().groups().all_current();
    support::eventually("all have heard of all", async || (0..3).all(|at| all(&cluster, at)).then_some(())).await;
    cluster.stop(2).await;
    assert!(all(&cluster, 0), "who is away now was seen before");
    cluster.stop(0).await;
    cluster.restart(0).await;
    cluster.leader(1).await;
    assert!(!all(&cluster, 0), "it may be an older one");
    cluster.restart(2).await;
    support::eventually("all have heard of all", async || (0..3).all(|at| all(&cluster, at)).then_some(())).await;
}
