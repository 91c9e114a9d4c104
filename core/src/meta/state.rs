//! What the meta group's entries say, and the records that they lead to.
//!
//! Pure: `apply` sees the records and the command, and nothing else. Records stand behind keys that begin with their kind
//! (`n/` nodes, `s/` schools, `e/` enrolment); a value is a version byte and postcard.

use super::SCHOOLS_MAX;
use crate::{
    enrol::{self, EnrolCommand, EnrolOutcome},
    raft::types::{Epoch, Group, NodeId},
};
use schulhof_school::{Changes, Kv, KvMut, Overlay};
use schulhof_wire::{NodeName, SchoolId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, net::SocketAddr};

const VERSION: u8 = 1;
const BEGUN: &[u8] = b"begun";
const SCHOOLS: &str = "s/";
const NODES: &str = "n/";
/// Longest name of a school for operators, in bytes.
const NAME_LEN_MAX: usize = 200;

/// Stored by number: add variants at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaCommand {
    /// From the configuration, when there is nothing yet. Once there is, it changes nothing.
    Begin {
        groups: u32,
        nodes: Vec<Node>,
        schools: Vec<NewSchool>,
    },
    SchoolAdd(NewSchool),
    /// The school shall be in this group. What follows is done by whichever node leads the meta group.
    Move {
        school: SchoolId,
        to: Group,
    },
    /// The group that it moves to serves it at this epoch.
    Moved {
        school: SchoolId,
        epoch: Epoch,
    },
    /// The group that it was in before this epoch has dropped it: the move is over.
    Left {
        school: SchoolId,
        epoch: Epoch,
    },
    /// The school was loaded from a backup into the group that has it, and is served there at this epoch.
    Restored {
        school: SchoolId,
        group: Group,
        epoch: Epoch,
    },
    /// A node that is to be in all groups; when it is, the one that it replaces leaves.
    NodeAdd {
        name: NodeName,
        address: SocketAddr,
        replaces: Option<NodeName>,
    },
    NodeState {
        id: NodeId,
        state: NodeState,
    },
    /// Invitations, boxes and the CA.
    Enrol(EnrolCommand),
}

/// What became of a command. `code` is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaAnswer {
    Done,
    School(School),
    Node(Node),
    Refused { code: String, detail: String },
    Enrol(EnrolOutcome),
}

fn refused(code: &str, detail: impl Into<String>) -> MetaAnswer {
    MetaAnswer::Refused { code: code.into(), detail: detail.into() }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSchool {
    pub school: SchoolId,
    pub name: Option<String>,
    /// None: the one with the fewest schools.
    pub group: Option<Group>,
}

/// Where a school is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct School {
    pub name: Option<String>,
    pub group: Group,
    pub epoch: Epoch,
    pub moving: Option<Moving>,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moving {
    /// It shall be in this group at the next epoch.
    To { group: Group },
    /// It was in this group at the epoch before, which may still hold it.
    From { group: Group },
}

/// A core node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: NodeName,
    pub address: SocketAddr,
    pub state: NodeState,
    /// Whom it replaces.
    pub replaces: Option<NodeId>,
}

/// What is wanted of a node. Add variants at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It is to vote in all groups, and does not in all yet.
    Joining,
    Active,
    /// It votes and leads nothing.
    Draining,
    /// It is to be in no group.
    Leaving,
    /// It is in none. Its number is never used again.
    Gone,
}

impl NodeState {
    /// Whether it shall be in the groups.
    pub fn is_member(self) -> bool {
        matches!(self, Self::Joining | Self::Active | Self::Draining)
    }

    fn may_become(self, next: Self) -> bool {
        use NodeState::{Active, Draining, Gone, Joining, Leaving};
        matches!((self, next), (Joining | Draining, Active | Leaving) | (Active, Draining | Leaving) | (Leaving, Gone))
    }
}

