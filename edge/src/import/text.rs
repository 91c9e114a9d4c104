//! Which encoding a file is in. Schools' programs write UTF-8, ISO 8859-15 and Windows-1252, and none of them says which.

use super::Problems;
use encoding_rs::{Encoding, ISO_8859_15, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Characters and the encoding's name.
pub fn decode(bytes: &[u8], problems: &mut Problems) -> (String, &'static str) {
    let (encoding, name) = detect(bytes);
    let (text, _, _) = encoding.decode(bytes);
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        problems.add((line, 0), "not-text", "");
        return (String::new(), name);
    }
    (text.into_owned(), name)
}

/// A byte order mark decides; else what is valid UTF-8 is that, since text in the other two hardly ever is. Windows-1252 has
/// letters and dashes where ISO 8859-15 has control characters, which nobody writes.
fn detect(bytes: &[u8]) -> (&'static Encoding, &'static str) {
    match Encoding::for_bom(bytes) {
        Some((encoding, _)) if encoding == UTF_16LE || encoding == UTF_16BE => return (encoding, "utf-16"),
        Some(_) => return (UTF_8, "utf-8"),
        None => {}
    }
    if std::str::from_utf8(bytes).is_ok() {
        (UTF_8, "utf-8")
    } else if bytes.iter().any(|byte| (0x80..0xa0).contains(byte)) {
        (WINDOWS_1252, "windows-1252")
    } else {
        (ISO_8859_15, "iso-8859-15")
    }
}
