//! Signals to this program. While a step runs, TERM, INT and HUP wake the waiting door, which
//! passes the stop on to the step's group; at any other time they end the program as usual.
//! What was ignored when the program began stays so.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use super::inherited;

struct Signals {
    wake: UnixStream,
    steps: Steps,
    received: Arc<AtomicUsize>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// How many steps run now. They are counted: one may run within another (`ps` is asked about a
/// step that has just begun), and its end is not the outer one's.
#[derive(Default)]
struct Steps {
    running: Mutex<usize>,
    /// What the handlers look at: none runs.
    none: Arc<AtomicBool>,
}

impl Steps {
    fn change(&self, by: impl FnOnce(usize) -> usize) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = by(*running);
        self.none.store(*running == 0, Ordering::SeqCst);
    }
}

/// For as long as this is there a stop does not end this program: the step that runs is ended, or the
/// next one that begins.
#[derive(Debug)]
pub struct StopsNoted(());

impl StopsNoted {
    /// From here on a stop is noted.
    pub fn begin() -> anyhow::Result<Self> {
        if SIGNALS.get().is_none() {
            let made = register().context("cannot watch for signals")?;
            // A second thread may have been faster; its registration serves as well.
            let _ = SIGNALS.set(made);
        }
        if let Some(signals) = SIGNALS.get() {
            signals.steps.change(|running| running + 1);
        }
        Ok(Self(()))
    }
}

impl Drop for StopsNoted {
    /// After the last one a stop ends this program as usual.
    fn drop(&mut self) {
        if let Some(signals) = SIGNALS.get() {
            signals.steps.change(|running| running.saturating_sub(1));
        }
    }
}

/// Readable whenever a child ended or a stop arrived.
pub(super) fn wake_fd() -> Option<BorrowedFd<'static>> {
    SIGNALS.get().map(|signals| signals.wake.as_fd())
}

/// Empties the wake-up pipe.
pub(super) fn drain() {
    if let Some(signals) = SIGNALS.get() {
        let mut buffer = [0_u8; 64];
        while matches!((&signals.wake).read(&mut buffer), Ok(n) if n > 0) {}
    }
}

/// The stop that arrived, once.
pub(super) fn take_stop() -> Option<i32> {
    let number = SIGNALS.get()?.received.swap(0, Ordering::SeqCst);
    i32::try_from(number).ok().filter(|n| *n != 0)
}

fn register() -> std::io::Result<Signals> {
    let (wake, write) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    let steps = Steps::default();
    let received = Arc::new(AtomicUsize::new(0));
    let ignored = inherited::ignored();
    for (signal, number) in [(SIGTERM, 15), (SIGINT, 2), (SIGHUP, 1)] {
        if ignored.contains(&signal) {
            continue;
        }
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&steps.none))?;
        signal_hook::flag::register_usize(signal, Arc::clone(&received), number)?;
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    signal_hook::low_level::pipe::register(SIGCHLD, write)?;
    // A limit on file sizes then shows as an error of the write, which is reported, not as a death.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(Signals { wake, steps, received })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_last_step_lets_a_stop_end_the_program() {
        let steps = Steps::default();
        let none_after = |by: fn(usize) -> usize| {
            steps.change(by);
            steps.none.load(Ordering::SeqCst)
        };
        assert!(!none_after(|n| n + 1));
        assert!(!none_after(|n| n + 1), "a step within a step");
        assert!(!none_after(|n| n - 1), "the outer one still runs");
        assert!(none_after(|n| n - 1));
    }

    /// Other tests may run steps beside this one; that is no end of ours either.
    #[test]
    fn a_command_within_a_step_leaves_the_step_its_signals() {
        let outer = StopsNoted::begin().unwrap();
        let inner = super::super::Invocation::new(&["true"], std::path::Path::new("/"));
        assert!(inner.capture().unwrap().end.success());
        assert!(!SIGNALS.get().unwrap().steps.none.load(Ordering::SeqCst));
        drop(outer);
    }
}
