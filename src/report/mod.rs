//! Outcome → files and one line. Changes nothing else.

pub mod history;
pub mod logs;
pub mod status;

/// A warning for people, on standard error.
#[expect(clippy::print_stderr, reason = "the one place that warns")]
pub fn warn(message: &str) {
    eprintln!("warning: {message}");
}