/// Takes one command. All replicas come to the same records and the same answer.
pub fn apply(kv: &mut dyn KvMut, command: &MetaCommand) -> MetaAnswer {
    match command {
        MetaCommand::Begin { groups, nodes, schools } => {
            if groups_of(kv).is_some() {
                return MetaAnswer::Done;
            }
            put(kv, BEGUN, groups);
            for node in nodes {
                put_node(kv, node);
            }
            for school in schools {
                if let refused @ MetaAnswer::Refused { .. } = add_school(kv, school) {
                    return refused;
                }
            }
            MetaAnswer::Done
        }
        MetaCommand::SchoolAdd(school) => add_school(kv, school),
        MetaCommand::NodeAdd { name, address, replaces } => add_node(kv, name, *address, replaces.as_ref()),
        MetaCommand::NodeState { id, state } => set_node(kv, *id, *state),
        MetaCommand::Move { school, to } => move_school(kv, school, *to),
        MetaCommand::Moved { school, epoch } => change(kv, school, |found| match found.moving {
            Some(Moving::To { group }) if found.epoch.next() == *epoch => {
                let moving = Some(Moving::From { group: found.group });
                Some(School { group, epoch: *epoch, moving, ..found })
            }
            _ => None,
        }),
        MetaCommand::Left { school, epoch } => change(kv, school, |found| match found.moving {
            Some(Moving::From { .. }) if found.epoch == *epoch => Some(School { moving: None, ..found }),
            _ => None,
        }),
        MetaCommand::Restored { school, group, epoch } => restored(kv, school, *group, *epoch),
        MetaCommand::Enrol(command) => MetaAnswer::Enrol(enrol::apply(kv, command)),
    }
}

/// What [`apply`] would answer; nothing is changed.
pub fn try_out(kv: &dyn Kv, command: &MetaCommand) -> MetaAnswer {
    let mut changes = Changes::default();
    apply(&mut Overlay { base: kv, changes: &mut changes }, command)
}

fn add_school(kv: &mut dyn KvMut, new: &NewSchool) -> MetaAnswer {
    let Some(groups) = groups_of(kv) else { return refused("not-begun", "the meta group has not begun") };
    let at = key(SCHOOLS, new.school.as_str());
    if get::<School>(kv, &at).is_some() {
        return refused("school-exists", format!("{} is there already", new.school));
    }
    if new.name.as_ref().is_some_and(|name| name.len() > NAME_LEN_MAX) {
        return refused("name-too-long", format!("a name has at most {NAME_LEN_MAX} bytes"));
    }
    let mut counts: BTreeMap<Group, usize> = (1..=groups).map(|group| (Group(group), 0)).collect();
    let schools = all::<School>(kv, SCHOOLS);
    if schools.len() >= SCHOOLS_MAX {
        return refused("too-many-schools", format!("a core has at most {SCHOOLS_MAX} schools"));
    }
    for (_, school) in schools {
        *counts.entry(school.group).or_default() += 1;
    }
    let least = counts.iter().min_by_key(|(group, count)| (**count, **group)).map(|(group, _)| *group);
    let group = match new.group {
        Some(group) if !counts.contains_key(&group) => {
            return refused("unknown-group", format!("data groups are 1 to {groups}, not {group}"));
        }
        Some(group) => group,
        None => least.unwrap_or(Group(1)),
    };
    let school = School { name: new.name.clone(), group, epoch: Epoch::FIRST, moving: None };
    put(kv, &at, &school);
    MetaAnswer::School(school)
}

fn move_school(kv: &mut dyn KvMut, school: &SchoolId, to: Group) -> MetaAnswer {
    let groups = groups_of(kv).unwrap_or(0);
    if !(1..=groups).contains(&to.0) {
        return refused("unknown-group", format!("data groups are 1 to {groups}, not {to}"));
    }
    match get::<School>(kv, &key(SCHOOLS, school.as_str())) {
        None => refused("unknown-school", format!("there is no school {school}")),
        Some(School { moving: Some(_), .. }) => refused("moving", format!("{school} is on its way already")),
        Some(found) if found.group == to => refused("there-already", format!("{school} is in group {to}")),
        Some(_) => change(kv, school, |found| Some(School { moving: Some(Moving::To { group: to }), ..found })),
    }
}

