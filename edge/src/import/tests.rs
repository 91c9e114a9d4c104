use super::{
    List, parts,
    plan::{self, Plan, School},
    read,
};
use schulhof_school::{GroupKind, PeopleChange, Role, view};
use schulhof_wire::{
    AccountId, DeviceId, GroupId, Hlc,
    import::{ListField, ListProblem},
};
use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = "Schülernummer;Nachname;Vorname;Klasse\r\n\
    1001;Müller;Jörg;7a\r\n\
    1002;\"von der Heide; Graf\";Zoë;7b\r\n\
    1003;Çelik;Işıl Ayşe;7a~Chor\r\n";

fn pupils(text: impl AsRef<[u8]>) -> List {
    read(text.as_ref(), Role::Pupil)
}

fn problems(text: &str) -> Vec<(usize, usize, String, String)> {
    let problem = |ListProblem { line, column, code, value }| (line, column, code, value);
    pupils(text).problems.into_inner().into_iter().map(problem).collect()
}

#[track_caller]
fn only_problem(text: &str, expected: (usize, usize, &str, &str)) {
    let (line, column, code, value) = expected;
    assert_eq!(problems(text), [(line, column, code.to_owned(), value.to_owned())]);
}

fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("an identifier")
}

fn rows(count: usize, row: impl Fn(usize) -> String) -> String {
    (0..count).map(row).collect::<Vec<_>>().concat()
}

fn latin9(text: &str) -> Vec<u8> {
    encoding_rs::ISO_8859_15.encode(text).0.into_owned()
}

fn cp1252(text: &str) -> Vec<u8> {
    encoding_rs::WINDOWS_1252.encode(text).0.into_owned()
}

#[test]
fn every_encoding_and_delimiter_gives_the_same_people() {
    let plain = LIST.replace("Işıl Ayşe", "Aischa");
    let expected = pupils(&plain).people;
    assert_eq!(expected.len(), 3);
    for delimiter in [";", ",", "\t"] {
        let text = plain.replace("; Graf", "\u{1}").replace(';', delimiter).replace('\u{1}', "; Graf");
        let with_bom = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
        // A dash and quotes that only Windows-1252 has.
        let dashed = cp1252(&text.replace("Heide", "Heide\u{2013}Wald"));
        let (utf8, bom, latin, windows) = (pupils(&text), pupils(with_bom), pupils(latin9(&text)), pupils(dashed));
        for (list, encoding) in [(utf8, "utf-8"), (bom, "utf-8"), (latin, "iso-8859-15")] {
            assert!(list.problems.is_empty(), "{:?}", list.problems);
            assert_eq!(list.format.encoding, encoding);
            assert_eq!(list.format.delimiter.to_string(), delimiter);
            assert_eq!(list.people, expected);
        }
        assert_eq!(windows.format.encoding, "windows-1252");
        assert_eq!(windows.people[1].name, "Zoë von der Heide\u{2013}Wald; Graf");
        assert_eq!(windows.people[0], expected[0]);
    }
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let list = pupils(utf16);
    assert_eq!((list.format.encoding.as_str(), &list.people), ("utf-16", &expected));
}

#[test]
fn the_euro_sign_tells_latin_9_from_what_came_before_it() {
    let list = pupils(latin9("Vorname;Nachname\nŠárka;Œuvré€\n"));
    assert_eq!(list.people[0].name, "Šárka Œuvré€");
}

