//! The wall clock. Decisions take a `Timestamp` as an argument; only callers at the edge ask here.

use jiff::Timestamp;

/// Now, in UTC.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// RFC 3339 UTC with whole seconds, as all our files have it.
pub fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 UTC, now.
pub fn now_rfc3339() -> String {
    rfc3339(now())
}
