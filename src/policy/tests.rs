use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::config::DayWindow;
use crate::version::{ChannelName, CommitId};

const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy() -> Policy {
    Policy {
        window: vec![],
        idle: Duration::from_secs(120),
        idle_limit: HOUR,
        max_defer: 24 * HOUR,
        minimum_age: Duration::ZERO,
        stagger: Duration::ZERO,
        max_parallel: 0,
    }
}

fn computer(zone: &str) -> Computer {
    Computer { name: "mac".into(), timezone: Some(TimeZone::get(zone).unwrap()) }
}

fn target(detected: &str, published: Option<&str>) -> Target {
    Target {
        channel: ChannelName::Beta,
        version: "1.3.0".into(),
        commit: CommitId::parse(&"a".repeat(40)).unwrap(),
        tag: Some("v1.3.0".into()),
        detected_at: at(detected),
        published_at: published.map(at),
    }
}

fn window(from: &str, to: &str) -> DayWindow {
    DayWindow { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn ask(
    policy: &Policy,
    zone: &str,
    target: &Target,
    now: &str,
    activity: Activity,
) -> Option<(Reason, String)> {
    let found = decide(policy, &computer(zone), target, None, at(now), &mut || activity.clone());
    found.map(|d| (d.reason, d.until.map(rfc3339).unwrap_or_default()))
}

fn busy() -> Activity {
    Activity::Active("1 session is active".into())
}

#[test]
fn each_gate_holds_until_its_time() {
    let plain = policy();
    let aged = Policy { minimum_age: HOUR, ..policy() };
    let windowed = Policy { window: vec![window("02:00", "05:00")], ..policy() };
    let t = target("2026-06-01T12:00:00Z", None);
    let old = target("2026-06-01T12:00:00Z", Some("2026-06-01T11:30:00Z"));
    let none =
        |p: &Policy, t: &Target, now: &str| assert_eq!(ask(p, "UTC", t, now, Activity::Idle), None, "{now}");
    let waits = |p: &Policy, t: &Target, now: &str, activity: Activity, reason: Reason, until: &str| {
        assert_eq!(ask(p, "UTC", t, now, activity), Some((reason, until.into())), "{now}");
    };
    none(&plain, &t, "2026-06-01T12:00:00Z");
    waits(&aged, &t, "2026-06-01T12:59:59Z", Activity::Idle, Reason::MinimumAge, "2026-06-01T13:00:00Z");
    waits(&aged, &old, "2026-06-01T12:00:00Z", Activity::Idle, Reason::MinimumAge, "2026-06-01T12:30:00Z");
    none(&aged, &old, "2026-06-01T12:30:00Z");
    waits(&windowed, &t, "2026-06-01T12:00:00Z", Activity::Idle, Reason::Window, "2026-06-02T02:00:00Z");
    none(&windowed, &t, "2026-06-02T04:59:59Z");
    // A window that opens only after max_defer does not hold it back longer than that.
    waits(
        &Policy { max_defer: HOUR, ..windowed.clone() },
        &t,
        "2026-06-01T12:30:00Z",
        Activity::Idle,
        Reason::Window,
        "2026-06-01T13:00:00Z",
    );
    none(&Policy { max_defer: HOUR, ..windowed.clone() }, &t, "2026-06-01T13:00:00Z");
    waits(&plain, &t, "2026-06-01T12:30:00Z", busy(), Reason::Idle, "2026-06-01T13:00:00Z");
    assert_eq!(ask(&plain, "UTC", &t, "2026-06-01T13:00:00Z", busy()), None, "idle_limit is over");
    // The limit counts from when the window opened, not from the night before.
    waits(&windowed, &t, "2026-06-02T02:30:00Z", busy(), Reason::Idle, "2026-06-02T03:00:00Z");
    assert_eq!(
        ask(&Policy { idle: Duration::ZERO, ..policy() }, "UTC", &t, "2026-06-01T12:01:00Z", busy()),
        None
    );
}

#[test]
fn a_hold_comes_first_and_runs_out() {
    let hold = Hold::new(at("2026-06-01T00:00:00Z"), Some(at("2026-06-03T00:00:00Z")), Some("demo".into()));
    let ask = |now: &str| {
        let t = target("2026-06-01T12:00:00Z", None);
        decide(&policy(), &computer("UTC"), &t, Some(&hold), at(now), &mut || Activity::Idle)
            .map(|d| d.reason)
    };
    assert_eq!(ask("2026-06-02T23:59:59Z"), Some(Reason::Hold));
    assert_eq!(ask("2026-06-03T00:00:00Z"), None);
}

#[test]
fn windows_cross_midnight_and_follow_the_wall_clock() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let night = [window("22:00", "02:00")];
    for (now, open) in [
        ("2026-06-01T19:59:59Z", false),
        ("2026-06-01T20:00:00Z", true),
        ("2026-06-01T23:59:59Z", true),
        ("2026-06-02T00:00:00Z", false),
    ] {
        assert_eq!(is_open(&night, &berlin, at(now)), open, "{now}");
    }
    assert_eq!(opened_at(&night, &berlin, at("2026-06-01T23:30:00Z")), Some(at("2026-06-01T20:00:00Z")));
    // On 29 March 2026 the clocks jump from 02:00 to 03:00: that night has no such window.
    let gap = [window("02:00", "03:00")];
    assert_eq!(next_opening(&gap, &berlin, at("2026-03-28T12:00:00Z")), Some(at("2026-03-30T00:00:00Z")));
    // On 25 October 2026 the hour from 02:00 is there twice.
    for now in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
        assert!(is_open(&gap, &berlin, at(now)), "{now}");
    }
    assert!(!is_open(&gap, &berlin, at("2026-10-25T02:00:00Z")));
}

