//! The meta group's first entries: nodes and schools of the configuration, proposed by whichever node leads. They are the
//! beginning and not the truth: later only a school that is not known yet is taken from there.

use super::{MetaAnswer, MetaCommand, NewSchool, Node, NodeState};
use crate::{
    config::Config,
    raft::{
        Groups,
        types::{Answer, Command, Group, META},
    },
};
use std::{sync::Arc, time::Duration};

/// Between two attempts, while another node leads or nobody does.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Until the meta group has begun and knows the schools of this node's configuration.
pub async fn begin(groups: Arc<Groups>, config: Config) {
    let mut view = groups.view();
    let schools: Vec<NewSchool> = config
        .schools
        .iter()
        .map(|s| NewSchool { school: s.id.clone(), name: s.name.clone(), group: Some(Group(s.group)) })
        .collect();
    let node = |n: &crate::config::Node| Node {
        id: n.id,
        name: n.name.clone(),
        address: n.addr,
        state: NodeState::Active,
        replaces: None,
    };
    let nodes = config.nodes.iter().map(node).collect();
    let begin = MetaCommand::Begin { groups: config.groups, nodes, schools: schools.clone() };
    loop {
        let next = {
            let view = view.borrow_and_update();
            if view.has_begun() {
                if view.groups != config.groups {
                    tracing::warn!(
                        here = config.groups,
                        there = view.groups,
                        "the configured number of groups is wrong"
                    );
                }
                let missing = schools.iter().find(|school| !view.schools.contains_key(&school.school));
                missing.cloned().map(MetaCommand::SchoolAdd)
            } else {
                Some(begin.clone())
            }
        };
        let Some(command) = next else { return };
        if groups.leads(META) {
            match groups.propose(META, Command::Meta(command)).await {
                Ok(Answer::Meta(MetaAnswer::Refused { code, detail })) if code != "school-exists" => {
                    tracing::error!(code, "the configuration cannot be taken over: {detail}");
                    return;
                }
                Ok(_) => continue,
                Err(e) => tracing::debug!("the meta group's beginning waits: {e}"),
            }
        }
        // Either it leads later, or another node's entries arrive here.
        let _ = tokio::time::timeout(RETRY_EVERY, view.changed()).await;
    }
}
