//! What the operating system says about this computer: its short name and its time zone.

use jiff::tz::TimeZone;

/// The host name up to its first dot; `localhost` where there is none that can be used.
pub fn short_name() -> String {
    let full = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = full.split('.').next().unwrap_or_default();
    super::values::computer_name(short).unwrap_or_else(|_| "localhost".to_owned())
}

/// The system's zone; UTC where the system does not say.
pub fn time_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}
