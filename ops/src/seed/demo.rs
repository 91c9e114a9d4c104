//! Who goes to the demo schools.

use super::names;
use schulhof_school::Role;
use schulhof_wire::AccountId;
use std::collections::BTreeSet;

/// Of every demo account. These schools are for trying out, and say so.
pub const PASSWORD: &str = "schulhof";

#[derive(Debug, Clone)]
pub struct Person {
    pub account: AccountId,
    pub login: String,
    pub name: String,
    pub role: Role,
}

#[derive(Debug, Clone)]
pub struct Class {
    pub id: &'static str,
    pub name: String,
    pub pupils: Vec<Person>,
    /// Indexes into [`DemoSchool::teachers`].
    pub teachers: Vec<usize>,
    /// A first message, by the first of the teachers.
    pub welcome: &'static str,
}

#[derive(Debug, Clone)]
pub struct DemoSchool {
    pub name: &'static str,
    pub teachers: Vec<Person>,
    pub admin: Person,
    pub classes: Vec<Class>,
}

struct ClassPlan {
    id: &'static str,
    pupils: usize,
    teachers: &'static [usize],
    welcome: &'static str,
}

impl DemoSchool {
    /// The demo school of an id, if there is one.
    pub fn of(id: &str) -> Option<Self> {
        match id {
            "nord" => Some(Self::gymnasium_nord()),
            "sued" => Some(Self::grundschule_sued()),
            _ => None,
        }
    }

    fn gymnasium_nord() -> Self {
        let classes = [
            ClassPlan {
                id: "5a",
                pupils: 20,
                teachers: &[0, 1, 3],
                welcome: "Willkommen in der 5a! Hier stehen alle Nachrichten unserer Klasse.",
            },
            ClassPlan {
                id: "8b",
                pupils: 20,
                teachers: &[2, 0, 3],
                welcome: "Liebe 8b, die Materialien für morgen lade ich heute Abend hoch.",
            },
            ClassPlan {
                id: "10c",
                pupils: 20,
                teachers: &[1, 2, 3],
                welcome: "Guten Morgen, die Prüfungsvorbereitung beginnt am Montag um 8 Uhr.",
            },
        ];
        let teachers = ["Maria Weber", "Thomas Schäfer", "Ayşe Yılmaz", "Jörg Lindner"];
        Self::new("Gymnasium Nord", &teachers, "Petra Hoffmann", &classes, 0)
    }

    fn grundschule_sued() -> Self {
        let classes = [
            ClassPlan { id: "1a", pupils: 12, teachers: &[0, 1], welcome: "Herzlich willkommen in der 1a!" },
            ClassPlan {
                id: "3b",
                pupils: 12,
                teachers: &[2, 0, 1],
                welcome: "Denkt bitte an die Turnbeutel für den Wandertag.",
            },
        ];
        let teachers = ["Katrin Becker", "Stefan Vogel", "Nadja Öztürk"];
        // Other names than at Nord.
        Self::new("Grundschule Süd", &teachers, "Uwe Franke", &classes, 100)
    }

    fn new(name: &'static str, teachers: &[&str], admin: &str, plans: &[ClassPlan], first_pupil: usize) -> Self {
        let mut logins = BTreeSet::new();
        let mut person = |name: &str, role| {
            let wanted = names::login(name);
            // Two people of a name: `m.meyer`, `m.meyer2`.
            let numbered = (2..).map(|n| format!("{wanted}{n}"));
            let login = std::iter::once(wanted.clone())
                .chain(numbered)
                .find(|login| logins.insert(login.clone()))
                .expect("numbers do not run out");
            let account = AccountId::new(login.replace('.', "-")).expect("a login without dots is an identifier");
            Person { account, login, name: name.to_owned(), role }
        };
        let teachers = teachers.iter().map(|name| person(name, Role::Teacher)).collect();
        let admin = person(admin, Role::Admin);
        let mut pupils = first_pupil..;
        let classes = plans
            .iter()
            .map(|plan| Class {
                id: plan.id,
                name: format!("Klasse {}", plan.id),
                pupils: pupils.by_ref().take(plan.pupils).map(|n| person(&names::pupil(n), Role::Pupil)).collect(),
                teachers: plan.teachers.to_vec(),
                welcome: plan.welcome,
            })
            .collect();
        Self { name, teachers, admin, classes }
    }

    /// Entries of its log: its name, people, each group with its members, first messages.
    #[expect(clippy::len_without_is_empty, reason = "a school is never empty")]
    pub fn len(&self) -> usize {
        let groups = self.classes.len() + 1;
        1 + self.people().count() + 2 * groups + super::operations::messages(self).len()
    }

    /// Everybody: teachers, the admin, pupils by class.
    pub fn people(&self) -> impl Iterator<Item = &Person> {
        let staff = self.teachers.iter().chain([&self.admin]);
        staff.chain(self.classes.iter().flat_map(|class| &class.pupils))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schools_have_the_people_that_the_readme_promises() {
        let nord = DemoSchool::of("nord").unwrap();
        assert_eq!(nord.people().count(), 65);
        assert_eq!(nord.classes.iter().map(|c| c.pupils.len()).collect::<Vec<_>>(), [20, 20, 20]);
        assert_eq!(nord.teachers[0].login, "m.weber");
        let sued = DemoSchool::of("sued").unwrap();
        assert_eq!(sued.people().count(), 28);
        for school in [nord, sued] {
            for teacher in 0..school.teachers.len() {
                assert!(school.classes.iter().filter(|c| c.teachers.contains(&teacher)).count() >= 1);
            }
            let logins: BTreeSet<_> = school.people().map(|p| &p.login).collect();
            assert_eq!(logins.len(), school.people().count());
        }
    }

    #[test]
    fn every_teacher_at_nord_teaches_at_least_two_classes() {
        let nord = DemoSchool::of("nord").unwrap();
        for teacher in 0..nord.teachers.len() {
            assert!(nord.classes.iter().filter(|c| c.teachers.contains(&teacher)).count() >= 2);
        }
    }
}