#[test]
fn columns_are_recognised_by_their_headings() {
    use ListField::{Class, FirstName, LastName, Login, Name, Record, Role};
    let fields = |header: &str| -> Vec<Option<ListField>> {
        pupils(format!("{header}\n")).format.columns.into_iter().map(|column| column.field).collect()
    };
    assert_eq!(
        fields("Schüler-Nr.;Name;Vorname;Klasse;Telefon"),
        [Some(Record), Some(LastName), Some(FirstName), Some(Class), None]
    );
    assert_eq!(
        fields("sourcedId,givenName,familyName,username,role"),
        [Some(Record), Some(FirstName), Some(LastName), Some(Login), Some(Role)]
    );
    assert_eq!(fields("Name\tKlasse\tKlasse"), [Some(Name), Some(Class), None]);
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    only_problem("", (0, 0, "no-header", ""));
    only_problem("\n\n", (0, 0, "no-header", ""));
    only_problem("Vorname;Nachname\n", (0, 0, "no-header", ""));
    only_problem("Vorname;Klasse\nA;7a\n", (1, 0, "missing-column", "Nachname"));
    only_problem("Vorname;Nachname\nAnna;B\nBen\nCarl;D\n", (3, 2, "too-few-fields", ""));
    only_problem("Vorname;Nachname\nAnna;B;C\n", (2, 3, "too-few-fields", "C"));
    only_problem("Vorname;Nachname\nAnna;\"B\nCarl;D\n", (2, 2, "broken-quotes", ""));
    only_problem("Vorname;Nachname\nAnna;\"B\"x\nCarl;D\n", (2, 2, "broken-quotes", ""));
    only_problem("Vorname;Nachname\nAn\"na;B\nCarl;D\n", (2, 1, "broken-quotes", ""));
    only_problem("Vorname;Nachname\nAnna;\nCarl;D\n", (2, 2, "empty-field", ""));
    only_problem("ID;Vorname;Nachname\n;Anna;B\n1;Carl;D\n", (2, 1, "empty-field", ""));
    only_problem("ID;Vorname;Nachname\n1;Anna;B\n1;Carl;D\n", (3, 1, "twice", "1 (2)"));
    assert_eq!(pupils("ID;Vorname;Nachname\n1;Anna;B\n1;Carl;D\n").people.len(), 1, "one record is one person");
    only_problem("Vorname;Nachname\nAnna;B\nanna;b\n", (3, 0, "twice", "name:annab (2)"));
    only_problem("Vorname;Nachname;Rolle\nAnna;B;Hausmeister\n", (2, 3, "bad-role", "Hausmeister"));
    only_problem("Vorname;Nachname;Login\nAnna;B;an na\n", (2, 3, "bad-login", "an na"));
    only_problem("Vorname;Nachname\n李;明\n", (2, 2, "bad-login", "李 明"));
    only_problem(&format!("Vorname;Nachname\n{};B\n", "x".repeat(130)), (2, 2, "bad-name", &"x".repeat(60)));
    only_problem(&format!("Vorname;Nachname\n{};B\n", "x".repeat(1_001)), (2, 1, "too-long", &"x".repeat(60)));
    only_problem("Vor\0name;Nachname\n", (1, 0, "not-text", ""));
}

#[test]
fn a_line_break_in_quotes_is_part_of_the_field_and_counts_as_a_line() {
    only_problem("Vorname;Nachname;Adresse\nAnna;B;\"Weg 1\nHof\"\nCarl;;x\n", (4, 2, "empty-field", ""));
    let list = pupils("Vorname;Nachname\n\"An\"\"na\";B\n\nCarl;\"D\"");
    assert!(list.problems.is_empty());
    assert_eq!((list.people[0].name.as_str(), list.people[1].line), ("An\"na B", 4));
}

#[test]
fn problems_and_rows_are_bounded() {
    let many = format!("Vorname;Nachname\n{}", "x\n".repeat(500));
    assert_eq!(problems(&many).len(), schulhof_wire::import::PROBLEMS_MAX);
    let rows = rows(20_001, |n| format!("{n};A;B{n}\n"));
    only_problem(&format!("ID;Vorname;Nachname\n{rows}"), (20_002, 0, "too-many-rows", "20000"));
}

#[test]
fn logins_are_made_of_names_in_the_alphabet_of_logins() {
    let list = pupils("Vorname;Nachname\nJörg;Müller-Lüdenscheidt\nIşıl Ayşe;Çelik\nAnne-Marie;de la Crux\nØ;Ł\n");
    let logins: Vec<_> = list.people.iter().map(|person| format!("{:?}", person.login)).collect();
    let expected = ["joerg.mueller-luedenscheidt", "isil.celik", "anne.de-la-crux", "oe.l"];
    assert_eq!(logins, expected.map(|login| format!("Made({login:?})")));
}

