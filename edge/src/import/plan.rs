//! What a list would change in the school: for people to look at, and as changes to apply.
//!
//! Pure: from the same list and the same school comes the same plan, so that it can be made again before it is applied, to see
//! whether anything has changed meanwhile.

use super::{
    List, Problems,
    people::{self, Listed, Login},
};
use schulhof_school::{GroupKind, PeopleChange, Role, view::Enrolled};
use schulhof_wire::{
    AccountId, DeviceId, GroupId,
    import::{ChangedPerson, ImportPlan, Leaver, NewPerson},
};
use std::collections::{BTreeMap, BTreeSet};

/// The school as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct School {
    pub people: BTreeMap<AccountId, Enrolled>,
    /// Who the records of this list's source are.
    pub identities: BTreeMap<String, AccountId>,
    /// Classes, courses and others, with their names.
    pub groups: BTreeMap<GroupId, (String, GroupKind)>,
    /// Names of rooms, which new groups must not have.
    pub rooms: BTreeSet<String>,
    /// Who asks: nobody locks the own account.
    pub asking: Option<AccountId>,
}

/// A plan, and what it does. New accounts have no password yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub view: ImportPlan,
    pub changes: Vec<PeopleChange>,
}

/// The source's name: pupils and teachers come in lists of their own.
pub fn source(role: Role) -> DeviceId {
    let name = match role {
        Role::Pupil => "list:pupils",
        Role::Teacher => "list:teachers",
        Role::Admin => "list:admins",
    };
    DeviceId::new(name).expect("letters and a colon")
}

pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Pupil => "pupil",
        Role::Teacher => "teacher",
        Role::Admin => "admin",
    }
}

/// Compares list and school.
pub fn make(import: &DeviceId, source: &DeviceId, list: List, school: &School) -> Plan {
    let List { format, people, has_classes, has_records, mut problems } = list;
    // Everybody would have left, and somebody new come by the same name.
    if !has_records && school.identities.keys().any(|record| !people::is_by_name(record)) {
        problems.add((1, 0), "missing-column", "Nummer");
    }
    let mut planning = Planning::new(source, school, problems);
    let mut unchanged = 0;
    let mut listed_accounts = BTreeSet::new();
    for listed in &people {
        match school.identities.get(&listed.record).and_then(|account| school.people.get(account)) {
            Some(known) => {
                listed_accounts.insert(known.account.account.clone());
                if !planning.known(listed, known, has_classes) {
                    unchanged += 1;
                }
            }
            None => planning.new_person(listed, has_classes),
        }
    }
    // A list with problems may lack people for no other reason.
    if planning.problems.is_empty() {
        planning.leavers(&listed_accounts);
    }
    let changes = planning.finish();
    let view = ImportPlan {
        import: import.clone(),
        format,
        rows: people.len(),
        new_groups: planning.new_groups.into_values().map(|(_, name)| name).collect(),
        new_people: planning.new_people,
        changed: planning.changed,
        leavers: planning.leavers,
        unchanged,
        problems: planning.problems.into_inner(),
    };
    Plan { view, changes }
}

struct Planning<'a> {
    source: &'a DeviceId,
    school: &'a School,
    problems: Problems,
    /// Classes by what names that are the same have in common.
    classes: BTreeMap<String, GroupId>,
    logins: BTreeSet<String>,
    /// By the key of the name: identifier and name.
    new_groups: BTreeMap<String, (GroupId, String)>,
    new_people: Vec<NewPerson>,
    changed: Vec<ChangedPerson>,
    leavers: Vec<Leaver>,
    accounts: Vec<PeopleChange>,
    joins: BTreeMap<GroupId, Vec<AccountId>>,
    leaves: BTreeMap<GroupId, Vec<AccountId>>,
}

impl<'a> Planning<'a> {
    fn new(source: &'a DeviceId, school: &'a School, problems: Problems) -> Self {
        let classes = school.groups.iter().filter(|(_, (_, kind))| *kind == GroupKind::Class);
        let by_name = |(group, (name, _)): (&GroupId, &(String, GroupKind))| (people::key_of(name), group.clone());
        // A list says "7a" where the class is called "Klasse 7a".
        let by_id = |(group, _): (&GroupId, &(String, GroupKind))| (people::key_of(group.as_str()), group.clone());
        let classes = classes.clone().map(by_id).chain(classes.map(by_name)).collect();
        Self {
            source,
            school,
            problems,
            classes,
            logins: school.people.values().map(|known| known.account.login.clone()).collect(),
            new_groups: BTreeMap::new(),
            new_people: Vec::new(),
            changed: Vec::new(),
            leavers: Vec::new(),
            accounts: Vec::new(),
            joins: BTreeMap::new(),
            leaves: BTreeMap::new(),
        }
    }

    fn new_person(&mut self, listed: &Listed, has_classes: bool) {
        let Some(login) = self.free_login(listed) else { return };
        let account = self.account(&listed.record);
        let classes = if has_classes { self.join(&account, &listed.classes, &[]) } else { Vec::new() };
        self.accounts.push(PeopleChange::Account {
            account: account.clone(),
            source: self.source.clone(),
            record: listed.record.clone(),
            login: login.clone(),
            name: listed.name.clone(),
            role: listed.role,
            password: String::new(),
        });
        let (name, role) = (listed.name.clone(), role_name(listed.role).to_owned());
        self.new_people.push(NewPerson { account, name, login, role, classes });
    }

