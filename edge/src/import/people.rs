//! Rows of a list as people: names, classes, logins, each within the limits of the school's rules.

use super::{
    Problems,
    columns::Columns,
    table::{Row, Table},
};
use schulhof_school::{
    Role,
    op::{NAME_LEN_MAX, RECORD_LEN_MAX},
};
use schulhof_wire::import::ListField;
use std::collections::BTreeMap;

/// Longest login; longer names are cut.
const LOGIN_LEN_MAX: usize = 40;
/// Most classes of one person.
const CLASSES_MAX: usize = 50;
/// Begins the record of somebody whose list has no numbers.
const BY_NAME: &str = "name:";

/// Somebody in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub line: usize,
    /// The same in every list. Without a column for it: the name.
    pub record: String,
    pub name: String,
    pub role: Role,
    pub classes: Vec<String>,
    /// What the list says, or what can be made of the name.
    pub login: Login,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Given(String),
    /// May get a number behind it.
    Made(String),
}

pub fn read(table: &Table, columns: &Columns, role: Role, problems: &mut Problems) -> Vec<Listed> {
    let mut people = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for row in &table.rows {
        let Some(listed) = person(row, columns, role, problems) else { continue };
        if let Some(before) = lines.insert(listed.record.clone(), row.line) {
            let column = columns.of(ListField::Record).map_or(0, |column| column + 1);
            problems.add((row.line, column), "twice", &format!("{} ({before})", listed.record));
            continue;
        }
        people.push(listed);
    }
    if people.is_empty() && problems.is_empty() {
        problems.add((0, 0), "no-header", "");
    }
    people
}

/// A row, by what its columns say.
struct Fields<'a> {
    row: &'a Row,
    columns: &'a Columns,
}

/// Line and column.
type At = (usize, usize);

impl<'a> Fields<'a> {
    fn get(&self, field: ListField) -> Option<(&'a str, At)> {
        let column = self.columns.of(field)?;
        Some((self.row.fields[column].trim(), (self.row.line, column + 1)))
    }
}

/// Nothing if the row has a problem.
fn person(row: &Row, columns: &Columns, role: Role, problems: &mut Problems) -> Option<Listed> {
    let fields = Fields { row, columns };
    let (name, at) = name(&fields, problems)?;
    Some(Listed {
        line: row.line,
        record: record(&fields, &name, problems)?,
        role: listed_role(&fields, role, problems)?,
        classes: match fields.get(ListField::Class) {
            Some((text, at)) => classes(text, at, problems)?,
            None => Vec::new(),
        },
        login: login(&fields, &name, at, problems)?,
        name,
    })
}

fn name(fields: &Fields<'_>, problems: &mut Problems) -> Option<(String, At)> {
    let halves = fields.get(ListField::FirstName).zip(fields.get(ListField::LastName));
    let (name, at) = match (halves, fields.get(ListField::Name)) {
        (Some(((first, at), (last, at_last))), _) => {
            if let Some((_, at)) = [(first, at), (last, at_last)].into_iter().find(|(half, _)| half.is_empty()) {
                problems.add(at, "empty-field", "");
                return None;
            }
            (format!("{first} {last}"), at_last)
        }
        (None, Some((name, at))) => (name.to_owned(), at),
        // Said once, of the header.
        (None, None) => return None,
    };
    if name.is_empty() {
        problems.add(at, "empty-field", "");
        return None;
    }
    if name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        problems.add(at, "bad-name", &name);
        return None;
    }
    Some((name, at))
}

fn record(fields: &Fields<'_>, name: &str, problems: &mut Problems) -> Option<String> {
    let Some((record, at)) = fields.get(ListField::Record) else { return Some(by_name(name)) };
    if record.is_empty() {
        problems.add(at, "empty-field", "");
        None
    } else if record.len() > RECORD_LEN_MAX || record.chars().any(char::is_control) {
        problems.add(at, "too-long", record);
        None
    } else {
        Some(record.to_owned())
    }
}

fn listed_role(fields: &Fields<'_>, otherwise: Role, problems: &mut Problems) -> Option<Role> {
    let Some((text, at)) = fields.get(ListField::Role).filter(|(text, _)| !text.is_empty()) else {
        return Some(otherwise);
    };
    let role = known_role(text);
    if role.is_none() {
        problems.add(at, "bad-role", text);
    }
    role
}

