//! The one door to HTTP: one GET at a time with a deadline over everything (name look-up,
//! redirects, body), a cap on the body, the system's trust store and the environment's proxies.
//! Every status is an answer here; what it means is decided elsewhere. A credential goes to the
//! host it was meant for and to no other.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderValue, Uri};
use ureq::tls::{RootCerts, TlsConfig};

/// Redirects followed before giving up.
const MOST_REDIRECTS: usize = 5;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// Where.
    pub url: &'a str,
    /// Headers to send; names in lower case.
    pub headers: &'a [(&'static str, String)],
    /// Value of `authorization`, sent to the origin (scheme, host, port) of `home` only.
    pub authorization: Option<&'a str>,
    /// A URL whose origin may see the authorization.
    pub home: &'a str,
    /// From now until the last byte of the body.
    pub deadline: Duration,
    /// A longer body is an error.
    pub body_limit: u64,
}

/// What the server said, whatever the status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Where it came from after redirects.
    pub url: String,
    /// The body, whole.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl Answer {
    /// A header's value, where it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The deadline passed.
    Timeout,
    /// No connection, or it broke.
    Unreachable(String),
    /// Something answered, but not in HTTP, or with more than the limit.
    Malformed(String),
    /// The request itself cannot be made (a URL or header value that is not one).
    Unusable(String),
}

/// Asks, following redirects.
pub fn get(request: &Get<'_>) -> Result<Answer, Failure> {
    let until = Instant::now() + request.deadline;
    let mut url = request.url.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let answer = get_once(request, &url, until)?;
        match answer.status {
            301 | 302 | 303 | 307 | 308 => url = redirect_target(&answer)?,
            _ => return Ok(answer),
        }
    }
    Err(Failure::Malformed(format!("{} redirects in a circle", request.url)))
}

/// Whether two URLs have scheme, host and port in common.
pub fn same_origin(one: &str, other: &str) -> bool {
    origin(one).is_some_and(|origin_of_one| Some(origin_of_one) == origin(other))
}

fn get_once(request: &Get<'_>, url: &str, until: Instant) -> Result<Answer, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Timeout);
    }
    let mut call = agent(left).get(url);
    for (name, value) in request.headers {
        call = call.header(*name, value);
    }
    if let Some(secret) = request.authorization
        && same_origin(url, request.home)
    {
        let mut value = HeaderValue::from_str(secret)
            .map_err(|_| Failure::Unusable("the token has characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        call = call.header("authorization", value);
    }
    let mut response = call.call().map_err(|e| failure(&e))?;
    let body = response
        .body_mut()
        .with_config()
        .limit(request.body_limit)
        .read_to_vec()
        .map_err(|e| body_failure(&e, request.body_limit))?;
    Ok(Answer {
        status: response.status().as_u16(),
        url: url.to_owned(),
        headers: response.headers().clone(),
        body,
    })
}

/// Proxies come from the environment: that is the library's default.
fn agent(deadline: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(deadline))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
        .new_agent()
}

fn redirect_target(answer: &Answer) -> Result<String, Failure> {
    let missing = || Failure::Malformed(format!("{} redirects to nowhere", answer.url));
    let location = answer.header("location").ok_or_else(missing)?;
    let target = match origin(&answer.url) {
        // `//host/path` is another host with the same scheme (RFC 3986, section 4.2).
        Some((scheme, ..)) if location.starts_with("//") => format!("{scheme}:{location}"),
        Some((scheme, host, port)) if location.starts_with('/') => {
            format!("{scheme}://{host}:{port}{location}")
        }
        _ => location.to_owned(),
    };
    let (from, to) = (origin(&answer.url), origin(&target));
    match (from, to) {
        (Some(from), Some(to)) if from.0 == "https" && to.0 != "https" => {
            Err(Failure::Malformed(format!("{} redirects to an address without encryption", answer.url)))
        }
        (_, Some(_)) => Ok(target),
        (_, None) => Err(missing()),
    }
}

fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some((scheme, uri.host()?.to_ascii_lowercase(), uri.port_u16().unwrap_or(default)))
}

fn failure(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Timeout,
        ureq::Error::Io(io) if io.kind() == ErrorKind::TimedOut => Failure::Timeout,
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            Failure::Malformed(error.to_string())
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Failure::Unusable(error.to_string())
        }
        _ => Failure::Unreachable(error.to_string()),
    }
}

fn body_failure(error: &ureq::Error, limit: u64) -> Failure {
    match failure(error) {
        _ if matches!(error, ureq::Error::BodyExceedsLimit(_)) => {
            Failure::Malformed(format!("the body is longer than {limit} bytes"))
        }
        // Headers came, so somebody is there: what broke off is the body.
        Failure::Unreachable(why) => Failure::Malformed(format!("the body broke off: {why}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        for (one, other, same) in [
            ("https://a/x", "https://A:443/y?z", true),
            ("https://a/x", "http://a/x", false),
            ("https://a/x", "https://b/x", false),
            ("http://a:1/x", "http://a:2/x", false),
            ("file:///x", "file:///x", false),
            ("rubbish", "rubbish", false),
        ] {
            assert_eq!(same_origin(one, other), same, "{one} {other}");
        }
    }
}
