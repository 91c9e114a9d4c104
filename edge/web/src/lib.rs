//! The browser client as files in the binary: what `vite build` made of the Svelte sources beside this crate.
//!
//! Place: a leaf; only the box (`edge`) serves it. It must not know HTTP: the door sets headers and picks the encoding.
//! The sources are in `src/protocol` (messages, HTTP, WebSocket), `src/session` (what a signed-in person has, no DOM) and
//! `src/ui` (components); `build.rs` says how they get here.

/// One embedded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    pub bytes: &'static [u8],
    /// The same, compressed (RFC 1952), where that is smaller: for clients that accept `gzip`.
    pub gzip: Option<&'static [u8]>,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `ETag`, with its quotes. With `gzip` add nothing: send `Vary: Accept-Encoding`.
    pub etag: &'static str,
    /// The name holds a hash of the content: may be cached for ever.
    pub immutable: bool,
}

/// Path and file, sorted by path.
type Table = &'static [(&'static str, Asset)];

const TABLE: Table = include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The file of a URL path, such as `/assets/app-1a2b3c.js`. The empty path and `/` are `index.html`; any other path
/// that is not a file is `None` (the door then decides whether it is a page of the app).
pub fn asset(path: &str) -> Option<Asset> {
    let name = path.strip_prefix('/').unwrap_or(path);
    let name = if name.is_empty() { "index.html" } else { name };
    let found = TABLE.binary_search_by_key(&name, |(path, _)| *path).ok()?;
    Some(TABLE[found].1)
}

/// Every path, without the leading slash, in order.
pub fn paths() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(path, _)| *path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_extension(path: &str, extension: &str) -> bool {
        path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
    }

    #[test]
    fn the_root_is_the_app_and_is_never_cached_for_ever() {
        let root = asset("/").expect("index.html is embedded");
        assert_eq!(root, asset("").unwrap());
        assert_eq!(root, asset("/index.html").unwrap());
        assert_eq!(root.content_type, "text/html; charset=utf-8");
        assert!(!root.immutable);
    }

    #[test]
    fn everything_that_the_app_names_is_embedded_and_no_style_or_script_stands_inline() {
        let root = std::str::from_utf8(asset("/").unwrap().bytes).unwrap();
        let named: Vec<&str> =
            root.split('"').filter(|text| text.starts_with('/') && text.len() > 1 && text.contains('.')).collect();
        assert!(named.iter().any(|path| has_extension(path, "js")), "no script in {root}");
        assert!(named.iter().any(|path| has_extension(path, "css")), "no style in {root}");
        for path in named {
            assert!(asset(path).is_some(), "{path} is named, but not embedded");
        }
        assert!(!root.contains("<style") && !root.contains(" style="), "inline style");
        for script in root.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "inline script");
        }
    }

    #[test]
    fn the_first_page_stays_small() {
        /// Compressed; on a shared, slow line of a school each 10 KB are felt.
        const SCRIPTS_LEN_MAX: usize = 60 * 1024;
        let root = std::str::from_utf8(asset("/").unwrap().bytes).unwrap();
        let scripts = root.split('"').filter(|text| text.starts_with('/') && has_extension(text, "js"));
        let files: Vec<Asset> = scripts.map(|path| asset(path).unwrap()).collect();
        let len: usize = files.iter().map(|file| file.gzip.unwrap_or(file.bytes).len()).sum();
        assert!(files.len() > 1 && len <= SCRIPTS_LEN_MAX, "{len} bytes of scripts in {} files", files.len());
    }

    #[test]
    fn hashed_files_are_immutable_and_unknown_paths_are_not_found() {
        assert!(paths().filter(|path| path.starts_with("assets/")).count() > 2);
        for path in paths() {
            assert_eq!(asset(path).unwrap().immutable, path.starts_with("assets/"), "{path}");
        }
        assert_eq!(asset("/assets/../index.html"), None);
        assert_eq!(asset("/rooms/5a"), None);
    }

    #[test]
    fn nothing_of_the_development_mock_is_embedded() {
        for path in paths() {
            let bytes = asset(path).unwrap().bytes;
            assert!(!bytes.windows(13).any(|window| window == b"schulhof-mock"), "{path} holds the mock");
        }
    }
}