/// Changes a school if it is as `next` expects it.
fn change(kv: &mut dyn KvMut, school: &SchoolId, next: impl FnOnce(School) -> Option<School>) -> MetaAnswer {
    let at = key(SCHOOLS, school.as_str());
    match get::<School>(kv, &at).and_then(next) {
        Some(school) => {
            put(kv, &at, &school);
            MetaAnswer::School(school)
        }
        None => refused("not-so", format!("{school} is not at that step")),
    }
}

fn restored(kv: &mut dyn KvMut, id: &SchoolId, group: Group, epoch: Epoch) -> MetaAnswer {
    let at = key(SCHOOLS, id.as_str());
    let Some(school) = get::<School>(kv, &at) else { return refused("unknown-school", format!("{id} has no place")) };
    if school.group != group {
        return refused("moved", format!("{id} is in group {}, not {group}", school.group));
    }
    if school.moving.is_some() {
        return refused("moving", format!("{id} is on its way to or from another group"));
    }
    if epoch < school.epoch {
        return refused("epoch", format!("{id} is at epoch {}, {epoch} is over", school.epoch));
    }
    put(kv, &at, &School { epoch, ..school });
    MetaAnswer::Done
}

fn add_node(kv: &mut dyn KvMut, name: &NodeName, address: SocketAddr, replaces: Option<&NodeName>) -> MetaAnswer {
    let known = nodes(kv);
    let here = |node: &&Node| node.state != NodeState::Gone;
    if groups_of(kv).is_none() {
        return refused("not-begun", "the meta group has not begun");
    }
    if known.values().filter(here).any(|node| node.name == *name || node.address == address) {
        return refused(
            "node-exists",
            format!("a node with the name {name} or the address {address} is there already"),
        );
    }
    let replaced = match replaces {
        None => None,
        Some(old) => match known.values().filter(here).find(|node| node.name == *old) {
            Some(node) if node.state != NodeState::Leaving => Some(node.id),
            _ => return refused("unknown-node", format!("there is no core node {old} that could be replaced")),
        },
    };
    if known.values().any(|node| node.state == NodeState::Joining) {
        return refused("node-joining", "another node is joining: one after the other");
    }
    let id = known.keys().next_back().map_or(1, |last| last + 1);
    let node = Node { id, name: name.clone(), address, state: NodeState::Joining, replaces: replaced };
    put_node(kv, &node);
    MetaAnswer::Node(node)
}

fn set_node(kv: &mut dyn KvMut, id: NodeId, state: NodeState) -> MetaAnswer {
    let Some(mut node) = nodes(kv).remove(&id) else {
        return refused("unknown-node", format!("there is no core node number {id}"));
    };
    if node.state == state {
        return MetaAnswer::Node(node);
    }
    if !node.state.may_become(state) {
        let detail = format!("{} is {:?} and cannot become {state:?}", node.name, node.state);
        return refused("node-state", detail);
    }
    if state == NodeState::Active
        && let Some(old) = node.replaces.take()
    {
        set_node(kv, old, NodeState::Leaving);
    }
    node.state = state;
    put_node(kv, &node);
    MetaAnswer::Node(node)
}

fn put_node(kv: &mut dyn KvMut, node: &Node) {
    put(kv, &key(NODES, &format!("{:020}", node.id)), node);
}

fn key(kind: &str, name: &str) -> Vec<u8> {
    [kind.as_bytes(), name.as_bytes()].concat()
}

fn put(kv: &mut dyn KvMut, key: &[u8], value: &impl Serialize) {
    let bytes = postcard::to_extend(value, vec![VERSION]).expect("a record has nothing that postcard cannot encode");
    kv.put(key, &bytes);
}

/// # Panics
/// If it was written by a newer program or is damaged: going on without a school would be worse.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).expect("records of this version are what this program writes")
        }
        other => panic!("a record of the meta group has version {:?}", other.map(|(version, _)| version)),
    }
}

fn get<T: DeserializeOwned>(kv: &(impl Kv + ?Sized), key: &[u8]) -> Option<T> {
    kv.get(key).map(|bytes| decode(&bytes))
}

