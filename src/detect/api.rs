//! The conversation with the releases API: pages asked for with what is known of them, answers
//! remembered, waits kept. Decides nothing about versions.
//! Sources: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>
//! (conditional requests) and the pages named in `limits` and `releases`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::config::Settings;
use crate::outcome::{Halt, Reason};
use crate::sys::http::{self, Answer, Failure, Get};

use super::cache::{ApiCache, Page, Release, WatchCache};
use super::limits::{self, Gate, LimitHeaders, Verdict};
use super::releases::{next_page, parse_page};
use super::remote::Deadline;

/// The most of one page that is read: a hundred releases with many files each are a tenth of it.
const BODY_LIMIT: u64 = 32 << 20;
/// The most pages: more releases than any project makes in ten years.
const MOST_PAGES: usize = 50;

/// All releases of the repository.
#[derive(Clone, Debug)]
pub struct Listing {
    /// As listed.
    pub releases: Vec<Release>,
    /// Whether anything in it is new since the last check.
    pub fresh: bool,
}

/// Forgets what belongs to another token or server, and says what may be asked.
pub fn gate(settings: &Settings, cache: &mut WatchCache, now: Timestamp) -> Gate {
    let key = fingerprint(settings);
    if cache.api.key != key {
        cache.api = ApiCache { key, ..ApiCache::default() };
        cache.retry_at = None;
    }
    cache.retry_at = cache.retry_at.and_then(|at| limits::sane(now, at));
    limits::gate(&cache.api, cache.retry_at, settings.token.is_none(), now)
}

/// The error while the gate is closed.
pub fn closed(settings: &Settings, until: Timestamp) -> Halt {
    let hint = match settings.token {
        None => "; set GITHUB_TOKEN for a larger quota",
        Some(_) => "",
    };
    let until = crate::sys::clock::rfc3339(until);
    Halt::unreachable(
        Reason::RateLimited,
        format!("{} asked for fewer requests: none before {until}{hint}", settings.api_url),
    )
    .with("retry_at", until)
}

/// Lists all releases, page by page. What is learned goes into `cache`, also when it fails.
pub fn list(
    settings: &Settings,
    cache: &mut WatchCache,
    deadline: Deadline,
    now: Timestamp,
) -> Result<Listing, Halt> {
    let mut walk = Walk { settings, cache, deadline, now, fresh: false, later_page: false };
    let first = walk.first_page()?;
    let mut pages = BTreeMap::new();
    let mut releases = Vec::new();
    let mut next = Some(first.clone());
    while let Some(url) = next.take() {
        if pages.len() == MOST_PAGES || pages.contains_key(&walk.page_key(&url)) {
            return Err(walk.bad(&format!("there are more than {MOST_PAGES} pages of releases")));
        }
        let page = walk.page(&url)?;
        releases.extend(page.releases.iter().cloned());
        next.clone_from(&page.next);
        pages.insert(walk.page_key(&url), page);
    }
    let (fresh, first) = (walk.fresh, walk.page_key(&first));
    remember(&mut cache.api, &first, pages, &releases);
    Ok(Listing { releases, fresh })
}

fn remember(api: &mut ApiCache, first: &str, pages: BTreeMap<String, Page>, releases: &[Release]) {
    let listed: BTreeSet<&str> = releases.iter().map(|r| r.tag.as_str()).collect();
    if api.pages.contains_key(first) {
        let before = api.pages.values().flat_map(|p| &p.releases).map(|r| r.tag.clone());
        api.withdrawn.extend(before.filter(|tag| !listed.contains(tag.as_str())));
    } else {
        api.withdrawn.clear();
    }
    api.withdrawn.retain(|tag| !listed.contains(tag.as_str()));
    api.pages = pages;
}

struct Walk<'a> {
    settings: &'a Settings,
    cache: &'a mut WatchCache,
    deadline: Deadline,
    now: Timestamp,
    fresh: bool,
    later_page: bool,
}

