//! `telec update hold` and `resume`: a person says that this computer stays as it is, or goes on.
//! Needs no network and only the brief lock of its own file; a checkout only where a time of day
//! has to be read in the computer's zone.

use std::ffi::OsString;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, civil};
use lexopt::ValueExt;

use super::flags::{self, Flag};
use super::wrong;
use crate::checkout::Checkout;
use crate::cli::common::{Common, finish};
use crate::config::Settings;
use crate::hold::Hold;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome};
use crate::report::status::whole_seconds;
use crate::sys::clock;
use crate::sys::env::Environment;

const HOLD_HELP: &str = "\
Usage: telec update hold [--until T] [--reason TEXT] [--json]

Keeps this computer on its version until T, or until 'telec update resume'.
T is a time with its offset (2030-11-22T14:00:00Z), a local one in computer.timezone
(2030-11-22T14:00, 2030-11-22, 14:00), or how long from now (90m, 2h, 3 days).
";

const RESUME_HELP: &str = "\
Usage: telec update resume [--json]

Ends a hold.
";

/// The word `hold`.
pub(super) fn hold(arguments: Vec<OsString>) -> ExitCode {
    let (mut until, mut reason) = (None, None);
    let common = flags::parse(arguments, HOLD_HELP, &mut |flag, parser| {
        match flag {
            Flag::Long("until") => until = Some(parser.value()?.string()?),
            Flag::Long("reason") => reason = Some(in_one_line(&parser.value()?.string()?)),
            _ => return Ok(false),
        }
        Ok(true)
    });
    let common = match common {
        Ok(common) => common,
        Err(over) => return over,
    };
    let now = whole_seconds(clock::now());
    let until = match until.map(|text| end_of_hold(&text, now, || zone(&common))).transpose() {
        Ok(until) => until,
        Err(Fault::Usage(what)) => return wrong(&what, HOLD_HELP),
        Err(Fault::Halt(halt)) => return finish(&common, Err(halt)),
    };
    finish(&common, begin(&Hold::new(now, until, reason)))
}

/// The word `resume`.
pub(super) fn resume(arguments: Vec<OsString>) -> ExitCode {
    match flags::parse(arguments, RESUME_HELP, &mut |_, _| Ok(false)) {
        Ok(common) => finish(&common, end(clock::now())),
        Err(over) => over,
    }
}

/// It becomes part of sentences.
fn in_one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn begin(hold: &Hold) -> Result<Outcome, Halt> {
    let home = Home::open(&Environment::capture())?;
    hold.write(&home)?;
    let value = serde_json::to_value(hold).unwrap_or_default();
    Ok(Outcome::new(Exit::Done, "ok", describe(hold)).with("hold", value))
}

fn end(now: Timestamp) -> Result<Outcome, Halt> {
    let home = Home::open(&Environment::capture())?;
    Ok(match Hold::remove(&home)? {
        Some(hold) if hold.is_active(now) => {
            Outcome::new(Exit::Done, "ok", "the hold is over: updates are applied again")
        }
        _ => Outcome::new(Exit::Done, "nothing", "there was no hold: updates are applied"),
    })
}

/// A hold in one sentence.
pub(super) fn describe(hold: &Hold) -> String {
    let until = match hold.until {
        Some(until) => format!("until {}", clock::rfc3339(until)),
        None => "until 'telec update resume'".to_owned(),
    };
    let why = hold.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("updates are held {until}{why}")
}

enum Fault {
    Usage(String),
    Halt(Halt),
}

/// What `T` means at `now`. The zone is asked for only where it matters.
fn end_of_hold(
    text: &str,
    now: Timestamp,
    zone: impl FnOnce() -> Result<TimeZone, Halt>,
) -> Result<Timestamp, Fault> {
    let text = text.trim();
    let until = match text.parse::<Timestamp>() {
        Ok(until) => Some(until),
        Err(_) => match text.parse::<Span>() {
            Ok(span) => now.to_zoned(TimeZone::UTC).checked_add(span).ok().map(|at| at.timestamp()),
            Err(_) => local_time(text, now, zone)?,
        },
    };
    match until {
        Some(until) if until > now => Ok(whole_seconds(until)),
        Some(_) => Err(Fault::Usage(format!("--until {text} is not in the future"))),
        None => Err(Fault::Usage(format!("--until {text} is not a time"))),
    }
}

/// A local date, a local date and time, or the next time the clock shows the given time.
fn local_time(
    text: &str,
    now: Timestamp,
    zone: impl FnOnce() -> Result<TimeZone, Halt>,
) -> Result<Option<Timestamp>, Fault> {
    let (date, time) = (text.parse::<civil::DateTime>(), text.parse::<civil::Time>());
    if date.is_err() && time.is_err() {
        return Ok(None);
    }
    let zone = zone().map_err(Fault::Halt)?;
    let here = now.to_zoned(zone.clone());
    let at = match (date, time) {
        (Ok(at), _) => Some(at),
        (_, Ok(time)) if time > here.time() => Some(here.date().to_datetime(time)),
        (_, Ok(time)) => here.date().tomorrow().ok().map(|day| day.to_datetime(time)),
        _ => None,
    };
    Ok(at.and_then(|at| at.to_zoned(zone).ok()).map(|at| at.timestamp()))
}

fn zone(common: &Common) -> Result<TimeZone, Halt> {
    let env = Environment::capture();
    let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
    Ok(Settings::load(&checkout, &env)?.computer.zone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_hold() {
        let now: Timestamp = "2030-01-10T12:00:00Z".parse().unwrap();
        let cases = [
            ("2030-01-10T13:00:00Z", Some("2030-01-10T13:00:00Z")),
            ("2030-01-10T13:00:00+02:00", None),
            ("2030-01-10T15:00:00+02:00", Some("2030-01-10T13:00:00Z")),
            ("90m", Some("2030-01-10T13:30:00Z")),
            (" 2h ", Some("2030-01-10T14:00:00Z")),
            ("3 days", Some("2030-01-13T12:00:00Z")),
            ("-1h", None),
            ("0s", None),
            // Local times, five hours behind UTC: it is seven in the morning.
            ("2030-01-11", Some("2030-01-11T05:00:00Z")),
            ("2030-01-10 08:30", Some("2030-01-10T13:30:00Z")),
            ("08:00", Some("2030-01-10T13:00:00Z")),
            ("06:00", Some("2030-01-11T11:00:00Z")),
            ("2029-01-11", None),
            ("tomorrow", None),
            ("", None),
            ("99999999999 years", None),
            ("9000 years", None),
        ];
        for (text, expected) in cases {
            let zone = || Ok(TimeZone::fixed(jiff::tz::offset(-5)));
            let until = end_of_hold(text, now, zone).ok().map(clock::rfc3339);
            assert_eq!(until.as_deref(), expected, "{text:?}");
        }
    }
}
