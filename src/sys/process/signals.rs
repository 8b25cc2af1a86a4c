//! Signals to this program. While a step runs, TERM, INT and HUP wake the waiting door, which
//! passes the stop on to the step's group; at any other time they end the program as usual.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

struct Signals {
    wake: UnixStream,
    outside_step: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// From here on a stop is passed on to the step instead of ending this program.
pub(super) fn begin_step() -> anyhow::Result<()> {
    if SIGNALS.get().is_none() {
        let made = register().context("cannot watch for signals")?;
        // A second thread may have been faster; its registration serves as well.
        let _ = SIGNALS.set(made);
    }
    if let Some(signals) = SIGNALS.get() {
        signals.outside_step.store(false, Ordering::SeqCst);
    }
    Ok(())
}

/// The step is over; a stop ends this program again.
pub(super) fn end_step() {
    if let Some(signals) = SIGNALS.get() {
        signals.outside_step.store(true, Ordering::SeqCst);
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
    let outside_step = Arc::new(AtomicBool::new(false));
    let received = Arc::new(AtomicUsize::new(0));
    for (signal, number) in [(SIGTERM, 15), (SIGINT, 2), (SIGHUP, 1)] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&outside_step))?;
        signal_hook::flag::register_usize(signal, Arc::clone(&received), number)?;
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    signal_hook::low_level::pipe::register(SIGCHLD, write)?;
    // A limit on file sizes then shows as an error of the write, which is reported, not as a death.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(Signals { wake, outside_step, received })
}
