//! A stand-in for the releases API on a port of its own choosing. It behaves as the documentation
//! of GitHub's REST API says; each rule names its page. Misbehaviour is ordered with [`Reply`].
#![allow(dead_code, reason = "each user takes its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a stand-in for tests")]

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// Status it was answered with.
    pub status: u16,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An ordered answer, instead of the documented one.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, these headers, this body.
    Plain(u16, Vec<(&'static str, String)>, String),
    /// Headers, then a byte now and then, for ever.
    Trickle,
    /// A body that never ends, as fast as it is read.
    Endless,
    /// Half of the body that was announced.
    Truncated,
    /// Takes the request and says nothing.
    Silence,
    /// Hangs up at once.
    HangUp,
    /// No HTTP at all.
    Rubbish,
}

impl Reply {
    pub fn status(code: u16) -> Self {
        Self::Plain(code, Vec::new(), "{\"message\": \"no\"}".to_owned())
    }

    pub fn body(text: &str) -> Self {
        Self::Plain(200, Vec::new(), text.to_owned())
    }

    /// The other kind of limit: 403 or 429, a message, and `retry-after` or nothing.
    /// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
    pub fn secondary_limit(status: u16, retry_after: Option<u64>) -> Self {
        let headers = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
        let message = "{\"message\": \"You have exceeded a secondary rate limit.\"}";
        Self::Plain(status, headers.into_iter().collect(), message.to_owned())
    }

    /// https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Plain(status, vec![("location", location.to_owned())], String::new())
    }
}

/// What the server knows.
#[derive(Debug, Default)]
struct State {
    releases: Vec<Value>,
    file: Option<PathBuf>,
    per_page: Option<usize>,
    /// Accepted tokens; none: every token is good.
    tokens: Vec<String>,
    /// Requests in the current span allowed to each token, or to all without one.
    quota: Option<u64>,
    used: BTreeMap<String, u64>,
    /// Length of a span, and when the current one ends (Unix seconds).
    reset_in: u64,
    reset_at: u64,
    ordered: VecDeque<Reply>,
    always: Option<Reply>,
    requests: Vec<Request>,
}

/// A running stand-in; it ends with the program or on drop.
#[derive(Debug)]
pub struct Api {
    url: String,
    state: Arc<Mutex<State>>,
    listener: TcpListener,
}

impl Api {
    /// Starts on a free port of the loopback address.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { reset_in: 3600, ..State::default() }));
        let (accepting, shared) = (listener.try_clone().unwrap(), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in accepting.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that hangs up is no fault of the server.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { url, state, listener }
    }

