//! Taking up the journal of a dead run: whatever it had running is ended, then the transaction
//! goes on in the direction it had. A transaction that keeps dying turns back.

use std::time::Duration;

use super::commands::Commands;
use super::drive::{drive, turn};
use super::finish;
use super::journal::Journal;
use super::phase::{Phase, UndoStage};
use super::transaction::{Rooms, Transaction, plain_cause};
use super::{Request, progress_of};
use crate::outcome::{Halt, Outcome};
use crate::sys::clock;
use crate::sys::process;

/// How long the dead of an interrupted restart may take to be reaped; the first process of some
/// containers looks only every few seconds. After that the health check decides as it is.
const REAPING: Duration = Duration::from_secs(5);

/// Takes up a dead run's journal and drives it to its end.
pub fn take_up(rooms: &Rooms<'_>, journal: Journal, request: &Request) -> Result<Outcome, Halt> {
    let mut tx = Transaction::new(rooms, journal, true, progress_of(request))?;
    end_step(&mut tx)?;
    tx.journal.take_over();
    if let Some(verdict) = tx.journal.verdict {
        return finish::complete(&mut tx, verdict);
    }
    if tx.journal.awaiting_caller && !tx.journal.caller_came {
        take_over_from_caller(&mut tx, request);
    } else {
        tx.journal.resumes = tx.journal.resumes.saturating_add(1);
    }
    match tx.journal.undo {
        Some(stage) => tx.enter_undo(stage)?,
        None if tx.journal.keeps_dying() => {
            let message =
                format!("it was interrupted {} times during {}", tx.journal.resumes, tx.journal.phase.step());
            let cause = plain_cause(tx.journal.phase, message);
            if let Some(outcome) = turn(&mut tx, cause)? {
                return Ok(outcome);
            }
        }
        None => tx.enter(tx.journal.phase)?,
    }
    drive(&mut tx)
}

/// The run before this one ended in order and left the restart to its caller, for that one time: should
/// the new version not be healthy, the previous one is restarted as this run has it.
fn take_over_from_caller(tx: &mut Transaction<'_>, request: &Request) {
    tx.journal.caller_came = true;
    // The wait for the caller is no phase's time.
    tx.journal.phase_at = clock::now();
    tx.resumed = false;
    if let Some(now) = commands_now(tx.rooms, request) {
        tx.journal.commands.restart = now.restart;
    }
}

/// The commands as they are configured now, as a journal may have them.
fn commands_now(rooms: &Rooms<'_>, request: &Request) -> Option<Commands> {
    let mut now = rooms.commands.clone()?;
    if request.no_restart {
        now.restart = None;
    }
    Some(now.masked(&rooms.redactor))
}

/// Goes on with a transaction that stopped where it failed (`rollback: false`): a new attempt, with the
/// commands that a person may have put right meanwhile.
pub fn go_on(rooms: &Rooms<'_>, mut journal: Journal, request: &Request) -> Result<Outcome, Halt> {
    journal.stopped = false;
    journal.cause = None;
    journal.resumes = 0;
    // That a restart was begun stays known, for the way back; how often is this attempt's own count.
    journal.restarts_begun = journal.restarts_begun.min(1);
    if let Some(now) = commands_now(rooms, request) {
        journal.commands = now;
    }
    journal.attempt = journal.attempt.saturating_add(1);
    journal.id = super::attempt_id(clock::now());
    journal.take_over();
    let mut tx = Transaction::new(rooms, journal, true, progress_of(request))?;
    tx.enter(tx.journal.phase)?;
    drive(&mut tx)
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
