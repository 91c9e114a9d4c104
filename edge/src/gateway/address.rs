//! From the address that a request was sent to, to the school that it is for: the host of RFC 9110 section 7.2.
//!
//! Nothing else of a request is looked at: whoever may choose the address, which is the page's origin, has chosen the school.

use axum::http::{HeaderMap, Uri, header};
use schulhof_wire::SchoolId;
use std::collections::HashMap;

/// Longest host name (RFC 1035 section 3.1) with a port.
const AUTHORITY_LEN_MAX: usize = 255 + 6;

/// Hosts with their ports, in lower case.
#[derive(Debug, Default)]
pub struct Addresses(HashMap<String, SchoolId>);

impl Addresses {
    /// From origins, as the configuration has checked them.
    pub fn new<'a>(origins: impl IntoIterator<Item = (&'a str, SchoolId)>) -> Self {
        let mut found = HashMap::new();
        for (origin, school) in origins {
            let (host, usual_port) = match origin.strip_prefix("https://") {
                Some(host) => (host, ":443"),
                None => (origin.trim_start_matches("http://"), ":80"),
            };
            let host = host.to_ascii_lowercase();
            // Browsers leave the scheme's own port out, others may not.
            if let Some(bare) = host.strip_suffix(usual_port) {
                found.insert(bare.to_owned(), school.clone());
            } else if !has_port(&host) {
                found.insert(format!("{host}{usual_port}"), school.clone());
            }
            found.insert(host, school);
        }
        Self(found)
    }

    /// The school that a request is for.
    pub fn find(&self, uri: &Uri, headers: &HeaderMap) -> Option<&SchoolId> {
        // A request to a proxy names the host in its first line, which then counts (RFC 9112 section 3.2.2).
        let authority = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => single(headers)?,
        };
        if authority.len() > AUTHORITY_LEN_MAX {
            return None;
        }
        self.0.get(&authority.to_ascii_lowercase())
    }
}

/// Two hosts are one too many: whatever stands before us may have meant the other.
fn single(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

fn has_port(host: &str) -> bool {
    // Within brackets colons belong to an IPv6 address.
    host.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(origins: &[(&str, &str)], uri: &str, hosts: &[&str]) -> Option<String> {
        let addresses = Addresses::new(origins.iter().map(|(origin, id)| (*origin, id.parse().unwrap())));
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        addresses.find(&uri.parse().unwrap(), &headers).map(ToString::to_string)
    }

    const SCHOOLS: [(&str, &str); 4] = [
        ("https://nord.gateway.example", "nord"),
        ("https://sued.gateway.example:443", "sued"),
        ("http://localhost:8091", "west"),
        ("http://[::1]:8092", "ost"),
    ];

    #[test]
    fn the_host_says_which_school_it_is() {
        let at = |host| find(&SCHOOLS, "/api/session", &[host]);
        assert_eq!(at("nord.gateway.example").as_deref(), Some("nord"));
        assert_eq!(at("NORD.gateway.example:443").as_deref(), Some("nord"));
        assert_eq!(at("sued.gateway.example").as_deref(), Some("sued"));
        assert_eq!(at("localhost:8091").as_deref(), Some("west"));
        assert_eq!(at("[::1]:8092").as_deref(), Some("ost"));
    }

    #[test]
    fn what_is_no_address_of_a_school_is_none() {
        let at = |host| find(&SCHOOLS, "/api/session", &[host]);
        for host in ["gateway.example", "localhost", "localhost:8092", "nord.gateway.example.evil.example", ""] {
            assert_eq!(at(host), None, "{host}");
        }
        assert_eq!(at(&format!("{}.gateway.example", "a".repeat(300))), None);
        assert_eq!(find(&SCHOOLS, "/", &[]), None, "no host at all");
        assert_eq!(find(&SCHOOLS, "/", &["localhost:8091", "nord.gateway.example"]), None, "two hosts");
    }

    #[test]
    fn a_host_in_the_first_line_counts_before_the_header() {
        let found = find(&SCHOOLS, "http://localhost:8091/api/session", &["nord.gateway.example"]);
        assert_eq!(found.as_deref(), Some("west"));
    }
}
