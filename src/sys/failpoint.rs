//! Places where a test can make a door fail or kill the program. Compiled in only with the
//! feature `failpoints`; otherwise every call is empty.
//!
//! `TELECLAUDE_FAILPOINT=kill@17` kills the program at the 17th place it passes, `error@17` makes
//! the door there report a full disk; `TELECLAUDE_FAILPOINT_LOG=FILE` gets one line a place.

/// Passing a place; an error is the door's to report.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn pass(_place: &str) -> std::io::Result<()> {
    Ok(())
}

/// Passing a place; an error is the door's to report.
#[cfg(feature = "failpoints")]
pub fn pass(place: &str) -> std::io::Result<()> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static PASSED: AtomicUsize = AtomicUsize::new(0);
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    note(place, number)?;
    match wanted() {
        Some((action, at)) if at == number => act(&action),
        _ => Ok(()),
    }
}

#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "a door of its own, for tests")]
fn wanted() -> Option<(String, usize)> {
    let text = std::env::var("TELECLAUDE_FAILPOINT").ok()?;
    let (action, number) = text.split_once('@')?;
    Some((action.to_owned(), number.parse().ok()?))
}

#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "a door of its own, for tests")]
fn note(place: &str, number: usize) -> std::io::Result<()> {
    use std::io::Write;
    let Some(path) = std::env::var_os("TELECLAUDE_FAILPOINT_LOG") else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{number} {place}")
}

#[cfg(feature = "failpoints")]
fn act(action: &str) -> std::io::Result<()> {
    if action == "kill" {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL)?;
    }
    Err(rustix::io::Errno::NOSPC.into())
}
