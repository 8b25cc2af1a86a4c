//! The one place that speaks to people beside the result: lines on standard error. Results never
//! come here. Nobody reading them, or a full disk behind them, changes nothing about a run.

use std::io::Write;

/// A warning for people.
pub fn warn(message: &str) {
    say(&format!("warning: {message}"));
}

/// A line of diagnostics.
pub fn say(line: &str) {
    // `eprintln!` panics where this cannot be written, and a panic would be another exit code.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
