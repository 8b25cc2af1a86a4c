//! How an attempt ends: what goes into status, history and the list of failed targets, and what
//! the caller is told. The journal is removed last, so that a kill in here is made good by the
//! next run.

use serde_json::{Map, Value, json};

use super::journal::{Cause, Journal};
use super::transaction::{Transaction, step_error};
use super::{snapshot, undo};
use crate::failed;
use crate::outcome::{Exit, Halt, Outcome, Reason};
use crate::report::history::{self, Attempt, PhaseTime};
use crate::report::status::{Standing, Status, whole_seconds};
use crate::sys::clock;
use crate::version::CommitId;

/// Names of accounts of time, in the order an attempt goes through them.
const PHASES: &[&str] =
    &["fetching", "checking_out", "migrating", "installing", "restarting", "verifying", "undoing"];

/// The new version is in place and healthy.
pub fn deployed(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    let (from, to) = (tx.journal.from.clone(), tx.journal.to.clone());
    let told = kept(&tx.journal);
    let message = format!("updated from {from} to {to}{told}");
    failed::forget(tx.rooms.home, &tx.journal.to_commit)?;
    withdraw_signal(tx)?;
    let verified_later = tx.journal.awaiting_caller;
    let outcome = if verified_later {
        Outcome::new(Exit::Done, "nothing", format!("{to} is verified healthy after the restart{told}"))
            .because(Reason::Verified)
    } else {
        Outcome::new(Exit::Updated, "updated", message.clone())
    };
    close(tx, Standing::Deployed, ("updated", None, &message))?;
    Ok(with_facts(outcome, &tx.journal))
}

/// Everything is in place; the caller restarts the daemon, the next run verifies it.
pub fn awaiting_caller(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    let message = format!(
        "{} is in place; restart the daemon now, the next run of apply-update verifies it",
        tx.journal.to
    );
    withdraw_signal(tx)?;
    tx.journal.phase = super::phase::Phase::Verifying;
    tx.journal.phase_at = clock::now();
    tx.save()?;
    tx.status(Standing::Restarting, message.clone()).ended().save(tx.rooms.home)?;
    tx.progress().close();
    Ok(with_facts(Outcome::new(Exit::Updated, "updated", message), &tx.journal))
}

/// The attempt failed; the previous version is back.
pub fn undone(tx: &mut Transaction<'_>) -> Result<Outcome, Halt> {
    let cause = cause_of(&tx.journal);
    let next = count_failure(tx, &cause)?;
    let (from, to) = (&tx.journal.from, &tx.journal.to);
    let mut message = format!("{to} was not installed: {}; {from} is back", cause.message);
    if tx.journal.awaiting_caller {
        message += "; restart the daemon to run it";
    }
    message += &kept(&tx.journal);
    message += &next.1;
    close(tx, Standing::RolledBack, ("rolled_back", Some(&cause), &message))?;
    let mut outcome = Outcome::new(Exit::Failed, "rolled_back", message);
    outcome.reason = reason(&cause);
    Ok(with_failure(with_facts(outcome, &tx.journal), &cause, &next.0))
}

/// The attempt failed before anything of the checkout was changed.
pub fn failed_early(tx: &mut Transaction<'_>, cause: Cause) -> Result<Outcome, Halt> {
    tx.journal.cause = Some(cause.clone());
    let next = count_failure(tx, &cause)?;
    let message =
        format!("{} was not installed: {}; nothing was changed{}", tx.journal.to, cause.message, next.1);
    close(tx, Standing::Error, ("failed", Some(&cause), &message))?;
    let mut outcome = Outcome::new(Exit::Failed, "failed", message);
    outcome.reason = reason(&cause);
    Ok(with_failure(with_facts(outcome, &tx.journal), &cause, &next.0))
}

/// With `rollback: false`: the attempt failed and stays where it is.
pub fn stopped(tx: &mut Transaction<'_>, cause: Cause) -> Result<Outcome, Halt> {
    tx.journal.cause = Some(cause.clone());
    tx.journal.stopped = true;
    let next = count_failure(tx, &cause)?;
    let message = format!(
        "{} failed: {}; rollback is off, so the checkout stays at it{}",
        tx.journal.to, cause.message, next.1
    );
    record(tx, ("failed", Some(&cause), &message))?;
    tx.status(Standing::Error, message.clone()).ended().save(tx.rooms.home)?;
    tx.save()?;
    tx.progress().close();
    let mut outcome = Outcome::new(Exit::Failed, "failed", message);
    outcome.reason = reason(&cause);
    Ok(with_failure(with_facts(outcome, &tx.journal), &cause, &next.0))
}

