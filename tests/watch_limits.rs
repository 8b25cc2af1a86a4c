//! A day of a thousand computers behind shared addresses, played through the watcher's own rules
//! (`detect::limits`, on a clock of its own) against a model of the documented limits: 60 requests
//! an hour and address without a token, 5,000 an hour with one, of which answers 304 cost nothing.
//! And the same rules once more through the binary, with fewer computers and one hour.
//! Sources: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>,
//! <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use support::World;
use support::api::Api;
use teleclaude_deployment::detect::cache::WatchCache;
use teleclaude_deployment::detect::limits::{
    Gate, LimitHeaders, count, gate, note, note_later_page, verdict,
};

const COMPUTERS: usize = 1000;
const INTERVAL: i64 = 300;
const DAY: i64 = 86_400;
const START: i64 = 1_800_000_000;

/// A fleet as it is spread over addresses.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Computers behind one address; every other one has no token.
    behind_one: usize,
    /// Pages that the list of releases has.
    pages: usize,
    /// Seconds between two requests that people make from the same address.
    people_every: i64,
    /// Whether each check comes up to a minute early or late.
    jitter: bool,
}

/// Requests of one span, by who is counted together.
#[derive(Default)]
struct Server {
    spans: BTreeMap<String, (i64, u64)>,
    refused: u64,
}

impl Server {
    /// One request. `cost`: whether it counts against the quota.
    fn ask(&mut self, who: &str, limit: u64, now: i64, cost: bool) -> (u16, LimitHeaders) {
        let span = self.spans.entry(who.to_owned()).or_insert((now + 3600, 0));
        if now >= span.0 {
            *span = (now + 3600, 0);
        }
        let refused = span.1 >= limit;
        self.refused += u64::from(refused);
        span.1 += u64::from(cost && !refused);
        let headers = LimitHeaders {
            limit: Some(limit),
            remaining: Some(limit - span.1),
            reset: Some(span.0),
            ..LimitHeaders::default()
        };
        let status = if refused {
            403
        } else if cost {
            200
        } else {
            304
        };
        (status, headers)
    }
}

#[derive(Clone, Default)]
struct Computer {
    memory: WatchCache,
    requests: u64,
    by_git: u64,
    knows: usize,
    late: i64,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Release,
    People(usize),
    Check(usize),
}

struct Day {
    layout: Layout,
    server: Server,
    fleet: Vec<Computer>,
    released: Vec<i64>,
}

impl Day {
    fn play(layout: Layout) -> Self {
        let fleet = vec![Computer::default(); COMPUTERS];
        let mut day = Self { layout, server: Server::default(), fleet, released: Vec::new() };
        for (now, event) in schedule(layout) {
            match event {
                Event::Release => day.released.push(now),
                Event::People(address) => {
                    day.server.ask(&format!("address {address}"), 60, now, true);
                }
                Event::Check(n) => day.check(n, now),
            }
        }
        day
    }

    fn check(&mut self, n: usize, now: i64) {
        let at = Timestamp::from_second(now).unwrap();
        let computer = &mut self.fleet[n];
        match gate(&computer.memory.api, computer.memory.retry_at, anonymous(n), at) {
            Gate::ClosedUntil(_) => return,
            Gate::AskGit => computer.by_git += 1,
            Gate::Open if !self.ask_api(n, now, at) => return,
            Gate::Open => {}
        }
        let computer = &mut self.fleet[n];
        for released in &self.released[computer.knows..] {
            computer.late = computer.late.max(now - released);
        }
        computer.knows = self.released.len();
    }

    /// As `detect::api` does it, page after page. Whether it was answered.
    fn ask_api(&mut self, n: usize, now: i64, at: Timestamp) -> bool {
        let (who, limit) = if anonymous(n) {
            (format!("address {}", n / self.layout.behind_one), 60)
        } else {
            (format!("token {n}"), 5000)
        };
        let computer = &mut self.fleet[n];
        let changed = computer.knows < self.released.len() || computer.requests == 0;
        for page in 0..self.layout.pages {
            computer.requests += 1;
            let (status, headers) = self.server.ask(&who, limit, now, anonymous(n) || changed);
            let told = verdict(status, &headers, computer.memory.api.refusals, at);
            let note = if page == 0 { note } else { note_later_page };
            note(&mut computer.memory.api, &headers, at);
            count(&mut computer.memory, told);
            if status == 403 {
                return false;
            }
        }
        true
    }

    fn mean(&self, without_token: bool, of: impl Fn(&Computer) -> u64) -> u64 {
        let those: Vec<u64> =
            (0..COMPUTERS).filter(|n| anonymous(*n) == without_token).map(|n| of(&self.fleet[n])).collect();
        those.iter().sum::<u64>() / u64::try_from(those.len()).unwrap()
    }
}

