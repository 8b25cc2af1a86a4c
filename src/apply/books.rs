//! The books that are kept about an attempt once it is decided: failures, history, status. The
//! verdict is durable in the journal before the first of them, and all of them can be written again, so
//! a run that breaks off in here is made good by the next one: it only finishes the books.

use serde_json::{Map, Value};

use super::journal::{Cause, Journal, Verdict};
use super::snapshot;
use super::transaction::{Transaction, step_error};
use crate::failed;
use crate::outcome::{Halt, Reason};
use crate::report::history::{self, Attempt, PhaseTime};
use crate::report::status::{Standing, whole_seconds};
use crate::signal::Signal;
use crate::sys::clock;
use crate::sys::warning::warn;

/// Names of accounts of time, in the order an attempt goes through them.
const PHASES: &[&str] =
    &["fetching", "checking_out", "migrating", "installing", "restarting", "verifying", "undoing"];

/// How an attempt is told: the outcome word of the history, the cause of a failure, one sentence.
pub type End<'a> = (&'a str, Option<&'a Cause>, &'a str);

/// Makes a verdict durable. From here on the attempt is neither resumed nor undone.
pub fn decide(tx: &mut Transaction<'_>, verdict: Verdict) -> Result<(), Halt> {
    if tx.journal.verdict == Some(verdict) {
        return Ok(());
    }
    tx.journal.book_now(clock::now());
    tx.journal.verdict = Some(verdict);
    tx.journal.step = None;
    tx.save()
}

/// The signal for what is installed now goes. One that stays is withdrawn by the next run.
pub fn withdraw_signal(tx: &Transaction<'_>) {
    let withdraw = || {
        let file = tx.rooms.home.signal();
        let locked = file.lock()?;
        let now: Option<Signal> = locked.read()?;
        if now.is_some_and(|s| s.available_commit == tx.journal.to_commit) { locked.remove() } else { Ok(()) }
    };
    or_warn(withdraw(), "the signal of this update stays until the next run");
}

/// Earlier failures of what is installed now are forgotten.
pub fn forget_failures(tx: &Transaction<'_>) {
    let forgotten = failed::forget(tx.rooms.home, &tx.journal.to_commit);
    or_warn(forgotten, "earlier failures of this version stay on record");
}

/// What is known of a failed target's next try.
#[derive(Debug)]
pub struct NextTry {
    /// When; none: it is given up.
    pub at: Option<jiff::Timestamp>,
    /// For the end of a sentence.
    pub told: String,
}

impl NextTry {
    /// As JSON has it.
    pub fn to_json(&self) -> Value {
        self.at.map_or(Value::Null, |at| clock::rfc3339(at).into())
    }
}

/// Counts the failure, once for each attempt.
pub fn count_failure(tx: &Transaction<'_>, cause: &Cause) -> Result<NextTry, Halt> {
    let why = (cause.known_reason().unwrap_or(Reason::IoError), cause.message.as_str());
    let j = &tx.journal;
    let failed = failed::count(tx.rooms.home, &j.to_commit, &j.to, &j.id, why, clock::now())?;
    if failed.attempts >= j.commands.max_attempts {
        let told = "; it is given up until a newer version appears or 'apply-update --retry'".to_owned();
        return Ok(NextTry { at: None, told });
    }
    let told = format!("; it is tried again after {}", clock::rfc3339(failed.next_try_at));
    Ok(NextTry { at: Some(failed.next_try_at), told })
}

/// Writes the last of the books and ends the transaction.
pub fn close(
    tx: &mut Transaction<'_>,
    standing: Standing,
    end: End<'_>,
    next: Option<&NextTry>,
) -> Result<(), Halt> {
    record(tx, end);
    show(tx, standing, end, next)?;
    tidy(tx);
    end_journal(tx)
}

/// The last status of a run.
pub fn show(
    tx: &Transaction<'_>,
    standing: Standing,
    end: End<'_>,
    next: Option<&NextTry>,
) -> Result<(), Halt> {
    let mut status = tx.status(standing, end.2.to_owned()).ended();
    if standing == Standing::Deployed {
        status.reason = None;
        status.error = None;
    }
    status.next_try_at = next.and_then(|next| next.at).map(whole_seconds);
    status.save(tx.rooms.home)
}

/// One line an attempt: a run that takes up a journal whose line is written already replaces it. The
/// line is for people: an attempt without one has ended all the same.
pub fn record(tx: &Transaction<'_>, end: End<'_>) {
    let recorded = history::record(tx.rooms.home, &line(&tx.journal, end));
    let file = tx.rooms.home.history();
    let what = format!(
        "this attempt is missing in the history; if {} is no plain file, move it away, if the disk is full, make room",
        file.display()
    );
    or_warn(recorded, &what);
}

fn line(j: &Journal, end: End<'_>) -> Attempt {
    let spent =
        |phase: &&str| j.durations.get(*phase).map(|ms| PhaseTime { phase: (*phase).to_owned(), ms: *ms });
    Attempt {
        schema: 1,
        started_at: whole_seconds(j.started_at),
        // When the time was booked last, which the verdict did: its line may come much later.
        finished_at: whole_seconds(j.phase_at),
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
    }
}

/// Left-overs are no part of the result. They go before the journal, which alone knows of them.
fn tidy(tx: &Transaction<'_>) {
    let folder = tx.rooms.home.snapshot();
    let what = format!("copies that are no longer needed stay; remove {}", folder.display());
    or_warn(snapshot::discard(tx.rooms.home).map_err(Halt::from), &what);
    or_warn(tx.logs().prune().map_err(Halt::from), "old logs stay until the next run");
}

/// Removes the journal, as the last thing of a transaction. One that is gone, if not yet durably, is
/// no fault: should it come back after a power failure, its books are written once more.
pub fn end_journal(tx: &mut Transaction<'_>) -> Result<(), Halt> {
    let removed = Journal::remove(tx.rooms.home);
    tx.progress().close();
    match removed {
        Err(halt) if !tx.rooms.home.journal().path().exists() => {
            or_warn(Err(halt), "the end of this update may be put on record once more");
            Ok(())
        }
        other => other,
    }
}

fn or_warn(done: Result<(), Halt>, what: &str) {
    if let Err(halt) = done {
        warn(&format!("{halt}: {what}"));
    }
}
