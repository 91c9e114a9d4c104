//! Lists of a school's people: from a file's bytes to what it would change in the school.
//!
//! What this is: pure steps, one after the other, each of which names line and column of what it cannot take. What it must not
//! do: change anything, or know of HTTP; that is `door::import`, which keeps a plan until the admin says yes.
//!
//! - [`text`]: bytes to characters
//! - [`table`]: characters to fields (RFC 4180, with the delimiters in use)
//! - [`columns`]: which column says what
//! - [`people`]: rows to people
//! - [`plan`]: people and school to changes
//! - [`parts`]: changes to operations, with first passwords
//! - [`lessons`]: files of a timetable program to lessons, and what they would change
//! - [`changes`], [`weeks`], [`duties`]: the same for substitutions, weeks of lessons and break duties
//! - [`draft`]: any of them beside what the school has

pub mod changes;
pub mod columns;
pub mod draft;
pub mod duties;
pub mod lessons;
pub mod parts;
pub mod people;
pub mod plan;
pub mod table;
pub mod text;
pub mod weeks;

use schulhof_school::Role;
use schulhof_wire::import::{ListFormat, ListProblem, PROBLEMS_MAX};

/// What is wrong with a list, bounded.
#[derive(Debug, Default)]
pub struct Problems(Vec<ListProblem>);

/// Longest value that a problem shows, in characters.
const VALUE_SHOWN_MAX: usize = 60;

impl Problems {
    pub fn add(&mut self, (line, column): (usize, usize), code: &str, value: &str) {
        if self.0.len() < PROBLEMS_MAX {
            let value = value.chars().filter(|c| !c.is_control()).take(VALUE_SHOWN_MAX).collect();
            self.0.push(ListProblem { line, column, code: code.into(), value });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_inner(self) -> Vec<ListProblem> {
        self.0
    }
}

/// A list that was read.
#[derive(Debug)]
pub struct List {
    pub format: ListFormat,
    pub people: Vec<people::Listed>,
    /// Whether the list says anything about classes; if not, they stay as they are.
    pub has_classes: bool,
    /// Whether the list says who is who by a number; if not, by the name.
    pub has_records: bool,
    pub problems: Problems,
}

/// Reads a file. `role`: of whom the list does not say one.
pub fn read(bytes: &[u8], role: Role) -> List {
    let mut problems = Problems::default();
    let (text, encoding) = text::decode(bytes, &mut problems);
    let delimiter = table::delimiter(&text);
    let table = table::read(&text, delimiter, &mut problems);
    let columns = columns::recognise(&table, &mut problems);
    let format = ListFormat { encoding: encoding.into(), delimiter, columns: columns.described(&table) };
    let people = people::read(&table, &columns, role, &mut problems);
    List { format, people, has_classes: columns.has_classes(), has_records: columns.has_records(), problems }
}

#[cfg(test)]
mod tests;
