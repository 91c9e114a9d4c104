//! The page of a box that has no certificate yet: paste the token, see the four words.
//!
//! Plain HTML in German and English, no script. It is for the people in the building: it answers to addresses of the local
//! network alone, and only under names that no stranger's web page can have (DNS rebinding would let it enrol the box into
//! another core). It ends for ever with the first join.

use super::setup::{self, Enrolled};
use crate::{serve, stop};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use schulhof_net::enrol::{EnrolError, Token, TokenError};
use schulhof_wire::enrol::code;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
};

/// A token, percent-encoded, and the name of its field.
const FORM_LEN_MAX: usize = 8 << 10;
const STYLE: &str = include_str!("page.css");

/// A box that has just joined, and under which name a browser has reached it.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub enrolled: Enrolled,
    /// Host name or address, with a port if there is one.
    pub host: String,
}

struct Page {
    identity: PathBuf,
    /// One try after the other.
    turn: Mutex<()>,
    arrived: watch::Sender<Option<Arrived>>,
}

/// Serves the page until somebody has joined the box to a core.
pub async fn until_joined(listener: TcpListener, identity: &Path) -> anyhow::Result<Arrived> {
    let page =
        Arc::new(Page { identity: identity.to_owned(), turn: Mutex::new(()), arrived: watch::Sender::new(None) });
    let (stop, stopping) = stop::channel();
    let mut arrived = page.arrived.subscribe();
    let serving = tokio::spawn(serve::serve(listener, None, router(page), stopping));
    let found = arrived.wait_for(Option::is_some).await?.clone();
    // The answer with the words is still on its way: the listener lets it finish.
    stop.stop();
    serving.await?;
    found.ok_or_else(|| anyhow::anyhow!("the page ended without a box"))
}

fn router(page: Arc<Page>) -> Router {
    let style = || async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) };
    Router::new().route("/first-run.css", get(style)).fallback(answer).with_state(page)
}

async fn answer(
    State(page): State<Arc<Page>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let language = Language::of(request.headers());
    let mut response = match host(request.headers()) {
        _ if !is_local(peer.ip()) => refuse(StatusCode::FORBIDDEN, language.only_local()),
        None => refuse(StatusCode::MISDIRECTED_REQUEST, language.by_address()),
        Some(host) => match *request.method() {
            Method::GET | Method::HEAD => form(language, None).into_response(),
            Method::POST if is_own(request.headers(), &host) => join(&page, language, host, request.into_body()).await,
            Method::POST => refuse(StatusCode::FORBIDDEN, language.by_address()),
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        },
    };
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn join(page: &Page, language: Language, host: String, body: Body) -> Response {
    let Ok(_turn) = page.turn.try_lock() else {
        return (StatusCode::TOO_MANY_REQUESTS, form(language, Some(language.busy()))).into_response();
    };
    let fail = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, form(language, Some(&why))).into_response();
    let Ok(body) = to_bytes(body, FORM_LEN_MAX).await else {
        return fail(language.explain_token(&TokenError::NotAToken));
    };
    let token = match field(&body, "token").unwrap_or_default().parse::<Token>() {
        Ok(token) => token,
        Err(error) => return fail(language.explain_token(&error)),
    };
    match setup::join(&token, &page.identity).await {
        Ok(enrolled) => {
            let response = joined(language, &enrolled);
            page.arrived.send_replace(Some(Arrived { enrolled, host }));
            response
        }
        Err(error) => {
            tracing::warn!("the box did not join: {error:#}");
            fail(language.explain(&error))
        }
    }
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], why).into_response()
}

/// Loopback, private and link-local networks (RFC 1918, 3927, 4193, 4291).
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The `Host`, if it is an address or a name that only a local network gives.
fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?.to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let local = [".local", ".lan", ".home.arpa", ".fritz.box"];
    let is_local_name = !name.contains('.') || local.iter().any(|end| name.ends_with(end));
    (host.bytes().all(plain) && !name.is_empty() && (is_address || is_local_name)).then_some(host)
}

