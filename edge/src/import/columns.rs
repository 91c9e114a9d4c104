//! Which column of a list says what: by its heading, in the words that schools' programs use.

use super::{Problems, table::Table};
use schulhof_wire::import::{ListColumn, ListField};

/// Headings, letters and digits only, in lower case.
const HEADINGS: &[(ListField, &[&str])] = &[
    (
        ListField::Record,
        &[
            "id",
            "nummer",
            "nr",
            "schuelernummer",
            "schuelernr",
            "schuelerid",
            "lehrernummer",
            "lehrerid",
            "externeid",
            "internekennung",
            "kennung",
            "recordid",
            "sourcedid",
            "importid",
            "schildid",
            "idext",
            "foreignkey",
        ],
    ),
    (ListField::FirstName, &["vorname", "rufname", "firstname", "givenname", "vornamen"]),
    (ListField::LastName, &["nachname", "familienname", "zuname", "lastname", "surname", "familyname"]),
    (ListField::Name, &["name", "vollername", "fullname", "anzeigename", "displayname"]),
    (ListField::Class, &["klasse", "klassen", "class", "classes", "stammklasse", "gruppe", "lerngruppe"]),
    (ListField::Role, &["rolle", "role", "art"]),
    (ListField::Login, &["benutzername", "anmeldename", "login", "username", "account", "benutzer"]),
];

/// Of each field: its column, from 0.
#[derive(Debug, Default)]
pub struct Columns(Vec<(ListField, usize)>);

impl Columns {
    pub fn of(&self, field: ListField) -> Option<usize> {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, column)| *column)
    }

    pub fn has_classes(&self) -> bool {
        self.of(ListField::Class).is_some()
    }

    pub fn has_records(&self) -> bool {
        self.of(ListField::Record).is_some()
    }

    /// All columns of the list, with what they were taken for.
    pub fn described(&self, table: &Table) -> Vec<ListColumn> {
        let field = |column| self.0.iter().find(|(_, known)| *known == column).map(|(field, _)| *field);
        let described = table.header.iter().enumerate();
        described.map(|(n, name)| ListColumn { name: name.trim().to_owned(), field: field(n) }).collect()
    }
}

/// Recognises the columns of a header. Without names there are no people.
pub fn recognise(table: &Table, problems: &mut Problems) -> Columns {
    if table.header.is_empty() {
        if problems.is_empty() {
            problems.add((0, 0), "no-header", "");
        }
        return Columns::default();
    }
    let mut columns = Columns::default();
    for (column, heading) in table.header.iter().enumerate() {
        let heading = plain(heading);
        let found = HEADINGS.iter().find(|(_, names)| names.contains(&heading.as_str()));
        if let Some((field, _)) = found
            // The first of two that say the same.
            && columns.of(*field).is_none()
        {
            columns.0.push((*field, column));
        }
    }
    // Beside a first name, "Name" is the last name.
    if columns.of(ListField::LastName).is_none()
        && columns.of(ListField::FirstName).is_some()
        && let Some(name) = columns.0.iter_mut().find(|(field, _)| *field == ListField::Name)
    {
        name.0 = ListField::LastName;
    }
    let whole = columns.of(ListField::Name).is_some();
    for (field, heading) in [(ListField::FirstName, "Vorname"), (ListField::LastName, "Nachname")] {
        if !whole && columns.of(field).is_none() {
            problems.add((1, 0), "missing-column", heading);
        }
    }
    columns
}

/// Letters and digits, in lower case, umlauts written out.
fn plain(heading: &str) -> String {
    super::people::fold(heading).chars().filter(char::is_ascii_alphanumeric).collect()
}