/// The given one, or one of the name, which stands at `at`.
fn login(fields: &Fields<'_>, name: &str, at: At, problems: &mut Problems) -> Option<Login> {
    if let Some((given, at)) = fields.get(ListField::Login).filter(|(given, _)| !given.is_empty()) {
        let given = given.to_lowercase();
        if schulhof_school::rule_of_login(&given).is_err() {
            problems.add(at, "bad-login", &given);
            return None;
        }
        return Some(Login::Given(given));
    }
    let made = match fields.get(ListField::FirstName).zip(fields.get(ListField::LastName)) {
        Some(((first, _), (last, _))) => login_of(first, last),
        None => login_of(name.split(' ').next().unwrap_or_default(), name.rsplit(' ').next().unwrap_or_default()),
    };
    if schulhof_school::rule_of_login(&made).is_err() {
        problems.add(at, "bad-login", name);
        return None;
    }
    Some(Login::Made(made))
}

fn classes(text: &str, at: At, problems: &mut Problems) -> Option<Vec<String>> {
    let mut classes: Vec<String> = Vec::new();
    for class in text.split(['~', ',', '|']).map(str::trim).filter(|class| !class.is_empty()) {
        if class.chars().count() > NAME_LEN_MAX || class.chars().any(char::is_control) || classes.len() == CLASSES_MAX {
            problems.add(at, "too-long", class);
            return None;
        }
        if !classes.iter().any(|known| same_name(known, class)) {
            classes.push(class.to_owned());
        }
    }
    Some(classes)
}

/// Names that people take for the same: whatever their case and spaces.
pub fn same_name(a: &str, b: &str) -> bool {
    key_of(a) == key_of(b)
}

/// What names that are the same have in common.
pub fn key_of(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect()
}

/// A record of a list without numbers.
fn by_name(name: &str) -> String {
    let key = format!("{BY_NAME}{}", key_of(name));
    // Long names are told apart by what their ends are.
    if key.len() <= RECORD_LEN_MAX { key } else { format!("{BY_NAME}{}", &blake3::hash(key.as_bytes()).to_hex()[..32]) }
}

/// Whether a record comes from a list without numbers.
pub fn is_by_name(record: &str) -> bool {
    record.starts_with(BY_NAME)
}

fn known_role(text: &str) -> Option<Role> {
    match fold(text).as_str() {
        "schueler" | "schuelerin" | "schueler/in" | "schueler:in" | "s" | "pupil" | "student" => Some(Role::Pupil),
        "lehrer" | "lehrerin" | "lehrkraft" | "lehrer/in" | "lehrer:in" | "l" | "teacher" => Some(Role::Teacher),
        "admin" | "administrator" | "administratorin" => Some(Role::Admin),
        _ => None,
    }
}

/// `vorname.nachname`, of the first first name.
fn login_of(first: &str, last: &str) -> String {
    let first = first.split([' ', '-']).next().unwrap_or_default();
    let part = |name: &str| -> String {
        let kept = fold(name).replace(' ', "-");
        let kept: String = kept.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        kept.trim_matches('-').to_owned()
    };
    let (first, last) = (part(first), part(last));
    let mut login = if first.is_empty() || last.is_empty() { first + &last } else { format!("{first}.{last}") };
    login.truncate(LOGIN_LEN_MAX);
    login.trim_end_matches(['.', '-']).to_owned()
}

/// Lower case, and letters without their marks: umlauts as German writes them out, others as their base letter.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        let plain = match c {
            'ä' | 'æ' => "ae",
            'ö' | 'ø' | 'œ' => "oe",
            'ü' => "ue",
            'ß' => "ss",
            'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
            'ç' | 'ć' | 'č' | 'ċ' | 'ĉ' => "c",
            'ď' | 'đ' | 'ð' => "d",
            'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
            'ğ' | 'ģ' | 'ġ' => "g",
            'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' | 'į' => "i",
            'ł' | 'ľ' | 'ĺ' | 'ļ' => "l",
            'ñ' | 'ń' | 'ň' | 'ņ' => "n",
            'ò' | 'ó' | 'ô' | 'õ' | 'ō' | 'ő' => "o",
            'ř' | 'ŕ' => "r",
            'ś' | 'š' | 'ş' | 'ș' => "s",
            'ť' | 'ţ' | 'ț' => "t",
            'þ' => "th",
            'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
            'ý' | 'ÿ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            // What `to_lowercase` leaves of a Turkish capital.
            '\u{307}' => "",
            other => {
                folded.push(other);
                continue;
            }
        };
        folded.push_str(plain);
    }
    folded
}