#[test]
fn the_share_of_eligible_computers_grows_evenly() {
    for version in ["1.3.0", "9f8e7d", "x"] {
        let mut places: Vec<f64> = (0..2000).map(|n| fraction(&format!("computer-{n}"), version)).collect();
        places.sort_by(f64::total_cmp);
        for (rank, place) in places.iter().enumerate() {
            let share = f64::from(u32::try_from(rank).unwrap()) / 2000.0;
            // Kolmogorov-Smirnov distance; 0.0365 is the 1 % limit for 2,000 places.
            assert!((share - place).abs() < 0.04, "{version}: {share} of all at {place}");
        }
    }
    assert!((fraction("a", "1") - fraction("a", "1")).abs() < f64::EPSILON);
    assert!((fraction("a", "1") - fraction("a", "2")).abs() > f64::EPSILON);
}

#[test]
fn a_window_that_the_clocks_go_back_over_opens_twice() {
    let policy = Policy { window: vec![window("02:15", "02:45")], ..policy() };
    let (zone, hour) = (computer("Europe/Berlin").zone(), SignedDuration::from_hours(1));
    let first = at("2027-10-31T00:15:00Z");
    assert_eq!(next_opening(&policy.window, &zone, at("2027-10-30T20:00:00Z")), Some(first));
    assert_eq!(next_opening(&policy.window, &zone, at("2027-10-31T00:50:00Z")), Some(first + hour));
    assert_eq!(opened_at(&policy.window, &zone, at("2027-10-31T01:20:00Z")), Some(first + hour));
    // In spring the hour is not there, and there is no opening in that night.
    let spring = next_opening(&policy.window, &zone, at("2027-03-27T23:00:00Z"));
    assert_eq!(spring, Some(at("2027-03-29T00:15:00Z")));
}

/// Numbers from a seed (xorshift64*), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit.max(1)
    }

    /// Nothing in one of three cases.
    fn span(&mut self) -> Duration {
        if self.below(3) == 0 { Duration::ZERO } else { Duration::from_secs(self.below(48 * 3600)) }
    }

    /// Hours from `now` to either side, in one of three cases years.
    fn around(&mut self, now: Timestamp) -> Timestamp {
        let reach: u64 = if self.below(3) == 0 { 20 * 365 * 86_400 } else { 48 * 3600 };
        let second = i64::try_from(self.below(2 * reach)).unwrap() - i64::try_from(reach).unwrap();
        now + SignedDuration::from_secs(second)
    }

    fn policy(&mut self) -> Policy {
        let windows = [vec![], vec![window("02:00", "05:00")], vec![window("23:30", "00:10")]];
        Policy {
            window: windows[usize::try_from(self.below(3)).unwrap()].clone(),
            idle: self.span(),
            idle_limit: self.span(),
            max_defer: self.span(),
            minimum_age: self.span(),
            stagger: self.span(),
            max_parallel: 0,
        }
    }
}

/// Whatever the clock showed when the target was seen, nothing but a person's hold makes it wait
/// longer from now on than the setting says.
#[test]
fn no_deferral_is_longer_than_its_span() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..20_000 {
        let now = at("2026-06-01T12:00:00Z") + SignedDuration::from_secs(dice.below(86_400).cast_signed());
        let policy = dice.policy();
        let published_at = (dice.below(2) == 0).then(|| dice.around(now));
        let target =
            Target { detected_at: dice.around(now), published_at, ..target("2026-06-01T12:00:00Z", None) };
        let Some(deferral) = decide(&policy, &computer("UTC"), &target, None, now, &mut busy) else {
            continue;
        };
        let longest = match deferral.reason {
            Reason::MinimumAge => policy.minimum_age,
            Reason::Stagger => policy.stagger,
            Reason::Window => policy.max_defer,
            Reason::Idle => policy.idle_limit.min(policy.max_defer),
            other => panic!("{other:?}"),
        };
        let until = deferral.until.unwrap();
        assert!(
            now < until && until <= plus(now, longest),
            "{round}: {deferral:?} {policy:?} {target:?} {now}"
        );
    }
}