fn anonymous(n: usize) -> bool {
    n.is_multiple_of(2)
}

/// A number that looks like chance and is the same in each run.
fn chance(seed: u64) -> i64 {
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    i64::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 34).unwrap()
}

fn schedule(layout: Layout) -> Vec<(i64, Event)> {
    // At odd moments, one just before the first span of an hour ends, two close together.
    let mut events: Vec<_> =
        [1234, 3599, 20_000, 43_210, 43_215, 80_001].iter().map(|s| (START + s, Event::Release)).collect();
    for n in 0..COMPUTERS {
        let phase = chance(n as u64) % INTERVAL;
        for k in 0..DAY / INTERVAL {
            let jitter = chance((n as u64) << 32 | u64::try_from(k).unwrap()) % 121 - 60;
            let jitter = if layout.jitter { jitter } else { 0 };
            events.push((START + phase + 60 + k * INTERVAL + jitter, Event::Check(n)));
        }
    }
    for address in 0..COMPUTERS / layout.behind_one {
        events.extend(
            (0..DAY / layout.people_every).map(|k| (START + k * layout.people_every, Event::People(address))),
        );
    }
    events.sort_unstable();
    events
}

#[test]
fn a_day_of_a_thousand_computers_is_never_refused_and_nobody_is_late() {
    let usual = Layout { behind_one: 5, pages: 1, people_every: 600, jitter: true };
    for layout in [
        usual,
        Layout { jitter: false, ..usual },
        Layout { behind_one: 1, ..usual },
        Layout { behind_one: 2, ..usual },
        Layout { behind_one: 10, ..usual },
        Layout { behind_one: 40, ..usual },
        Layout { behind_one: 100, people_every: 1200, ..usual },
        Layout { behind_one: 10, pages: 3, ..usual },
    ] {
        let day = Day::play(layout);
        let requests = |without| day.mean(without, |c| c.requests);
        println!(
            "{:3} behind one address, {} page(s): requests per computer and day {:3} without a token \
             (and {:3} times git), {:3} with one; refused {}; latest {} s",
            layout.behind_one,
            layout.pages,
            requests(true),
            day.mean(true, |c| c.by_git),
            requests(false),
            day.server.refused,
            day.fleet.iter().map(|c| c.late).max().unwrap(),
        );
        assert_eq!(day.server.refused, 0, "{layout:?}");
        // With jitter two checks are up to two minutes more than an interval apart.
        let most = INTERVAL + if layout.jitter { 120 } else { 0 };
        for (n, computer) in day.fleet.iter().enumerate() {
            assert_eq!(computer.knows, day.released.len(), "{layout:?}: {n} missed a release");
            assert!(computer.late <= most, "{layout:?}: {n} was {} s late", computer.late);
        }
        let most = u64::try_from(DAY / INTERVAL).unwrap() * u64::try_from(layout.pages).unwrap();
        assert!(requests(false) == most, "one request a check and page");
        assert!(requests(true) <= most);
        assert_eq!(day.mean(false, |c| c.by_git), 0, "a token needs no second way");
    }
}

#[test]
fn an_hour_of_computers_behind_one_address_through_the_program() {
    const TOKENS: usize = 2;
    const WITHOUT: usize = 6;
    const ROUNDS: usize = 13;
    let (mut world, api) = (World::new(), Api::start());
    world.config(&format!("deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\"}}\n", api.url()));
    api.quota(60, 3600);
    world.release("1.1.0");
    api.release("v1.1.0");
    let mut by_git = 0;
    for round in 0..ROUNDS {
        if round == 6 {
            // Every one of them learns of it in this round.
            world.release("1.2.0");
            api.release("v1.2.0");
        }
        let newest = if round < 6 { "v1.1.0" } else { "v1.2.0" };
        for n in 0..TOKENS + WITHOUT {
            let token = if n < TOKENS { format!("token-of-computer-{n}") } else { String::new() };
            let home = world.path(&format!("home/{n}"));
            world.env("TELECLAUDE_HOME", home.to_str().unwrap()).env("GITHUB_TOKEN", &token);
            let run = world.run("version-watch", &["--json"]).exits(0).tells("available", None);
            assert_eq!(run.json()["tag"], newest, "computer {n}, round {round}: {run:#?}");
            by_git += usize::from(run.json()["source"] == "tags");
        }
    }
    let asked = api.requests();
    println!("{} requests to the API, {by_git} times git", asked.len());
    assert!(asked.iter().all(|r| r.status == 200 || r.status == 304), "{asked:#?}");
    assert_eq!(asked.len() + by_git, ROUNDS * (TOKENS + WITHOUT));
    assert!(ROUNDS * WITHOUT > 60 && by_git > 0, "more checks than the quota has requests");
}
