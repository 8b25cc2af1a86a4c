//! Taking up the journal of a dead run: whatever it had running is ended, then the transaction
//! goes on in the direction it had. A transaction that keeps dying turns back.

use std::time::Duration;

use super::drive::drive;
use super::journal::Journal;
use super::phase::{Phase, UndoStage};
use super::progress::Progress;
use super::transaction::{Rooms, Transaction, plain_cause};
use crate::outcome::{Halt, Outcome};
use crate::sys::clock;
use crate::sys::process;

/// How long the dead of an interrupted restart may take to be reaped; the first process of some
/// containers looks only every few seconds. After that the health check decides as it is.
const REAPING: Duration = Duration::from_secs(5);

/// Takes up a dead run's journal and drives it to its end.
pub fn take_up(rooms: &Rooms<'_>, journal: Journal, progress: Progress) -> Result<Outcome, Halt> {
    let mut tx = Transaction::new(rooms, journal, true, progress)?;
    end_step(&mut tx)?;
    tx.journal.take_over();
    if tx.journal.awaiting_caller {
        // Its run ended in order; the wait for the caller is no phase's time.
        tx.journal.phase_at = clock::now();
        tx.resumed = false;
    } else {
        tx.journal.resumes = tx.journal.resumes.saturating_add(1);
    }
    match tx.journal.undo {
        Some(stage) => tx.enter_undo(stage)?,
        None if turns_back(&tx.journal) => {
            let message =
                format!("it was interrupted {} times during {}", tx.journal.resumes, tx.journal.phase.step());
            tx.journal.cause = Some(plain_cause(tx.journal.phase, message));
            tx.enter_undo(UndoStage::Snapshot)?;
        }
        None => tx.enter(tx.journal.phase)?,
    }
    drive(&mut tx)
}

/// Goes on with a transaction that stopped where it failed (`rollback: false`).
pub fn go_on(rooms: &Rooms<'_>, mut journal: Journal, progress: Progress) -> Result<Outcome, Halt> {
    journal.stopped = false;
    journal.cause = None;
    journal.attempt = journal.attempt.saturating_add(1);
    journal.id = super::attempt_id(clock::now());
    journal.take_over();
    let mut tx = Transaction::new(rooms, journal, true, progress)?;
    tx.enter(tx.journal.phase)?;
    drive(&mut tx)
}

fn turns_back(journal: &Journal) -> bool {
    journal.keeps_dying() && journal.commands.rollback
}

/// Whether the step may have started a daemon, which then ended with it.
fn is_restart(journal: &Journal) -> bool {
    match journal.undo {
        Some(stage) => stage == UndoStage::Restart,
        None => journal.phase == Phase::Restarting,
    }
}

fn end_step(tx: &mut Transaction<'_>) -> Result<(), Halt> {
    let Some(mark) = tx.journal.step.take() else { return Ok(()) };
    process::end_leftover(&mark)?;
    if is_restart(&tx.journal) {
        process::await_reaped(&mark, REAPING);
    }
    Ok(())
}
