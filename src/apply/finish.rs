//! How an attempt ends: the verdict, and what the caller is told. What is written about it is kept
//! by [`books`]; a run that finds a verdict in the journal comes straight here.

use serde_json::{Value, json};

use super::books::{self, NextTry};
use super::journal::{Cause, Journal, Verdict};
use super::transaction::{Transaction, step_error};
use super::undo;
use crate::outcome::{Exit, Halt, Outcome, Reason};
use crate::report::status::Standing;
use crate::sys::clock;
use crate::version::CommitId;

/// Finishes an attempt that was decided by a run which did not come to its end.
pub fn complete(tx: &mut Transaction<'_>, verdict: Verdict) -> Result<Outcome, Halt> {
    match verdict {
        Verdict::Deployed => deployed(tx),
        Verdict::Undone => undone(tx),
        Verdict::FailedEarly => failed_early(tx, cause_of(&tx.journal)),
        Verdict::Stopped => stopped(tx, cause_of(&tx.journal)),
    }
}

/// The new version is in place and healthy.
pub fn deployed(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    books::decide(tx, Verdict::Deployed)?;
    let (from, to) = (tx.journal.from.clone(), tx.journal.to.clone());
    let told = kept(&tx.journal);
    let message = format!("updated from {from} to {to}{told}");
    books::forget_failures(tx);
    books::withdraw_signal(tx);
    let verified_later = tx.journal.awaiting_caller;
    let outcome = if verified_later {
        Outcome::new(Exit::Done, "nothing", format!("{to} is verified healthy after the restart{told}"))
            .because(Reason::Verified)
    } else {
        Outcome::new(Exit::Updated, "updated", message.clone())
    };
    books::close(tx, Standing::Deployed, ("updated", None, &message), None)?;
    Ok(with_facts(outcome, &tx.journal))
}

/// Everything is in place; the caller restarts the daemon, the next run verifies it.
pub fn awaiting_caller(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    let message = format!(
        "{} is in place; restart the daemon now, the next run of apply-update verifies it",
        tx.journal.to
    );
    books::withdraw_signal(tx);
    // Before the journal says so: who is not told to restart must not have the old daemon verified.
    tx.status(Standing::Restarting, message.clone()).ended().save(tx.rooms.home)?;
    tx.journal.phase = super::phase::Phase::Verifying;
    tx.journal.phase_at = clock::now();
    tx.save()?;
    tx.progress().close();
    Ok(with_facts(Outcome::new(Exit::Updated, "updated", message), &tx.journal))
}

/// The attempt failed; the previous version is back.
pub fn undone(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    books::decide(tx, Verdict::Undone)?;
    let cause = cause_of(&tx.journal);
    let next = books::count_failure(tx, &cause)?;
    let (from, to) = (&tx.journal.from, &tx.journal.to);
    let mut message = format!("{to} was not installed: {}; {from} is back", cause.message);
    let restart_needed = tx.journal.awaiting_caller && tx.journal.commands.restart.is_none();
    if restart_needed {
        message += "; restart the daemon to run it";
    }
    message += &kept(&tx.journal);
    message += &next.told;
    books::close(tx, Standing::RolledBack, ("rolled_back", Some(&cause), &message), Some(&next))?;
    Ok(failed("rolled_back", message, tx, &cause, &next).with("restart_needed", restart_needed))
}

/// The attempt failed before anything of the checkout was changed.
pub fn failed_early(tx: &mut Transaction<'_>, cause: Cause) -> Result<Outcome, Halt> {
    tx.journal.cause = Some(cause.clone());
    books::decide(tx, Verdict::FailedEarly)?;
    let next = books::count_failure(tx, &cause)?;
    let message =
        format!("{} was not installed: {}; nothing was changed{}", tx.journal.to, cause.message, next.told);
    books::close(tx, Standing::Error, ("failed", Some(&cause), &message), Some(&next))?;
    Ok(failed("failed", message, tx, &cause, &next))
}

