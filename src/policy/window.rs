//! Daily windows in local time. What counts is the wall clock: a window may cross midnight, is
//! there twice when the clocks go back, and is left out where the clocks jump over it.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::DayWindow;

/// Whether `now` lies in one of the windows; none at all means any time.
pub fn is_open(windows: &[DayWindow], zone: &TimeZone, now: Timestamp) -> bool {
    windows.is_empty() || windows.iter().any(|w| w.contains(now.to_zoned(zone.clone()).time()))
}

/// When the next window opens after `now`.
pub fn next_opening(windows: &[DayWindow], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let openings = windows.iter().flat_map(|w| openings(w, zone, now, 0..=8));
    openings.filter(|at| *at > now).min()
}

/// When the window that is open now opened; `None`: there are no windows, or none is open.
pub fn opened_at(windows: &[DayWindow], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let open = windows.iter().filter(|w| w.contains(now.to_zoned(zone.clone()).time()));
    open.filter_map(|w| openings(w, zone, now, -1..=0).filter(|at| *at <= now).max()).min()
}

/// The window's openings on the days around `now`; a day whose clocks jump over it has none, one whose
/// clocks are put back over its beginning has two.
fn openings(
    window: &DayWindow,
    zone: &TimeZone,
    now: Timestamp,
    days: std::ops::RangeInclusive<i64>,
) -> impl Iterator<Item = Timestamp> {
    let today = now.to_zoned(zone.clone()).date();
    days.flat_map(move |day| {
        let date = today.saturating_add(SignedDuration::from_hours(24 * day));
        let at = |zone: &TimeZone| zone.to_ambiguous_zoned(date.to_datetime(window.from));
        [at(zone).earlier(), at(zone).later()]
            .into_iter()
            .filter_map(Result::ok)
            .filter(|at| window.contains(at.time()))
            .map(|at| at.timestamp())
    })
}