    /// The same, with the releases read anew from a JSON file for each request.
    pub fn serving_file(file: PathBuf) -> Self {
        let api = Self::start();
        api.state().file = Some(file);
        api
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes a release of this tag.
    pub fn release(&self, tag: &str) -> &Self {
        self.publish(json!({"tag_name": tag}))
    }

    /// Publishes a release; keys that are not given get their usual values.
    pub fn publish(&self, mut release: Value) -> &Self {
        let tag = release["tag_name"].as_str().unwrap_or_default().to_owned();
        let usual = json!({"draft": false, "prerelease": false, "published_at": "2026-11-22T12:58:00Z",
            "html_url": format!("https://example.org/releases/{tag}")});
        for (key, value) in usual.as_object().unwrap() {
            release.as_object_mut().unwrap().entry(key).or_insert_with(|| value.clone());
        }
        // The newest comes first.
        self.state().releases.insert(0, release);
        self
    }

    /// Takes a release back.
    pub fn withdraw(&self, tag: &str) -> &Self {
        self.state().releases.retain(|r| r["tag_name"] != tag);
        self
    }

    /// Answers the next request this way; several are queued.
    pub fn order(&self, reply: Reply) -> &Self {
        self.state().ordered.push_back(reply);
        self
    }

    /// Answers every request this way, until `None`.
    pub fn always(&self, reply: Option<Reply>) -> &Self {
        self.state().always = reply;
        self
    }

    pub fn accept_token(&self, token: &str) -> &Self {
        self.state().tokens.push(token.to_owned());
        self
    }

    pub fn quota(&self, limit: u64, reset_in_seconds: u64) -> &Self {
        let mut state = self.state();
        (state.quota, state.reset_in) = (Some(limit), reset_in_seconds);
        (state.reset_at, state.used) = (unix_now() + reset_in_seconds, BTreeMap::new());
        drop(state);
        self
    }

    pub fn per_page(&self, most: usize) -> &Self {
        self.state().per_page = Some(most);
        self
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (path, headers) = read_request(&mut reader)?;
    let ordered = {
        let mut state = state.lock().unwrap();
        state.ordered.pop_front().or_else(|| state.always.clone())
    };
    let (status, answer) = match ordered {
        None => documented(&mut state.lock().unwrap(), &path, &headers),
        Some(Reply::Plain(status, extra, body)) => {
            (status, respond(status, &extra.iter().map(|(n, v)| (*n, v.clone())).collect::<Vec<_>>(), &body))
        }
        Some(odd) => {
            state.lock().unwrap().requests.push(Request { path, headers, status: 0 });
            return misbehave(stream, &odd);
        }
    };
    state.lock().unwrap().requests.push(Request { path, headers, status });
    finish(stream, answer.as_bytes())
}

fn finish(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer)?;
    stream.shutdown(Shutdown::Write)
}

fn misbehave(mut stream: TcpStream, how: &Reply) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    match how {
        Reply::Trickle => {
            stream.write_all(format!("{head}content-length: 1000000\r\n\r\n[").as_bytes())?;
            loop {
                std::thread::sleep(Duration::from_millis(50));
                stream.write_all(b" ")?;
            }
        }
        Reply::Endless => {
            stream.write_all(format!("{head}\r\n[").as_bytes())?;
            let blanks = [b' '; 1 << 16];
            loop {
                stream.write_all(&blanks)?;
            }
        }
        Reply::Truncated => finish(stream, format!("{head}content-length: 1000\r\n\r\n[{{").as_bytes()),
        Reply::Silence => {
            // Until the client gives up: reading ends with its end of the connection.
            let mut reader = BufReader::new(stream);
            reader.read_until(0, &mut Vec::new()).map(drop)
        }
        Reply::Rubbish => finish(stream, b"SSH-2.0-OpenSSH_9.9\r\n"),
        Reply::HangUp | Reply::Plain(..) => Ok(()),
    }
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<(String, BTreeMap<String, String>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((path, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// What the documentation promises.
fn documented(state: &mut State, path: &str, headers: &BTreeMap<String, String>) -> (u16, String) {
    let token = headers.get("authorization").and_then(|a| a.strip_prefix("Bearer ")).unwrap_or_default();
    // https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api
    if !token.is_empty() && !state.tokens.is_empty() && !state.tokens.iter().any(|t| t == token) {
        return (401, respond(401, &[], "{\"message\": \"Bad credentials\"}"));
    }
    // https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent-required
    if headers.get("user-agent").is_none_or(String::is_empty) {
        return (403, respond(403, &[], "Request forbidden by administrative rules."));
    }
    if unix_now() >= state.reset_at {
        (state.reset_at, state.used) = (unix_now() + state.reset_in, BTreeMap::new());
    }
    // https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    if state.quota.is_some_and(|quota| state.used.get(token).is_some_and(|used| *used >= quota)) {
        return (403, respond(403, &limits(state, token), "{\"message\": \"API rate limit exceeded\"}"));
    }
    let Some((status, mut extra, body)) = listing(state, path, headers) else {
        spend(state, token);
        return (404, respond(404, &limits(state, token), "{\"message\": \"Not Found\"}"));
    };
    // https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate
    // A 304 is free only when the request was authorized.
    if status != 304 || token.is_empty() {
        spend(state, token);
    }
    extra.extend(limits(state, token));
    (status, respond(status, &extra, &body))
}

fn spend(state: &mut State, token: &str) {
    *state.used.entry(token.to_owned()).or_default() += 1;
}

/// https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
fn limits(state: &State, token: &str) -> Vec<(&'static str, String)> {
    let Some(quota) = state.quota else { return Vec::new() };
    let used = state.used.get(token).copied().unwrap_or(0);
    vec![
        ("x-ratelimit-limit", quota.to_string()),
        ("x-ratelimit-remaining", quota.saturating_sub(used).to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", state.reset_at.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ]
}

type Listed = (u16, Vec<(&'static str, String)>, String);

/// https://docs.github.com/en/rest/releases/releases#list-releases
fn listing(state: &State, path: &str, headers: &BTreeMap<String, String>) -> Option<Listed> {
    let (resource, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts = resource.trim_start_matches('/').split('/');
    let found = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some("repos"), Some(_), Some(_), Some("releases"), None) = found else { return None };
    let number = |name: &str, usual: usize| {
        let told = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        told.unwrap_or(usual).max(1)
    };
    let (page, asked) = (number("page", 1), number("per_page", 30).min(100));
    let size = state.per_page.unwrap_or(asked).min(asked);
    let all = releases(state);
    let entries: Vec<_> = all.iter().skip((page - 1) * size).take(size).collect();
    let body = serde_json::to_string(&entries).unwrap();
    let etag = etag(&body, headers.get("authorization"));
    let mut extra = vec![("etag", etag.clone())];
    extra.extend(link(headers, resource, asked, page, all.len().div_ceil(size)));
    if headers.get("if-none-match") == Some(&etag) {
        Some((304, extra, String::new()))
    } else {
        Some((200, extra, body))
    }
}

fn releases(state: &State) -> Vec<Value> {
    match &state.file {
        None => state.releases.clone(),
        Some(file) => {
            let text = std::fs::read(file).unwrap_or_default();
            serde_json::from_slice(&text).unwrap_or_default()
        }
    }
}

/// https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
fn link(
    headers: &BTreeMap<String, String>,
    resource: &str,
    size: usize,
    page: usize,
    last: usize,
) -> Option<(&'static str, String)> {
    let host = headers.get("host")?;
    let at =
        |n: usize, rel: &str| format!("<http://{host}{resource}?per_page={size}&page={n}>; rel=\"{rel}\"");
    (page < last).then(|| ("link", format!("{}, {}", at(page + 1, "next"), at(last, "last"))))
}

/// The validator varies with the token: `vary: Accept, Authorization, …`, as the example of
/// https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#about-response-codes-and-headers
fn etag(body: &str, authorization: Option<&String>) -> String {
    let mut hasher = DefaultHasher::new();
    (body, authorization).hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn respond(status: u16, extra: &[(&'static str, String)], body: &str) -> String {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    if extra.iter().all(|(name, _)| *name != "date") {
        head += &format!("date: {}\r\n", http_date(unix_now()));
    }
    if status != 304 {
        head +=
            &format!("content-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n", body.len());
    }
    for (name, value) in extra {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n" + body
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The date format of RFC 9110, section 5.6.7.
fn http_date(unix: u64) -> String {
    let (days, seconds) = (unix / 86400, unix % 86400);
    let leap = |y: u64| (y.is_multiple_of(4) && !y.is_multiple_of(100)) || y.is_multiple_of(400);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let week = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).unwrap()];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{week}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", left + 1, names[month])
}
