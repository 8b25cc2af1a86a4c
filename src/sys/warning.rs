//! The one place that warns: a line for people on standard error. Results never come here.

/// A warning for people.
#[expect(clippy::print_stderr, reason = "this is the door")]
pub fn warn(message: &str) {
    eprintln!("warning: {message}");
}