impl Walk<'_> {
    fn first_page(&self) -> Result<String, Halt> {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c));
        let Some(repo) = self.settings.github_repo.as_deref().filter(|r| !r.contains(odd)) else {
            return Err(Halt::invalid(
                "no GitHub repository is known: set deployment.github_repo to OWNER/NAME, or deployment.source to tags",
            ));
        };
        Ok(format!("{}/repos/{repo}/releases?per_page=100", self.settings.api_url))
    }

    fn page_key(&self, url: &str) -> String {
        format!("{} {url}", self.settings.channel.name())
    }

    fn page(&mut self, url: &str) -> Result<Page, Halt> {
        let known = self.cache.api.pages.get(&self.page_key(url)).cloned();
        let answer = self.ask(url, known.as_ref().and_then(|page| page.etag.as_deref()))?;
        let headers = limit_headers(&answer);
        let verdict = limits::verdict(answer.status, &headers, self.cache.api.refusals, self.now);
        self.note(&headers);
        limits::count(self.cache, verdict);
        let page = match (verdict, known) {
            (Verdict::Fresh, _) => self.fresh_page(&answer)?,
            (Verdict::NotModified, Some(page)) => page,
            (Verdict::NotModified, None) => {
                return Err(self.bad("it said 304 to a question without a validator"));
            }
            (verdict, _) => return Err(self.refusal(verdict, &answer)),
        };
        if page.next.as_ref().is_some_and(|next| !http::same_origin(next, &answer.url)) {
            return Err(self.bad("its next page is on another host"));
        }
        Ok(page)
    }

    fn ask(&self, url: &str, etag: Option<&str>) -> Result<Answer, Halt> {
        let mut headers = vec![
            ("user-agent", concat!("teleclaude-deployment/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("accept", "application/vnd.github+json".to_owned()),
            ("x-github-api-version", "2022-11-28".to_owned()),
        ];
        headers.extend(etag.map(|etag| ("if-none-match", etag.to_owned())));
        let authorization = self.settings.token.as_ref().map(|t| format!("Bearer {}", t.expose()));
        let request = Get {
            url,
            headers: &headers,
            authorization: authorization.as_deref(),
            home: &self.settings.api_url,
            deadline: self.deadline.left()?,
            body_limit: BODY_LIMIT,
        };
        http::get(&request).map_err(|failure| self.no_answer(&failure))
    }

    fn no_answer(&self, failure: &Failure) -> Halt {
        let api = &self.settings.api_url;
        match failure {
            Failure::Timeout => self.deadline.passed(&self.settings.redactor.clean(api)),
            Failure::Malformed(why) => self.bad(why),
            Failure::Unreachable(why) => Halt::unreachable(
                Reason::Unreachable,
                self.settings.redactor.clean(&format!("cannot reach {api}: {why}")),
            ),
            Failure::Unusable(why) => Halt::failed(
                Reason::InvalidConfig,
                self.settings
                    .redactor
                    .clean(&format!("cannot ask {api}: {why}; look at deployment.api_url and the token")),
            ),
        }
    }

    fn fresh_page(&mut self, answer: &Answer) -> Result<Page, Halt> {
        let releases = parse_page(&answer.body).map_err(|why| self.bad(&why))?;
        let next = answer.header("link").and_then(next_page);
        self.fresh = true;
        let etag = answer.header("etag").filter(|etag| is_validator(etag)).map(str::to_owned);
        Ok(Page { etag, next, releases })
    }

    fn note(&mut self, headers: &LimitHeaders) {
        let note = if self.later_page { limits::note_later_page } else { limits::note };
        note(&mut self.cache.api, headers, self.now);
        self.later_page = true;
    }

    fn refusal(&self, verdict: Verdict, answer: &Answer) -> Halt {
        let api = &self.settings.api_url;
        let repo = self.settings.github_repo.as_deref().unwrap_or_default();
        let has_token = self.settings.token.is_some();
        let token = if has_token { "the token" } else { "no token (GITHUB_TOKEN)" };
        match verdict {
            Verdict::Limited(at) => closed(self.settings, at),
            Verdict::Unauthorized if !has_token => Halt::failed(
                Reason::Unauthorized,
                format!("{api} answers nobody without a token (401): set GITHUB_TOKEN or GH_TOKEN"),
            ),
            Verdict::NotFound if !has_token => Halt::failed(
                Reason::NotFound,
                format!(
                    "{api} knows no public repository {repo:?} (404): check deployment.github_repo; for a private one set GITHUB_TOKEN or GH_TOKEN"
                ),
            ),
            Verdict::Unauthorized => Halt::failed(
                Reason::Unauthorized,
                format!("{api} does not accept the token (401): renew GITHUB_TOKEN or GH_TOKEN"),
            ),
            Verdict::NotFound => Halt::failed(
                Reason::NotFound,
                format!(
                    "{api} knows no repository {repo:?} for {token} (404): check deployment.github_repo and the token's rights"
                ),
            ),
            Verdict::Forbidden => self.forbidden(token),
            Verdict::ServerError(_) => Halt::unreachable(
                Reason::ServerError,
                format!("{api} has a fault of its own ({}): trying again at the next check", answer.status),
            ),
            _ => self.bad(&format!("it answered with status {}", answer.status)),
        }
    }

    fn forbidden(&self, token: &str) -> Halt {
        let api = &self.settings.api_url;
        if self.cache.api.forbidden > 1 {
            let text = format!("{api} refuses access with {token} (403), again: check the token's rights");
            return Halt::failed(Reason::Forbidden, text);
        }
        let text = format!("{api} refuses access with {token} (403): trying again at the next check");
        Halt::unreachable(Reason::Forbidden, text)
    }

    fn bad(&self, why: &str) -> Halt {
        let text = format!("the answer of {} is not what it should be: {why}", self.settings.api_url);
        Halt::unreachable(Reason::BadResponse, self.settings.redactor.clean(&text))
    }
}

/// What may be sent back as a header without harm.
fn is_validator(etag: &str) -> bool {
    etag.len() <= 256 && etag.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether the message of a refusal is about a limit.
fn tells_of_a_limit(body: &[u8]) -> bool {
    let told: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = told.as_ref().and_then(|value| value.get("message")?.as_str());
    message.is_some_and(|text| text.to_ascii_lowercase().contains("rate limit"))
}

fn limit_headers(answer: &Answer) -> LimitHeaders {
    let text = |name: &str| answer.header(name).map(str::to_owned);
    LimitHeaders {
        told: answer.status == 403 && tells_of_a_limit(&answer.body),
        retry_after: text("retry-after"),
        limit: text("x-ratelimit-limit").and_then(|t| t.parse().ok()),
        remaining: text("x-ratelimit-remaining").and_then(|t| t.parse().ok()),
        reset: text("x-ratelimit-reset").and_then(|t| t.parse().ok()),
        date: text("date"),
    }
}

/// Tells tokens and servers apart without telling what the token is.
fn fingerprint(settings: &Settings) -> String {
    let token = settings.token.as_ref().map_or("", |t| t.expose());
    let digest = Sha256::digest(format!("watch-cache\n{}\n{token}", settings.api_url));
    let start: [u8; 8] = std::array::from_fn(|n| digest[n]);
    format!("{:016x}", u64::from_be_bytes(start))
}
