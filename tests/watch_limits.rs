//! A day of many computers behind shared addresses, played through the watcher's own rules against
//! a model of the documented limits: 60 requests an hour and address without a token, 5,000 an hour
//! with one, of which answers 304 cost nothing.
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use teleclaude_deployment::detect::cache::ApiCache;
use teleclaude_deployment::detect::limits::{Gate, LimitHeaders, Verdict, gate, note, verdict};

const COMPUTERS: usize = 1000;
const ADDRESSES: usize = 25;
const INTERVAL: i64 = 300;
const DAY: i64 = 86_400;

#[derive(Default)]
struct Server {
    spans: BTreeMap<String, (i64, u64)>,
    refused: u64,
}

impl Server {
    /// One request. `cost`: whether it counts against the quota.
    fn ask(&mut self, who: String, limit: u64, now: i64, cost: bool) -> (u16, LimitHeaders) {
        let span = self.spans.entry(who).or_insert((now + 3600, 0));
        if now >= span.0 {
            *span = (now + 3600, 0);
        }
        let status = if span.1 >= limit { 403 } else { 200 };
        self.refused += u64::from(status == 403);
        span.1 += u64::from(cost && status == 200);
        let headers = LimitHeaders {
            limit: Some(limit),
            remaining: Some(limit - span.1),
            reset: Some(span.0),
            ..LimitHeaders::default()
        };
        (status, headers)
    }
}

#[derive(Clone, Default)]
struct Computer {
    api: ApiCache,
    retry_at: Option<Timestamp>,
    requests: u64,
    knows: i64,
    late: i64,
}

#[test]
fn a_day_of_a_thousand_computers_is_never_refused_and_nobody_is_late() {
    let mut server = Server::default();
    let mut fleet = vec![Computer::default(); COMPUTERS];
    let start = 1_800_000_000;
    // Releases at odd moments, one just before the quota of an hour begins anew.
    let releases: Vec<i64> = [1234, 3599, 20_000, 43_210, 80_001].iter().map(|s| start + s).collect();
    let mut checks: Vec<(i64, usize)> = (0..COMPUTERS)
        .flat_map(|n| {
            let phase = i64::try_from(n * 7919).unwrap() % INTERVAL;
            (0..DAY / INTERVAL).map(move |k| (start + phase + k * INTERVAL, n))
        })
        .collect();
    checks.sort_unstable();
    for (now, n) in checks {
        check(&mut server, &mut fleet[n], n, now, &releases);
    }
    let total = |anonymous: bool| -> u64 {
        fleet.iter().enumerate().filter(|(n, _)| (n % 2 == 0) == anonymous).map(|(_, c)| c.requests).sum()
    };
    let half = u64::try_from(COMPUTERS / 2).unwrap();
    println!(
        "requests per computer and day: {} without a token, {} with one",
        total(true) / half,
        total(false) / half
    );
    assert_eq!(server.refused, 0);
    assert!(fleet.iter().all(|c| c.late <= INTERVAL), "{:?}", fleet.iter().map(|c| c.late).max());
    assert!(total(false) / half <= 288, "one request a check");
}

fn check(server: &mut Server, computer: &mut Computer, n: usize, now: i64, releases: &[i64]) {
    let at = Timestamp::from_second(now).unwrap();
    let anonymous = n.is_multiple_of(2);
    let newest = releases.iter().copied().filter(|r| *r <= now).max().unwrap_or(0);
    match gate(&computer.api, computer.retry_at, anonymous, at) {
        Gate::ClosedUntil(_) => return,
        Gate::AskGit => {}
        Gate::Open => {
            computer.requests += 1;
            let (who, limit) = if anonymous {
                (format!("address {}", n / 2 % ADDRESSES), 60)
            } else {
                (format!("token {n}"), 5000)
            };
            let changed = newest > computer.knows;
            let (status, headers) = server.ask(who, limit, now, anonymous || changed);
            note(&mut computer.api, &headers, at);
            if let Verdict::Limited(until) = verdict(status, &headers, 0, at) {
                computer.retry_at = Some(until);
                return;
            }
        }
    }
    if newest > computer.knows {
        computer.late = computer.late.max(now - newest);
        computer.knows = newest;
    }
}
