//! The engine: performs the journal's phase or stage, and goes where its result leads. The one
//! place where a transaction changes direction.

use super::journal::Cause;
use super::phase::{Phase, UndoStage};
use super::steps::{self, Next};
use super::transaction::{Stop, Transaction, plain_cause};
use super::{finish, undo};
use crate::outcome::{Halt, Outcome, Reason};

/// Drives a transaction, entered at its journal's phase or stage, to its end.
pub fn drive(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    loop {
        let ended = match tx.journal.undo {
            None => forward(tx)?,
            Some(stage) => back(tx, stage)?,
        };
        if let Some(outcome) = ended {
            return Ok(outcome);
        }
        // Only the first phase of a run can have been begun by a dead one.
        tx.resumed = false;
    }
}

/// One phase forward. `Some`: the attempt is over.
fn forward(tx: &mut Transaction<'_>) -> Result<Option<Outcome>, Halt> {
    let phase = tx.journal.phase;
    match (steps::perform(tx), phase.next()) {
        (Ok(Next::AwaitCaller), _) => finish::awaiting_caller(tx).map(Some),
        (Ok(Next::Go), Some(next)) => tx.enter(next).map(|()| None),
        (Ok(Next::Go), None) => finish::deployed(tx).map(Some),
        (Err(Stop::Refused(halt)), _) => finish::refused(tx, halt).map(Some),
        (Err(Stop::Broken(halt)), _) if halt.reason == Reason::IoError => turn(tx, own_fault(phase, &halt)),
        (Err(Stop::Broken(halt)), _) => Err(halt),
        (Err(Stop::Failed(cause)), _) => turn(tx, *cause),
    }
}

/// What this computer refused would be refused to the next run as well.
fn own_fault(phase: Phase, halt: &Halt) -> Cause {
    let cause = plain_cause(phase, format!("{} failed: {halt}", phase.step()));
    Cause { reason: halt.reason.code().to_owned(), ..cause }
}

/// A phase failed: nothing to undo, or not wanted, or back from here on.
pub fn turn(tx: &mut Transaction<'_>, cause: Cause) -> Result<Option<Outcome>, Halt> {
    if tx.journal.phase == Phase::Fetching {
        return finish::failed_early(tx, cause).map(Some);
    }
    if !tx.journal.commands.rollback {
        return finish::stopped(tx, cause).map(Some);
    }
    tx.journal.cause = Some(cause);
    tx.enter_undo(UndoStage::Snapshot).map(|()| None)
}

/// One stage back. `Some`: the attempt is over.
fn back(tx: &mut Transaction<'_>, stage: UndoStage) -> Result<Option<Outcome>, Halt> {
    match (undo::perform(tx, stage), stage.next()) {
        (Ok(()), Some(next)) => tx.enter_undo(next).map(|()| None),
        (Ok(()), None) => finish::undone(tx).map(Some),
        (Err(Stop::Broken(halt)), _) if halt.reason != Reason::IoError => Err(halt),
        (Err(stop), _) => finish::undo_failed(tx, undo::failure(stage, stop)).map(Some),
    }
}