fn all<T: DeserializeOwned>(kv: &(impl Kv + ?Sized), kind: &str) -> Vec<(String, T)> {
    let mut found = Vec::new();
    // '/' is followed by '0'.
    let to = kind.replace('/', "0");
    kv.scan(kind.as_bytes(), to.as_bytes(), false, &mut |key, value| {
        found.push((String::from_utf8_lossy(&key[kind.len()..]).into_owned(), decode(value)));
        true
    });
    found
}

/// How many data groups there are; `None` before the beginning.
pub(super) fn groups_of(kv: &(impl Kv + ?Sized)) -> Option<u32> {
    get(kv, BEGUN)
}

pub(super) fn schools(kv: &dyn Kv) -> BTreeMap<SchoolId, School> {
    let schools = all::<School>(kv, SCHOOLS).into_iter();
    schools.filter_map(|(name, school)| Some((SchoolId::new(name).ok()?, school))).collect()
}

pub(super) fn nodes(kv: &(impl Kv + ?Sized)) -> BTreeMap<NodeId, Node> {
    all::<Node>(kv, NODES).into_iter().map(|(_, node)| (node.id, node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_school::MemoryKv;

    fn new(school: &str, group: Option<u32>) -> NewSchool {
        NewSchool { school: SchoolId::new(school).unwrap(), name: None, group: group.map(Group) }
    }

    fn begun() -> MemoryKv {
        let mut kv = MemoryKv::default();
        let node = Node {
            id: 1,
            name: NodeName::new("core-1").unwrap(),
            address: ([127, 0, 0, 1], 7101).into(),
            state: NodeState::Active,
            replaces: None,
        };
        let begin = MetaCommand::Begin { groups: 2, nodes: vec![node], schools: vec![new("nord", Some(2))] };
        assert_eq!(apply(&mut kv, &begin), MetaAnswer::Done);
        kv
    }

    #[test]
    fn a_second_beginning_changes_nothing() {
        let mut kv = begun();
        let before = kv.clone();
        let again = MetaCommand::Begin { groups: 9, nodes: Vec::new(), schools: vec![new("sued", None)] };
        assert_eq!(apply(&mut kv, &again), MetaAnswer::Done);
        assert_eq!(kv, before);
        assert_eq!((groups_of(&kv), nodes(&kv).len(), schools(&kv).len()), (Some(2), 1, 1));
    }

    #[test]
    fn a_school_goes_where_the_fewest_are_and_is_there_once() {
        let mut kv = begun();
        let mut add = |school, group| apply(&mut kv, &MetaCommand::SchoolAdd(new(school, group)));
        let at =
            |group| MetaAnswer::School(School { name: None, group: Group(group), epoch: Epoch::FIRST, moving: None });
        assert_eq!(add("sued", None), at(1));
        assert_eq!(add("west", None), at(1));
        assert_eq!(add("ost", None), at(2));
        assert_eq!(add("mitte", Some(2)), at(2));
        for (school, group, code) in [("ost", None, "school-exists"), ("neu", Some(3), "unknown-group")] {
            assert!(matches!(add(school, group), MetaAnswer::Refused { code: found, .. } if found == code), "{code}");
        }
        assert_eq!(schools(&kv).len(), 5);
    }

    #[test]
    fn a_move_goes_step_by_step_and_each_step_counts_once() {
        let mut kv = begun();
        let school = SchoolId::new("nord").unwrap();
        let mut does = |command: &MetaCommand| match apply(&mut kv, command) {
            MetaAnswer::School(School { group, epoch, moving, .. }) => Ok((group.0, epoch.0, moving)),
            MetaAnswer::Refused { code, .. } => Err(code),
            other => panic!("a school is answered, not {other:?}"),
        };
        let to = |group| MetaCommand::Move { school: school.clone(), to: Group(group) };
        let moved = |epoch| MetaCommand::Moved { school: school.clone(), epoch: Epoch(epoch) };
        let left = |epoch| MetaCommand::Left { school: school.clone(), epoch: Epoch(epoch) };
        assert_eq!(does(&to(2)), Err("there-already".into()));
        assert_eq!(does(&to(3)), Err("unknown-group".into()));
        assert_eq!(does(&moved(2)), Err("not-so".into()));
        assert_eq!(does(&to(1)), Ok((2, 1, Some(Moving::To { group: Group(1) }))));
        assert_eq!(does(&to(1)), Err("moving".into()));
        assert_eq!(does(&left(1)), Err("not-so".into()));
        assert_eq!(does(&moved(2)), Ok((1, 2, Some(Moving::From { group: Group(2) }))));
        assert_eq!(does(&moved(2)), Err("not-so".into()));
        assert_eq!(does(&to(2)), Err("moving".into()), "the old group must have dropped it first");
        assert_eq!(does(&left(2)), Ok((1, 2, None)));
        assert_eq!(does(&to(2)), Ok((1, 2, Some(Moving::To { group: Group(2) }))));
    }

    #[test]
    fn a_restored_school_goes_to_its_epoch_and_never_back() {
        let mut kv = begun();
        let nord = SchoolId::new("nord").unwrap();
        let mut restored = |school: &SchoolId, group, epoch| {
            let command = MetaCommand::Restored { school: school.clone(), group: Group(group), epoch: Epoch(epoch) };
            match apply(&mut kv, &command) {
                MetaAnswer::Refused { code, .. } => code,
                answer => format!("{answer:?}"),
            }
        };
        assert_eq!(restored(&nord, 2, 2), "Done");
        assert_eq!(restored(&nord, 2, 2), "Done", "twice is as good as once");
        assert_eq!(restored(&nord, 2, 4), "Done", "it was replaced before it was served");
        assert_eq!(restored(&nord, 2, 3), "epoch");
        assert_eq!(restored(&nord, 1, 5), "moved");
        assert_eq!(restored(&SchoolId::new("west").unwrap(), 1, 2), "unknown-school");
        assert_eq!(schools(&kv)[&nord].epoch, Epoch(4));
    }

    #[test]
    fn a_node_that_is_replaced_leaves_when_the_other_one_is_there_and_numbers_are_never_used_again() {
        let mut kv = begun();
        let name = |name: &str| NodeName::new(name).unwrap();
        let mut does = |command: &MetaCommand| match apply(&mut kv, command) {
            MetaAnswer::Node(node) => Ok((node.id, node.state)),
            MetaAnswer::Refused { code, .. } => Err(code),
            other => panic!("a node is answered, not {other:?}"),
        };
        let add = |new: &str, port: u16, replaces: Option<&str>| MetaCommand::NodeAdd {
            name: name(new),
            address: ([127, 0, 0, 1], port).into(),
            replaces: replaces.map(name),
        };
        let set = |id, state| MetaCommand::NodeState { id, state };
        assert_eq!(does(&add("core-1", 9, None)), Err("node-exists".into()));
        assert_eq!(does(&add("core-2", 7101, None)), Err("node-exists".into()));
        assert_eq!(does(&add("core-2", 7102, Some("core-9"))), Err("unknown-node".into()));
        assert_eq!(does(&add("core-2", 7102, Some("core-1"))), Ok((2, NodeState::Joining)));
        assert_eq!(does(&add("core-3", 7103, None)), Err("node-joining".into()));
        assert_eq!(does(&set(2, NodeState::Active)), Ok((2, NodeState::Active)));
        assert_eq!(does(&set(1, NodeState::Active)), Err("node-state".into()), "it is leaving by now");
        assert_eq!(does(&set(1, NodeState::Gone)), Ok((1, NodeState::Gone)));
        assert_eq!(
            does(&add("core-1", 7101, None)),
            Ok((3, NodeState::Joining)),
            "the name is free, the number is not"
        );
    }

    #[test]
    fn nothing_is_added_before_the_beginning() {
        let refusal = apply(&mut MemoryKv::default(), &MetaCommand::SchoolAdd(new("nord", None)));
        assert!(matches!(refusal, MetaAnswer::Refused { code, .. } if code == "not-begun"));
    }
}
