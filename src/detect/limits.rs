//! Manners towards the API, as pure functions: what a status and its headers mean, how long to
//! wait, and when an anonymous computer had better ask git instead.
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::time::Duration;

use jiff::Timestamp;

use super::cache::{ApiCache, WatchCache};

/// The first wait where the server names none; it doubles with each refusal.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest such wait: GitHub's spans last an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// A time to wait for that is further away than this is a clock that jumped, not a limit.
const SANE_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Anonymous computers leave the rest of the quota to people.
const RESERVE: u64 = 10;

/// Requests in a span, our own included, of a few computers that may all ask at every check: five
/// that check every five minutes use up an hour's 60.
const FEW: u64 = 4;

/// What of an answer speaks of limits: its headers, and of a refusal the text.
#[derive(Clone, Debug, Default)]
pub struct LimitHeaders {
    /// The text of a refusal says that a limit was exceeded: so it is where a secondary limit has
    /// no headers of its own.
    pub told: bool,
    /// `retry-after`, seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// `x-ratelimit-limit`.
    pub limit: Option<u64>,
    /// `x-ratelimit-remaining`.
    pub remaining: Option<u64>,
    /// `x-ratelimit-reset`, Unix seconds by the server's clock.
    pub reset: Option<i64>,
    /// `date`, the server's clock.
    pub date: Option<String>,
}

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A new answer.
    Fresh,
    /// The answer that is known already.
    NotModified,
    /// No requests until then.
    Limited(Timestamp),
    /// 401.
    Unauthorized,
    /// 403 that names no limit.
    Forbidden,
    /// 404 or 410.
    NotFound,
    /// 5xx; with a time before which the server does not want to be asked.
    ServerError(Option<Timestamp>),
    /// Any other.
    Odd,
}

/// What may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The API.
    Open,
    /// Better git: anonymous, and the quota is nearly used up.
    AskGit,
    /// Nothing before this time.
    ClosedUntil(Timestamp),
}

/// Says what may be asked. `retry_at`: no request before this.
pub fn gate(api: &ApiCache, retry_at: Option<Timestamp>, anonymous: bool, now: Timestamp) -> Gate {
    if let Some(at) = retry_at.and_then(|at| sane(now, at)) {
        return Gate::ClosedUntil(at);
    }
    match used_up(api, now) {
        _ if anonymous && is_close(api, now) => Gate::AskGit,
        Some(at) => Gate::ClosedUntil(at),
        None => Gate::Open,
    }
}

/// Judges a status. `refusals`: how many in a row came before.
pub fn verdict(status: u16, headers: &LimitHeaders, refusals: u32, now: Timestamp) -> Verdict {
    let asked_to_wait = headers.told || headers.retry_after.is_some() || headers.remaining == Some(0);
    match status {
        200 => Verdict::Fresh,
        304 => Verdict::NotModified,
        429 => Verdict::Limited(until(headers, refusals, now)),
        403 if asked_to_wait => Verdict::Limited(until(headers, refusals, now)),
        401 => Verdict::Unauthorized,
        403 => Verdict::Forbidden,
        404 | 410 => Verdict::NotFound,
        500..=599 => Verdict::ServerError(retry_after(headers, now)),
        _ => Verdict::Odd,
    }
}

/// When to ask again after a refusal.
fn until(headers: &LimitHeaders, refusals: u32, now: Timestamp) -> Timestamp {
    let told = retry_after(headers, now);
    let told = told.or_else(|| (headers.remaining == Some(0)).then(|| reset_at(headers, now)).flatten());
    told.unwrap_or_else(|| {
        let wait = FIRST_WAIT.saturating_mul(1 << refusals.min(10)).min(LONGEST_WAIT);
        later(now, wait)
    })
}

