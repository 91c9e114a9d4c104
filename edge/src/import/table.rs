//! Fields of a list (RFC 4180), with whichever delimiter is in use, and where each stands.
//!
//! Own code, since the libraries for this forgive: a quote that never ends swallows the rest of a file there, and here it is an
//! error at the place where it begins.

use super::Problems;

/// Most people in a list; the largest schools have some thousand.
pub const ROWS_MAX: usize = 20_000;
/// Most rows of a file without a header: a timetable has some for each lesson.
pub const BARE_ROWS_MAX: usize = 60_000;
/// Most columns; programs export up to some eighty.
const COLUMNS_MAX: usize = 200;
/// Longest field in bytes.
const FIELD_LEN_MAX: usize = 1_000;

/// A header and rows; blank lines are left out.
#[derive(Debug, Default)]
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    /// Where it begins, from 1.
    pub line: usize,
    /// With a header as many as it has.
    pub fields: Vec<String>,
}

/// The delimiter that the first line has most of.
pub fn delimiter(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: char| {
        let mut quoted = false;
        let outside = first.chars().filter(|c| {
            quoted ^= *c == '"';
            *c == delimiter && !quoted
        });
        outside.count()
    };
    // Of equals the first: semicolons are what German programs write.
    [';', '\t', ','].into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(';')
}

/// What fields of the first line are quoted with; timetable programs let one choose.
pub fn quote(text: &str, delimiter: char) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |quote: char| first.split(delimiter).filter(|field| field.starts_with(quote)).count();
    if count('\'') > count('"') { '\'' } else { '"' }
}

/// Reads all rows of a file without a header, each with as many fields as it has.
pub fn bare(text: &str, delimiter: char, problems: &mut Problems) -> Vec<Row> {
    let mut reader = Reader { rest: text, line: 1, delimiter, quote: quote(text, delimiter) };
    let mut rows = Vec::new();
    while let Some(record) = reader.record() {
        let fields = match record.fields {
            Ok(fields) => fields,
            Err(at) => {
                problems.add(at, "broken-quotes", "");
                continue;
            }
        };
        let too_long = fields.iter().position(|field| field.len() > FIELD_LEN_MAX);
        if fields.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if let Some(column) = too_long.or_else(|| (fields.len() > COLUMNS_MAX).then_some(COLUMNS_MAX)) {
            problems.add((record.line, column + 1), "too-long", &fields[column]);
        } else if rows.len() == BARE_ROWS_MAX {
            problems.add((record.line, 0), "too-many-rows", &BARE_ROWS_MAX.to_string());
            break;
        } else {
            rows.push(Row { line: record.line, fields });
        }
    }
    rows
}

/// Reads all rows. A row with an error is left out and named.
pub fn read(text: &str, delimiter: char, problems: &mut Problems) -> Table {
    let mut reader = Reader { rest: text, line: 1, delimiter, quote: '"' };
    let mut table = Table::default();
    while let Some(record) = reader.record() {
        let fields = match record.fields {
            Ok(fields) => fields,
            Err((line, column)) => {
                problems.add((line, column), "broken-quotes", "");
                continue;
            }
        };
        if fields.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if let Some(column) = fields.iter().position(|field| field.len() > FIELD_LEN_MAX) {
            problems.add((record.line, column + 1), "too-long", &fields[column]);
        } else if table.header.is_empty() {
            if fields.len() > COLUMNS_MAX {
                problems.add((record.line, COLUMNS_MAX + 1), "too-long", &fields[COLUMNS_MAX]);
                return table;
            }
            table.header = fields;
        } else if fields.len() != table.header.len() {
            let column = fields.len().min(table.header.len()) + 1;
            problems.add((record.line, column), "too-few-fields", fields.get(column - 1).map_or("", String::as_str));
        } else if table.rows.len() == ROWS_MAX {
            problems.add((record.line, 0), "too-many-rows", &ROWS_MAX.to_string());
            return table;
        } else {
            table.rows.push(Row { line: record.line, fields });
        }
    }
    table
}

struct Reader<'a> {
    rest: &'a str,
    /// Of the next character.
    line: usize,
    delimiter: char,
    quote: char,
}

struct Record {
    line: usize,
    /// Or line and field of a quote that is not closed, or not alone.
    fields: Result<Vec<String>, (usize, usize)>,
}

impl Reader<'_> {
    fn record(&mut self) -> Option<Record> {
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            let column = fields.len() + 1;
            match self.field() {
                Ok((field, ends)) => {
                    fields.push(field);
                    if ends {
                        return Some(Record { line, fields: Ok(fields) });
                    }
                }
                Err(at) => {
                    self.skip_line();
                    return Some(Record { line, fields: Err((at, column)) });
                }
            }
        }
    }

    /// A field, and whether it was its record's last; or the line of a quote in the wrong place.
    fn field(&mut self) -> Result<(String, bool), usize> {
        if let Some(rest) = self.rest.strip_prefix(self.quote) {
            return self.quoted(rest);
        }
        let end = self.rest.find([self.delimiter, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        // An apostrophe is a part of names.
        if self.quote == '"' && field.contains('"') {
            return Err(self.line);
        }
        let field = field.to_owned();
        Ok((field, self.end(rest)))
    }

    fn quoted(&mut self, inside: &str) -> Result<(String, bool), usize> {
        let mut field = String::new();
        let mut at = 0;
        loop {
            let Some(quote) = inside[at..].find(self.quote) else { return Err(self.line) };
            field.push_str(&inside[at..at + quote]);
            at += quote + 1;
            if inside[at..].starts_with(self.quote) {
                field.push(self.quote);
                at += 1;
            } else {
                break;
            }
        }
        let after = &inside[at..];
        let closed = after.is_empty() || after.starts_with([self.delimiter, '\n', '\r']);
        if !closed {
            return Err(self.line);
        }
        let len = self.rest.len() - after.len();
        self.line += self.rest[..len].matches('\n').count();
        let rest = &self.rest[len..];
        Ok((field, self.end(rest)))
    }

    /// Goes behind a delimiter, or the end of a line; the latter ends the record.
    fn end(&mut self, rest: &str) -> bool {
        let skip = if rest.starts_with(self.delimiter) {
            self.rest = &self.rest[self.rest.len() - rest.len() + self.delimiter.len_utf8()..];
            // A delimiter at the very end has an empty field behind it, which `field` then reads.
            return false;
        } else if rest.starts_with("\r\n") {
            2
        } else {
            rest.len().min(1)
        };
        self.line += usize::from(skip > 0);
        self.rest = &self.rest[self.rest.len() - rest.len() + skip..];
        true
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        self.rest = &self.rest[end..];
        self.line += 1;
    }
}