/// Plays the store: applies changes to what the plan looks at.
fn applied(mut school: School, changes: &[PeopleChange]) -> School {
    for change in changes {
        match change.clone() {
            PeopleChange::Account { account, record, login, name, role, .. } => {
                school.identities.insert(record, account.clone());
                let view = view::AccountView {
                    account: account.clone(),
                    login,
                    name,
                    role,
                    locked: false,
                    first_password: true,
                };
                school.people.insert(account, view::Enrolled { account: view, groups: Vec::new() });
            }
            PeopleChange::Name { account, name } => school.people.get_mut(&account).unwrap().account.name = name,
            PeopleChange::Role { account, role } => school.people.get_mut(&account).unwrap().account.role = role,
            PeopleChange::Lock { account, locked } => school.people.get_mut(&account).unwrap().account.locked = locked,
            PeopleChange::Group { group, name, kind } => {
                assert!(school.rooms.insert(group.to_string()));
                school.groups.insert(group, (name, kind));
            }
            PeopleChange::Members { group, add, remove } => {
                for account in add {
                    school.people.get_mut(&account).unwrap().groups.push(group.clone());
                }
                for account in remove {
                    school.people.get_mut(&account).unwrap().groups.retain(|of| *of != group);
                }
            }
        }
    }
    school
}

fn planned(text: &str, school: &School) -> Plan {
    let (import, source): (DeviceId, DeviceId) = (id("import:1"), plan::source(Role::Pupil));
    let plan = plan::make(&import, &source, pupils(text), school);
    assert_eq!(plan, plan::make(&import, &source, pupils(text), school), "the same again");
    plan
}

fn town() -> School {
    let class: GroupId = id("7a");
    School {
        groups: BTreeMap::from([
            (class, ("Klasse 7a".into(), GroupKind::Class)),
            (id("chor"), ("Schulchor".into(), GroupKind::Course)),
        ]),
        rooms: BTreeSet::from(["7a".into(), "chor".into(), "7b".into()]),
        ..School::default()
    }
}