    fn free_login(&mut self, listed: &Listed) -> Option<String> {
        let login = match &listed.login {
            Login::Given(login) if self.logins.contains(login) => {
                self.problems.add((listed.line, 0), "login-taken", login);
                return None;
            }
            Login::Given(login) => login.clone(),
            Login::Made(login) => {
                let numbered = (2..).map(|n| format!("{login}{n}"));
                let mut tried = std::iter::once(login.clone()).chain(numbered);
                tried.find(|login| !self.logins.contains(login)).expect("numbers do not end")
            }
        };
        self.logins.insert(login.clone());
        Some(login)
    }

    /// The same record of the same source has the same account on whichever box it is planned; another one if somebody has it.
    fn account(&self, record: &str) -> AccountId {
        let mut named = (0..).map(|n: u32| {
            let hash = blake3::hash(format!("{}\n{record}\n{n}", self.source).as_bytes()).to_hex();
            AccountId::new(format!("p-{}", &hash[..20])).expect("hexadecimal")
        });
        let free = |account: &AccountId| !self.school.people.contains_key(account);
        named.find(free).expect("hashes do not end")
    }

    /// Whether anything changes about somebody who is known.
    fn known(&mut self, listed: &Listed, known: &Enrolled, has_classes: bool) -> bool {
        let account = known.account.account.clone();
        let own = self.school.asking.as_ref() == Some(&account);
        let mut changed = ChangedPerson {
            account: account.clone(),
            name: listed.name.clone(),
            name_before: None,
            role: None,
            joins: Vec::new(),
            leaves: Vec::new(),
            returns: false,
        };
        if known.account.name != listed.name {
            changed.name_before = Some(known.account.name.clone());
            self.accounts.push(PeopleChange::Name { account: account.clone(), name: listed.name.clone() });
        }
        if known.account.role != listed.role && !own {
            changed.role = Some(role_name(listed.role).to_owned());
            self.accounts.push(PeopleChange::Role { account: account.clone(), role: listed.role });
        }
        if known.account.locked && !own {
            changed.returns = true;
            self.accounts.push(PeopleChange::Lock { account: account.clone(), locked: false });
        }
        if has_classes {
            changed.joins = self.join(&account, &listed.classes, &known.groups);
            changed.leaves = self.leave(&account, &listed.classes, &known.groups);
        }
        let any = changed.name_before.is_some()
            || changed.role.is_some()
            || changed.returns
            || !(changed.joins.is_empty() && changed.leaves.is_empty());
        if any {
            self.changed.push(changed);
        }
        any
    }

    /// Joins classes in which the account is not yet; their names.
    fn join(&mut self, account: &AccountId, classes: &[String], of: &[GroupId]) -> Vec<String> {
        let mut joined = Vec::new();
        for class in classes {
            let (group, name) = self.class(class);
            if !of.contains(&group) {
                self.joins.entry(group).or_default().push(account.clone());
                joined.push(name);
            }
        }
        joined
    }

    /// Leaves classes that the list does not say. Courses and other groups are not the list's business.
    fn leave(&mut self, account: &AccountId, classes: &[String], of: &[GroupId]) -> Vec<String> {
        let stays: BTreeSet<GroupId> = classes.iter().map(|class| self.class(class).0).collect();
        let mut left = Vec::new();
        for group in of {
            if let Some((name, GroupKind::Class)) = self.school.groups.get(group)
                && !stays.contains(group)
            {
                self.leaves.entry(group.clone()).or_default().push(account.clone());
                left.push(name.clone());
            }
        }
        left
    }

    /// A class by its name, made if there is none; and how it is called.
    fn class(&mut self, name: &str) -> (GroupId, String) {
        let key = people::key_of(name);
        if let Some(group) = self.classes.get(&key) {
            let called = self.school.groups.get(group).map_or(name, |(name, _)| name);
            return (group.clone(), called.to_owned());
        }
        if let Some(made) = self.new_groups.get(&key) {
            return made.clone();
        }
        let kept: String = people::fold(name).chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        let plain = if kept.is_empty() { "klasse".to_owned() } else { kept };
        let numbered = (2..).map(|n| format!("{plain}-{n}"));
        let taken = |id: &String| {
            self.school.rooms.contains(id) || self.new_groups.values().any(|(group, _)| group.as_str() == id)
        };
        let id = std::iter::once(plain.clone()).chain(numbered).find(|id| !taken(id)).expect("numbers do not end");
        let made = (GroupId::new(id).expect("letters, digits and a dash"), name.to_owned());
        self.new_groups.insert(key, made.clone());
        made
    }

    /// Who was in this source's lists and is not any more.
    fn leavers(&mut self, listed: &BTreeSet<AccountId>) {
        for account in self.school.identities.values() {
            let Some(known) = self.school.people.get(account) else { continue };
            let stays =
                listed.contains(account) || known.account.locked || self.school.asking.as_ref() == Some(account);
            if !stays {
                self.accounts.push(PeopleChange::Lock { account: account.clone(), locked: true });
                self.leavers.push(Leaver { account: account.clone(), name: known.account.name.clone() });
            }
        }
    }

    /// All changes in the order in which they can be applied.
    fn finish(&mut self) -> Vec<PeopleChange> {
        let group = |(group, name): &(GroupId, String)| PeopleChange::Group {
            group: group.clone(),
            name: name.clone(),
            kind: GroupKind::Class,
        };
        let mut changes: Vec<PeopleChange> = self.new_groups.values().map(group).collect();
        changes.append(&mut self.accounts);
        let groups: BTreeSet<GroupId> = self.joins.keys().chain(self.leaves.keys()).cloned().collect();
        for group in groups {
            let add = self.joins.remove(&group).unwrap_or_default();
            let remove = self.leaves.remove(&group).unwrap_or_default();
            changes.push(PeopleChange::Members { group, add, remove });
        }
        changes
    }
}
