//! A transaction that stopped where it failed (`rollback: false`): whether it is still the one to go
//! on with, and what becomes of its half-written files when it is not.

use std::path::PathBuf;

use super::journal::Journal;
use super::phase::Phase;
use super::preflight;
use super::progress::{Mode, Progress};
use super::transaction::{Rooms, Stop, Transaction};
use super::tree::Goal;
use crate::checkout::Checkout;
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::warning::warn;

/// The one that stopped in this checkout, if HEAD is still where it left it.
pub fn here(home: &Home, checkout: &Checkout) -> Result<Option<Journal>, Halt> {
    let journal = Journal::read(home)?.filter(|j| j.rests() && j.repo == checkout.top());
    Ok(journal.filter(|j| *checkout.commit() == j.to_commit || is_half_written(j, checkout)))
}

/// Its checkout broke off: files of both versions are there, and HEAD has not moved.
fn is_half_written(journal: &Journal, checkout: &Checkout) -> bool {
    journal.phase == Phase::CheckingOut && *checkout.commit() == journal.from_commit
}

/// Before another target begins: files that are half written go back to the version that HEAD names,
/// or they would be taken for a person's edits. Returns what was kept.
pub fn put_back(rooms: &Rooms<'_>) -> Result<Vec<PathBuf>, Halt> {
    let half = here(rooms.home, rooms.checkout)?.filter(|j| is_half_written(j, rooms.checkout));
    let Some(journal) = half else { return Ok(vec![]) };
    preflight::nothing_under_way(rooms.checkout)?;
    let mut tx = Transaction::new(rooms, journal, true, Progress::new(Mode::Silent))?;
    tx.settle(Goal::Old).map_err(halt_of)?;
    let kept = tx.journal.kept;
    for path in &kept {
        warn(&format!("changed since the update to {} stopped, kept as: {}", tx.journal.to, path.display()));
    }
    Ok(kept)
}

fn halt_of(stop: Stop) -> Halt {
    match stop {
        Stop::Refused(halt) | Stop::Broken(halt) => halt,
        Stop::Failed(cause) => Halt::failed(Reason::CheckoutFailed, cause.message),
    }
}