#[test]
fn a_first_list_makes_accounts_and_classes_and_a_second_time_nothing() {
    let school = town();
    let plan = planned(LIST, &school);
    assert_eq!(plan.view.new_people.len(), 3);
    // "7a" is the class named "Klasse 7a"; "7b" is a room already, so the class is named otherwise.
    assert_eq!(plan.view.new_groups, ["7b", "Chor"]);
    assert_eq!(plan.view.new_people[0].classes, ["Klasse 7a"]);
    let ids: Vec<&str> = plan
        .changes
        .iter()
        .filter_map(|c| match c {
            PeopleChange::Group { group, .. } => Some(group.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["7b-2", "chor-2"]);
    let school = applied(school, &plan.changes);
    let again = planned(LIST, &school);
    assert_eq!(again.changes, []);
    assert_eq!((again.view.rows, again.view.unchanged), (3, 3));
}

#[test]
fn who_moves_marries_leaves_and_returns_is_the_same_person() {
    let school = applied(town(), &planned(LIST, &town()).changes);
    let next = "Schülernummer;Nachname;Vorname;Klasse\n1001;Meier;Jörg;8a\n1002;von der Heide; Zoë;7b\n";
    let plan = planned(next, &school);
    let changed = &plan.view.changed[0];
    assert_eq!(changed.name_before.as_deref(), Some("Jörg Müller"));
    assert_eq!(
        (changed.joins.as_slice(), changed.leaves.as_slice()),
        (&["8a".to_owned()][..], &["Klasse 7a".to_owned()][..])
    );
    assert_eq!(plan.view.leavers.len(), 1);
    assert_eq!(plan.view.new_groups, ["8a"]);
    let school = applied(school, &plan.changes);
    assert_eq!(planned(next, &school).changes, []);
    let back = planned(&LIST.replace("7a~Chor", "7a"), &school);
    assert!(back.view.changed.iter().any(|changed| changed.returns && changed.name.ends_with("Çelik")));
    assert_eq!(back.view.new_people, []);
}

#[test]
fn a_list_without_numbers_does_not_replace_one_with_numbers() {
    let school = applied(town(), &planned(LIST, &town()).changes);
    let plan = planned("Vorname;Nachname\nJörg;Müller\n", &school);
    assert_eq!((plan.view.problems[0].code.as_str(), plan.view.leavers.len()), ("missing-column", 0));
    let named = "Vorname;Nachname;Klasse\nJörg;Müller;7a\n";
    let school = applied(town(), &planned(named, &town()).changes);
    assert_eq!(planned(named, &school).changes, []);
}

#[test]
fn courses_and_lists_without_classes_leave_groups_alone() {
    let mut school = applied(town(), &planned(LIST, &town()).changes);
    for known in school.people.values_mut() {
        known.groups.push(id("chor"));
    }
    let without = planned("Schülernummer;Nachname;Vorname\n1001;Müller;Jörg\n", &school);
    assert!(without.changes.iter().all(|change| matches!(change, PeopleChange::Lock { locked: true, .. })));
    assert_eq!(without.view.leavers.len(), 2);
    assert_eq!(planned(LIST, &school).changes, []);
}

#[test]
fn logins_are_free_and_given_ones_are_kept_or_refused() {
    let list = "ID;Vorname;Nachname\n1;Anna;Bach\n2;Anna;Bach\n3;Ánna;Bach\n";
    let plan = planned(list, &School::default());
    let logins: Vec<_> = plan.view.new_people.iter().map(|person| person.login.as_str()).collect();
    assert_eq!(logins, ["anna.bach", "anna.bach2", "anna.bach3"]);
    let school = applied(School::default(), &plan.changes);
    let taken =
        planned("ID;Vorname;Nachname;Login\n1;Anna;Bach;\n2;Anna;Bach;\n3;Ánna;Bach;\n9;X;Y;anna.bach\n", &school);
    assert_eq!((taken.view.problems[0].line, taken.view.problems[0].code.as_str()), (5, "login-taken"));
    assert_eq!(taken.view.leavers, [], "a list with problems locks nobody");
}

#[test]
fn nobody_locks_or_degrades_the_own_account() {
    let mut school =
        applied(School::default(), &planned("ID;Vorname;Nachname;Rolle\n1;Ada;B;Admin\n", &School::default()).changes);
    school.asking = school.people.keys().next().cloned();
    assert_eq!(planned("ID;Vorname;Nachname\n2;Carl;D\n", &school).view.leavers, []);
    assert_eq!(planned("ID;Vorname;Nachname\n1;Ada;B\n", &school).changes, []);
}

#[test]
fn two_thousand_people_are_operations_that_fit_and_passwords_that_differ() {
    let rows = rows(2_000, |n| format!("{n};Name{n};Vorname{n};{}\n", n / 25));
    let started = std::time::Instant::now();
    let mut plan = planned(&format!("ID;Nachname;Vorname;Klasse\n{rows}"), &School::default());
    assert_eq!((plan.view.new_people.len(), plan.view.new_groups.len()), (2_000, 80));
    let passwords = parts::give_passwords(&mut plan.changes);
    let sheets = parts::sheets(&plan.view.new_people, passwords);
    eprintln!("planned and hashed in {:?}", started.elapsed());
    let different: BTreeSet<_> = sheets.iter().map(|sheet| sheet.password.clone()).collect();
    assert_eq!(different.len(), 2_000);
    assert!(different.iter().all(|password| password.len() == 14), "{different:?}");
    let by: AccountId = id("root");
    let operations = parts::operations(&plan.view.import, &by, Hlc::from_ms(1), plan.changes);
    assert!(operations.iter().all(|operation| operation.encode().len() <= 60 * 1024));
    assert!(operations.len() < 40, "{}", operations.len());
    assert!(operations.iter().enumerate().all(|(n, operation)| operation.seq.0 == n as u64 + 1));
}
