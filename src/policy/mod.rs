//! When an update may be applied: hold, minimum age, stagger, window, idle. Plain functions of
//! plain values; the clock and the facts are arguments. Safety checks are not policy and live
//! elsewhere.

pub mod sessions;
mod stagger;
mod window;

use jiff::{SignedDuration, Timestamp};

use crate::config::{Computer, Policy};
use crate::hold::Hold;
use crate::outcome::Reason;
use crate::plan::Target;
use crate::sys::clock::rfc3339;

pub use stagger::fraction;
pub use window::{is_open, next_opening, opened_at};

/// What the host's sessions are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nobody works, or there is nothing to look at.
    Idle,
    /// Somebody does; the text says what was seen.
    Active(String),
    /// It could not be told; counts as active.
    Unknown(String),
}

/// Why an update waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Deferral {
    /// Stable code.
    pub reason: Reason,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// One sentence.
    pub message: String,
}

impl Deferral {
    fn new(reason: Reason, until: Option<Timestamp>, message: String) -> Option<Self> {
        Some(Self { reason, until, message })
    }
}

/// The first thing that holds the update back, or `None`. `activity` is asked only when everything
/// else would let the update go.
pub fn decide(
    policy: &Policy,
    computer: &Computer,
    target: &Target,
    hold: Option<&Hold>,
    now: Timestamp,
    activity: &mut dyn FnMut() -> Activity,
) -> Option<Deferral> {
    // A clock that was ahead then and was put right since would make it wait until that far day.
    let seen = target.detected_at.min(now);
    let gates = Gates { policy, computer, target, seen, now };
    held(hold, now)
        .or_else(|| gates.too_young())
        .or_else(|| gates.not_this_computers_turn())
        .or_else(|| gates.patience_left().then(|| gates.outside_window()).flatten())
        .or_else(|| gates.patience_left().then(|| gates.sessions(activity)).flatten())
}

fn held(hold: Option<&Hold>, now: Timestamp) -> Option<Deferral> {
    let hold = hold.filter(|h| h.is_active(now))?;
    let why = hold.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let until = hold.until.map_or("until 'telec update resume'".into(), |u| format!("until {}", rfc3339(u)));
    Deferral::new(Reason::Hold, hold.until, format!("updates are held {until}{why}"))
}

/// What every gate looks at.
struct Gates<'a> {
    policy: &'a Policy,
    computer: &'a Computer,
    target: &'a Target,
    /// When this computer first saw it, at the latest now.
    seen: Timestamp,
    now: Timestamp,
}

impl Gates<'_> {
    /// Old enough from this time on. Something this computer saw some time ago is at least that
    /// old, whatever is known of its publication.
    fn aged_at(&self) -> Timestamp {
        let born = self.target.published_at.map_or(self.seen, |published| published.min(self.seen));
        plus(born, self.policy.minimum_age)
    }

    fn too_young(&self) -> Option<Deferral> {
        let until = self.aged_at();
        if self.policy.minimum_age.is_zero() || self.now >= until {
            return None;
        }
        let message =
            format!("{} is younger than minimum_age; it waits until {}", self.target.version, rfc3339(until));
        Deferral::new(Reason::MinimumAge, Some(until), message)
    }

    /// This computer's place in the span, the same at every run.
    fn turn_at(&self) -> Timestamp {
        let share = fraction(&self.computer.name, self.target.commit.as_str());
        plus(self.aged_at(), self.policy.stagger.mul_f64(share))
    }

    fn not_this_computers_turn(&self) -> Option<Deferral> {
        let until = self.turn_at();
        if self.policy.stagger.is_zero() || self.now >= until {
            return None;
        }
        let message =
            format!("updates are spread over time; it is this computer's turn at {}", rfc3339(until));
        Deferral::new(Reason::Stagger, Some(until), message)
    }

    /// From then on window, idle and turn-taking hold it back no longer.
    fn patience_ends(&self) -> Timestamp {
        plus(self.seen, self.policy.max_defer)
    }

    fn patience_left(&self) -> bool {
        self.now < self.patience_ends()
    }

    fn outside_window(&self) -> Option<Deferral> {
        if self.policy.window.is_empty() {
            return None;
        }
        let zone = &self.computer.zone();
        if is_open(&self.policy.window, zone, self.now) {
            return None;
        }
        let limit = self.patience_ends();
        let until = next_opening(&self.policy.window, zone, self.now).map_or(limit, |t| t.min(limit));
        let message = format!("outside the update window; it waits until {}", rfc3339(until));
        Deferral::new(Reason::Window, Some(until), message)
    }

    fn sessions(&self, activity: &mut dyn FnMut() -> Activity) -> Option<Deferral> {
        let opened = opened_at(&self.policy.window, &self.computer.zone(), self.now);
        let ready = self.turn_at().max(self.seen).max(opened.unwrap_or(Timestamp::MIN));
        let limit = plus(ready, self.policy.idle_limit).min(self.patience_ends());
        if self.policy.idle.is_zero() || self.now >= limit {
            return None;
        }
        let what = match activity() {
            Activity::Idle => return None,
            Activity::Active(what) | Activity::Unknown(what) => what,
        };
        let message = format!("{what}; it waits for a pause, at most until {}", rfc3339(limit));
        Deferral::new(Reason::Idle, Some(limit), message)
    }
}

/// A time so much later; the end of time where that is not representable.
fn plus(at: Timestamp, span: std::time::Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