/// Going back failed too: loud, with what a person does. The journal stays, the next run tries
/// again.
pub fn undo_failed(tx: &mut Transaction<'_>, failure: Cause) -> Result<Outcome, Halt> {
    let cause = cause_of(&tx.journal);
    tx.journal.undo_failures = tx.journal.undo_failures.saturating_add(1);
    tx.journal.begin_stage_anew();
    tx.save()?;
    let lines = undo::by_hand(tx);
    let message = format!(
        "{} failed ({}) and going back to {} failed too: {}; by hand: {}",
        tx.journal.to,
        cause.message,
        tx.journal.from,
        failure.message,
        lines.join(" ; ")
    );
    record(tx, ("failed", Some(&failure), &message))?;
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
    Journal::remove(tx.rooms.home)?;
    tx.progress().close();
    Err(halt)
}

fn withdraw_signal(tx: &Transaction<'_>) -> Result<(), Halt> {
    let file = tx.rooms.home.signal();
    let locked = file.lock()?;
    let now: Option<crate::signal::Signal> = locked.read()?;
    if now.is_some_and(|s| s.available_commit == tx.journal.to_commit) { locked.remove() } else { Ok(()) }
}

/// Counts the failure; gives the next try for JSON and for the sentence.
fn count_failure(tx: &Transaction<'_>, cause: &Cause) -> Result<(Value, String), Halt> {
    let why = (reason(cause).unwrap_or(Reason::IoError), cause.message.as_str());
    let j = &tx.journal;
    let failed = failed::count(tx.rooms.home, &j.to_commit, &j.to, why, clock::now())?;
    if failed.attempts >= j.commands.max_attempts {
        let text = "; it is given up until a newer version appears or 'apply-update --retry'".to_owned();
        return Ok((Value::Null, text));
    }
    let at = clock::rfc3339(failed.next_try_at);
    let text = format!("; it is tried again after {at}");
    Ok((at.into(), text))
}

fn close(
    tx: &mut Transaction<'_>,
    standing: Standing,
    end: (&str, Option<&Cause>, &str),
) -> Result<(), Halt> {
    record(tx, end)?;
    let mut status: Status = tx.status(standing, end.2.to_owned()).ended();
    if standing == Standing::Deployed {
        status.reason = None;
        status.error = None;
    } else {
        status.next_try_at = failed::lookup(tx.rooms.home, &tx.journal.to_commit)?
            .filter(|f| f.attempts < tx.journal.commands.max_attempts)
            .map(|f| whole_seconds(f.next_try_at));
    }
    status.save(tx.rooms.home)?;
    Journal::remove(tx.rooms.home)?;
    snapshot::discard(tx.rooms.home)?;
    tx.logs().prune()?;
    tx.progress().close();
    Ok(())
}

/// One line an attempt: a run that takes up a journal whose line is written already replaces it.
fn record(tx: &mut Transaction<'_>, end: (&str, Option<&Cause>, &str)) -> Result<(), Halt> {
    let now = clock::now();
    let spent_in = if tx.journal.undo.is_some() { "undoing" } else { tx.journal.phase.as_str() };
    tx.journal.book(spent_in, now);
    let j = &tx.journal;
    let spent =
        |phase: &&str| j.durations.get(*phase).map(|ms| PhaseTime { phase: (*phase).to_owned(), ms: *ms });
    let attempt = Attempt {
        schema: 1,
        started_at: whole_seconds(j.started_at),
        finished_at: whole_seconds(now),
        channel: j.channel,
        from: j.from.clone(),
        to: j.to.clone(),
        from_commit: j.from_commit.clone(),
        to_commit: j.to_commit.clone(),
        attempt: j.attempt,
        outcome: end.0.to_owned(),
        reason: end.1.map(|c| c.reason.clone()),
        message: end.2.to_owned(),
        error: end.1.map(step_error),
        migrations: j.migrations.clone(),
        phases: PHASES.iter().filter_map(spent).collect(),
        id: Some(j.id.clone()),
        extra: Map::new(),
    };
    history::record(tx.rooms.home, &attempt)
}

fn cause_of(journal: &Journal) -> Cause {
    journal
        .cause
        .clone()
        .unwrap_or_else(|| super::transaction::plain_cause(journal.phase, "it was interrupted".into()))
}

fn reason(cause: &Cause) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|r| r.code() == cause.reason)
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