/// With `rollback: false`: the attempt failed and stays where it is, and so does the journal.
pub fn stopped(tx: &mut Transaction<'_>, cause: Cause) -> Result<Outcome, Halt> {
    tx.journal.cause = Some(cause.clone());
    tx.journal.stopped = true;
    books::decide(tx, Verdict::Stopped)?;
    let next = books::count_failure(tx, &cause)?;
    let message = format!(
        "{} failed: {}; rollback is off, so the checkout stays at it{}",
        tx.journal.to, cause.message, next.told
    );
    let end = ("failed", Some(&cause), message.as_str());
    books::record(tx, end);
    books::show(tx, Standing::Error, end, Some(&next))?;
    tx.journal.verdict = None;
    tx.save()?;
    tx.progress().close();
    Ok(failed("failed", message, tx, &cause, &next))
}

/// Going back failed too: loud, with what a person does. The journal stays, the next run tries
/// again.
pub fn undo_failed(tx: &mut Transaction<'_>, failure: Cause) -> Result<Outcome, Halt> {
    let cause = cause_of(&tx.journal);
    tx.journal.undo_failures = tx.journal.undo_failures.saturating_add(1);
    tx.journal.begin_stage_anew();
    tx.journal.book_now(clock::now());
    tx.save()?;
    let lines = undo::by_hand(tx);
    let message = format!(
        "{} failed ({}) and going back to {} failed too: {}; by hand: {}",
        tx.journal.to,
        cause.message,
        tx.journal.from,
        failure.message,
        lines.join(" && ")
    );
    books::record(tx, ("failed", Some(&failure), &message));
    let mut status = tx.status(Standing::Error, message.clone()).because(Reason::RollbackFailed).ended();
    status.error = Some(step_error(&failure));
    status.save(tx.rooms.home)?;
    tx.progress().close();
    let mut outcome = Outcome::new(Exit::Failed, "failed", message).because(Reason::RollbackFailed);
    outcome.lines = lines;
    Ok(with_failure(with_facts(outcome, &tx.journal), &failure, &Value::Null))
}

/// The run was refused before anything changed: no attempt, the journal goes.
pub fn refused(tx: &mut Transaction<'_>, halt: Halt) -> Result<Outcome, Halt> {
    books::end_journal(tx)?;
    Err(halt)
}

fn cause_of(journal: &Journal) -> Cause {
    journal
        .cause
        .clone()
        .unwrap_or_else(|| super::transaction::plain_cause(journal.phase, "it was interrupted".into()))
}

/// The result of an attempt that failed.
fn failed(
    word: &'static str,
    message: String,
    tx: &Transaction<'_>,
    cause: &Cause,
    next: &NextTry,
) -> Outcome {
    let mut outcome = Outcome::new(Exit::Failed, word, message);
    outcome.reason = cause.known_reason();
    with_failure(with_facts(outcome, &tx.journal), cause, &next.to_json())
}

fn with_failure(outcome: Outcome, cause: &Cause, next: &Value) -> Outcome {
    let error = json!({
        "step": cause.step, "command": cause.command, "exit": cause.exit,
        "log": cause.log, "tail": cause.tail, "message": cause.message,
    });
    outcome.with("error", error).with("next_try_at", next.clone())
}

/// What people changed or committed meanwhile, and where it is now.
fn kept(j: &Journal) -> String {
    let files = match j.kept.as_slice() {
        [] => String::new(),
        kept => format!("; changed while it ran, kept as: {}", paths(kept).join(", ")),
    };
    let commits = j.kept_commits.as_ref();
    let commits = commits.map(|kept| format!("; commits made while it ran are on branch {}", kept.branch));
    files + &commits.unwrap_or_default()
}

fn paths(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.display().to_string()).collect()
}

/// The facts every result of an attempt carries.
pub fn with_facts(outcome: Outcome, j: &Journal) -> Outcome {
    let commits = |c: &CommitId| Value::from(c.as_str());
    let mut outcome = outcome
        .with("channel", j.channel.as_str())
        .with("from", j.from.clone())
        .with("to", j.to.clone())
        .with("from_commit", commits(&j.from_commit))
        .with("to_commit", commits(&j.to_commit))
        .with("tag", j.tag.clone())
        .with("attempt", j.attempt)
        .with("resumed", j.resumes > 0)
        .with("local_edits", j.local_edits.clone())
        .with("migrations", j.migrations.clone())
        .with("durations_ms", json!(j.durations));
    if !j.local_edits.is_empty() {
        outcome.lines.push(format!("local edits left alone: {}", j.local_edits.join(", ")));
    }
    outcome
        .with("kept", paths(&j.kept))
        .with("kept_branch", j.kept_commits.as_ref().map(|k| k.branch.clone()))
}