/// Whether a form was sent from this very page.
fn is_own(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    text("sec-fetch-site").is_none_or(|site| site == "same-origin")
        && text("origin").is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

/// A field of a form (application/x-www-form-urlencoded).
fn field(body: &[u8], name: &str) -> Option<String> {
    let pair = body.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    let mut bytes = pair.iter().copied();
    let mut value = Vec::with_capacity(pair.len());
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(value).ok()
}

/// What the page says, in the browser's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    German,
    English,
}

impl Language {
    /// German, unless the browser prefers English.
    fn of(headers: &HeaderMap) -> Self {
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut first = wanted.split(',').map(|part| part.trim().to_ascii_lowercase());
        let first = first.find(|part| part.starts_with("de") || part.starts_with("en"));
        if first.is_some_and(|part| part.starts_with("en")) { Self::English } else { Self::German }
    }

    fn pick(self, german: &'static str, english: &'static str) -> &'static str {
        match self {
            Self::German => german,
            Self::English => english,
        }
    }

    fn only_local(self) -> &'static str {
        self.pick("Diese Seite gibt es nur im Netz der Schule.\n", "This page is for the school's own network only.\n")
    }

    fn by_address(self) -> &'static str {
        self.pick(
            "Bitte die Seite unter der Adresse der Box öffnen, zum Beispiel http://192.168.1.20.\n",
            "Please open this page by the box's address, such as http://192.168.1.20.\n",
        )
    }

    fn busy(self) -> &'static str {
        self.pick("Die Box meldet sich gerade schon an.", "The box is already joining.")
    }

    fn explain_token(self, error: &TokenError) -> String {
        match (self, error) {
            (Self::English, error) => format!("{error}."),
            (Self::German, TokenError::NotAToken) => "Das ist keine Einladung: sie beginnt mit schulhof-box/.".into(),
            (Self::German, TokenError::Version(_)) => "Diese Box ist zu alt für die Einladung.".into(),
            (Self::German, TokenError::Slip) => {
                "In der Einladung ist ein Schreibfehler. Bitte noch einmal kopieren.".into()
            }
            (Self::German, TokenError::Damaged(_)) => "Die Einladung ist nicht vollständig.".into(),
        }
    }

    fn explain(self, error: &anyhow::Error) -> String {
        let Some(known) = error.downcast_ref::<EnrolError>() else { return format!("{error:#}") };
        let text = match known {
            EnrolError::WrongCa(_) => self.pick(
                "Unter dieser Adresse antwortet nicht der Kern, der eingeladen hat. Die Box hat nichts verraten.",
                "Somebody else than the core that has invited answers there. The box has told nothing.",
            ),
            EnrolError::Unreachable(_) => self.pick(
                "Der Kern ist nicht erreichbar. Ist die Box mit dem Internet verbunden?",
                "The core cannot be reached. Is the box connected to the internet?",
            ),
            EnrolError::Refused { code, .. } => match code.as_str() {
                code::UNKNOWN_TOKEN => self.pick("Diese Einladung gibt es nicht.", "There is no such invitation."),
                code::USED => self.pick(
                    "Die Einladung wurde schon von einer anderen Box benutzt.",
                    "Another box has used this invitation already.",
                ),
                code::EXPIRED => self.pick(
                    "Die Einladung ist abgelaufen. Bitte eine neue anfordern.",
                    "The invitation has expired. Please ask for a new one.",
                ),
                code::REVOKED => self.pick("Die Einladung wurde zurückgezogen.", "The invitation was revoked."),
                _ => return known.to_string(),
            },
            EnrolError::Misfit(_) | EnrolError::Identity(_) => return known.to_string(),
        };
        text.to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(language: Language, content: &str) -> ([(HeaderName, &'static str); 1], String) {
    let (lang, title) = (language.pick("de", "en"), language.pick("Neue Box", "New box"));
    let page = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Schulhof: {title}</title>\n\
         <link rel=\"stylesheet\" href=\"/first-run.css\">\n<main>\n<h1>Schulhof: {title}</h1>\n{content}</main>\n</html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page)
}

fn form(language: Language, why: Option<&str>) -> ([(HeaderName, &'static str); 1], String) {
    let (label, hint, button) = (
        language.pick("Einladung", "Invitation"),
        language.pick(
            "Die Zeile, die mit schulhof-box/ beginnt. Sie gilt einen Tag lang für eine Box.",
            "The line that begins with schulhof-box/. It is for one box, for one day.",
        ),
        language.pick("Anmelden", "Join"),
    );
    let why = why.map_or_else(String::new, |why| format!("<p role=\"alert\">{}</p>\n", escaped(why)));
    let content = format!(
        "{why}<form method=\"post\" action=\"/\">\n<label for=\"token\">{label}</label>\n<p id=\"hint\">{hint}</p>\n\
         <textarea id=\"token\" name=\"token\" rows=\"5\" required autofocus spellcheck=\"false\" autocomplete=\"off\" \
         autocapitalize=\"none\" aria-describedby=\"hint\"></textarea>\n<button>{button}</button>\n</form>\n"
    );
    html(language, &content)
}

fn joined(language: Language, enrolled: &Enrolled) -> Response {
    let done = language.pick("Die Box gehört jetzt zu:", "The box now belongs to:");
    let compare = language.pick(
        "Bitte vergleichen: der Betreiber muss dieselben vier Wörter sehen. Wenn nicht, sitzt jemand dazwischen: die Box \
         ausschalten und den Betreiber anrufen.",
        "Please compare: the operator must see the same four words. If not, somebody is between: switch the box off and \
         call the operator.",
    );
    let go_on = language.pick("Zur Anmeldung", "To the sign-in");
    let mut words = String::new();
    for word in enrolled.words.split(' ') {
        words = words + "<li>" + &escaped(word) + "</li>";
    }
    let content = format!(
        "<p>{done} <strong>{}</strong> ({})</p>\n<p>{compare}</p>\n<ol>{words}</ol>\n<p><a href=\"/\">{go_on}</a></p>\n",
        escaped(enrolled.school.as_str()),
        escaped(enrolled.name.as_str())
    );
    html(language, &content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_page_is_for_the_local_network() {
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.178.20", "172.20.0.1", "169.254.3.4", "::1", "fe80::1", "fd00::5"]
        {
            assert!(is_local(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", "100.64.0.1"] {
            assert!(!is_local(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_name_that_a_strangers_page_could_have_is_not_answered() {
        let found = |text: &str| host(&headers(&[("host", text)]));
        for fine in ["192.168.1.20", "192.168.1.20:8080", "[fd00::5]:8080", "localhost:80", "schulbox", "box.local"] {
            assert_eq!(found(fine).as_deref(), Some(fine));
        }
        for foreign in ["evil.example", "evil.example:8080", "local.evil.example", "", ":80", "a\"b"] {
            assert_eq!(found(foreign), None, "{foreign}");
        }
        let own = |pairs: &[(&'static str, &str)]| is_own(&headers(pairs), "10.0.0.2:8080");
        assert!(own(&[]) && own(&[("origin", "http://10.0.0.2:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("origin", "http://evil.example")]) && !own(&[("origin", "null")]));
        assert!(!own(&[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_pasted_token_comes_out_of_the_form() {
        let body = b"x=1&token=schulhof-box%2F1%2Fhost%3A7101+%0D%0Aend&y=%";
        assert_eq!(field(body, "token").as_deref(), Some("schulhof-box/1/host:7101 \r\nend"));
        assert_eq!(field(body, "y"), None);
        assert_eq!(field(b"token=%zz", "token"), None);
        assert_eq!(field(b"", "token"), None);
    }

    #[test]
    fn the_browsers_first_language_counts() {
        let of = |text: &str| Language::of(&headers(&[("accept-language", text)]));
        assert_eq!(of("fr, en-GB;q=0.8, de;q=0.7"), Language::English);
        assert_eq!(of("de-DE,de;q=0.9,en;q=0.8"), Language::German);
        assert_eq!(Language::of(&HeaderMap::new()), Language::German);
        let (_, page) = form(Language::English, Some("<b>"));
        assert!(page.contains("lang=\"en\"") && page.contains("&lt;b&gt;") && !page.contains("<script"));
    }
}