/// The end of the span, by this computer's clock: the server's own `date` takes out the difference.
pub fn reset_at(headers: &LimitHeaders, now: Timestamp) -> Option<Timestamp> {
    let server_now = server_time(headers).unwrap_or(now);
    let seconds = headers.reset?.checked_sub(server_now.as_second())?;
    sane(now, later(now, Duration::from_secs(u64::try_from(seconds).ok()?)))
}

fn retry_after(headers: &LimitHeaders, now: Timestamp) -> Option<Timestamp> {
    let text = headers.retry_after.as_deref()?.trim();
    let wait = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let server_now = server_time(headers).unwrap_or(now);
        http_date(text)?.duration_since(server_now).try_into().ok()?
    };
    Some(later(now, wait.clamp(Duration::from_secs(1), SANE_WAIT)))
}

fn server_time(headers: &LimitHeaders) -> Option<Timestamp> {
    headers.date.as_deref().and_then(http_date)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// A time that still lies ahead, and not absurdly far.
pub fn sane(now: Timestamp, at: Timestamp) -> Option<Timestamp> {
    (now < at && at <= later(now, SANE_WAIT)).then_some(at)
}

/// Keeps the counts and waits that the next check goes by.
pub fn count(cache: &mut WatchCache, verdict: Verdict) {
    let api = &mut cache.api;
    api.refusals = if matches!(verdict, Verdict::Limited(_)) { api.refusals.saturating_add(1) } else { 0 };
    api.forbidden = if verdict == Verdict::Forbidden { api.forbidden.saturating_add(1) } else { 0 };
    cache.retry_at = match verdict {
        Verdict::Limited(at) => Some(at),
        Verdict::ServerError(at) => at,
        _ => None,
    };
}

/// The same as [`note`] for the later pages of a check. They are our own use of the quota: between
/// two checks they come on top of what the others use.
pub fn note_later_page(api: &mut ApiCache, headers: &LimitHeaders, now: Timestamp) {
    let burn = api.burn;
    note(api, headers, now);
    api.burn = burn.map(|burn| burn.saturating_add(1));
}

/// Takes over what the headers say of the quota.
pub fn note(api: &mut ApiCache, headers: &LimitHeaders, now: Timestamp) {
    let Some(remaining) = headers.remaining else { return };
    let reset = reset_at(headers, now);
    let same_span = api.reset_at.is_some_and(|before| sane(now, before).is_some());
    if let (true, Some(before)) = (same_span, api.remaining) {
        let used = before.saturating_sub(remaining);
        // The crowd of an earlier check may only have paused.
        api.burn = Some(used.max(api.burn.unwrap_or(0) / 2));
    }
    api.limit = headers.limit;
    api.remaining = Some(remaining);
    api.reset_at = reset;
}

/// Whether the next request might be one too many: what is left is within the reserve, or within
/// twice of what everybody at this address used up between our last two requests. While that is
/// not known, a sign of many others at this address counts: each of them may be about to ask.
fn is_close(api: &ApiCache, now: Timestamp) -> bool {
    let in_span = api.reset_at.is_some_and(|reset| sane(now, reset).is_some());
    let Some(remaining) = api.remaining.filter(|_| in_span) else { return false };
    let many = api.limit.is_some_and(|limit| limit.saturating_sub(remaining) > FEW);
    match api.burn {
        None => many || remaining <= RESERVE,
        Some(burn) => remaining <= RESERVE.max(burn.saturating_mul(2)),
    }
}

/// Until when nothing is left of the quota.
fn used_up(api: &ApiCache, now: Timestamp) -> Option<Timestamp> {
    if api.remaining == Some(0) { api.reset_at.and_then(|reset| sane(now, reset)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn headers(retry_after: Option<&str>, remaining: Option<u64>, reset: Option<i64>) -> LimitHeaders {
        let retry_after = retry_after.map(str::to_owned);
        LimitHeaders { retry_after, remaining, reset, limit: Some(60), ..LimitHeaders::default() }
    }

    #[test]
    fn every_status_has_its_meaning() {
        let now = at("2026-06-01T12:00:00Z");
        let soon = now.as_second() + 600;
        let minute = Verdict::Limited(at("2026-06-01T12:01:00Z"));
        let ten = Verdict::Limited(at("2026-06-01T12:10:00Z"));
        for (status, headers, refusals, expected) in [
            (200, headers(None, Some(0), Some(soon)), 0, Verdict::Fresh),
            (304, headers(None, None, None), 0, Verdict::NotModified),
            (401, headers(None, None, None), 0, Verdict::Unauthorized),
            (403, headers(None, None, None), 0, Verdict::Forbidden),
            (403, headers(None, Some(59), Some(soon)), 0, Verdict::Forbidden),
            (403, headers(None, Some(0), Some(soon)), 0, ten),
            (403, headers(Some("600"), None, None), 0, ten),
            (403, headers(Some("600"), Some(0), Some(soon + 99)), 0, ten),
            (429, headers(None, None, None), 0, minute),
            (429, headers(None, None, None), 1, Verdict::Limited(at("2026-06-01T12:02:00Z"))),
            (429, headers(None, None, None), 99, Verdict::Limited(at("2026-06-01T13:00:00Z"))),
            (429, headers(Some("Mon, 01 Jun 2026 12:10:00 GMT"), None, None), 0, ten),
            (429, headers(Some("soon"), None, None), 0, minute),
            (404, headers(None, None, None), 0, Verdict::NotFound),
            (500, headers(None, None, None), 0, Verdict::ServerError(None)),
            (503, headers(Some("60"), None, None), 0, Verdict::ServerError(Some(at("2026-06-01T12:01:00Z")))),
            (204, headers(None, None, None), 0, Verdict::Odd),
            (418, headers(None, None, None), 0, Verdict::Odd),
        ] {
            assert_eq!(verdict(status, &headers, refusals, now), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn absurd_waits_are_cut_and_past_ones_are_over() {
        let now = at("2026-06-01T12:00:00Z");
        let far = verdict(429, &headers(Some("99999999999"), None, None), 0, now);
        assert_eq!(far, Verdict::Limited(at("2026-06-02T12:00:00Z")));
        let over = verdict(403, &headers(None, Some(0), Some(now.as_second() - 5)), 0, now);
        assert_eq!(over, Verdict::Limited(at("2026-06-01T12:01:00Z")));
        assert_eq!(sane(now, at("2027-06-01T12:00:00Z")), None, "the clock was a year ahead");
        assert_eq!(sane(now, at("2025-06-01T12:00:00Z")), None, "the clock was a year behind");
        assert!(sane(now, at("2026-06-01T12:30:00Z")).is_some());
    }

    #[test]
    fn a_clock_that_is_a_year_wrong_waits_no_longer() {
        let now = at("2025-06-01T12:00:00Z");
        let mut told = headers(None, Some(0), Some(at("2026-06-01T12:10:00Z").as_second()));
        told.date = Some("Mon, 01 Jun 2026 12:00:00 GMT".to_owned());
        assert_eq!(verdict(403, &told, 0, now), Verdict::Limited(at("2025-06-01T12:10:00Z")));
    }

    #[test]
    fn close_to_the_limit_depends_on_how_fast_the_others_are() {
        let now = at("2026-06-01T12:00:00Z");
        let reset = Some(now.as_second() + 1800);
        for (before, left, close) in [
            (None, 59, false),
            (None, 10, true),
            (Some(58), 50, false),
            (Some(50), 25, true),
            (Some(30), 25, false),
        ] {
            let mut api = ApiCache::default();
            if let Some(before) = before {
                note(&mut api, &headers(None, Some(before), reset), now);
            }
            note(&mut api, &headers(None, Some(left), reset), now);
            assert_eq!(is_close(&api, now), close, "{before:?} {left}");
            assert!(!is_close(&api, at("2026-06-01T13:00:00Z")), "a new span");
        }
    }
}
