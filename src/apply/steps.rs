//! The way forward, phase by phase. Each is safe to begin again after a kill.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::fetch::Fetch;
use super::journal::{Cause, HeadPlace};
use super::phase::Phase;
use super::transaction::{Stop, Transaction, failed_plainly, plain_cause};
use super::tree::{self, Goal};
use super::whereabouts::{self, Whereabouts};
use super::{head, ready, snapshot};
use crate::migrate::{self, Event, MigrationId, RunResult, Watcher};
use crate::outcome::{Halt, Reason};
use crate::project::Project;
use crate::sys::git::interrupted;
use crate::sys::process::{self, Finished, ProcessMark};
use crate::sys::warning::warn;
use crate::version::{ChannelName, CommitId, Version};

/// First pause between two health checks; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two health checks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What follows a phase that passed.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The next phase.
    Go,
    /// The caller restarts the daemon; the next run verifies.
    AwaitCaller,
}

/// Performs the journal's phase.
pub fn perform(tx: &mut Transaction<'_>) -> Result<Next, Stop> {
    match tx.journal.phase {
        Phase::Fetching => fetch_and_check(tx)?,
        Phase::CheckingOut => check_out(tx)?,
        Phase::Migrating => {
            holds_target(tx)?;
            run_migrations(tx)?;
        }
        Phase::Installing => {
            holds_target(tx)?;
            install(tx)?;
        }
        Phase::Restarting => {
            stands_on_target(tx)?;
            return restart(tx);
        }
        Phase::Verifying => {
            verify(tx)?;
            stands_on_target(tx)?;
        }
    }
    Ok(Next::Go)
}

/// The objects come here; then everything that could refuse the update is asked, before anything
/// of the checkout changes.
fn fetch_and_check(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let (rooms, old_head) = (tx.rooms, tx.journal.old_head.clone());
    let (to, tag) = (tx.journal.to_commit.clone(), tx.journal.tag.clone());
    let fetch = Fetch {
        checkout: rooms.checkout,
        network: &rooms.network,
        seen: &rooms.seen,
        remote: &rooms.remote,
        branch: &rooms.branch,
        to: &to,
        tag: tag.as_deref(),
        older: tx.journal.older,
        deadline: tx.deadline(Phase::Fetching),
        home: Some(rooms.home),
        signatures: &rooms.signatures,
    };
    let ready = ready::make(&fetch, &old_head, tx)?;
    tx.journal.branch_before = ready.branch_before;
    tx.journal.local_edits = ready.local_edits;
    tx.know(ready.changes);
    Ok(())
}

/// Files, index, HEAD. The first try is git's own merge, which refuses rather than overwrite; what
/// a dead run left half done is settled instead.
fn check_out(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    undisturbed(tx)?;
    if tx.resumed {
        tx.settle(Goal::New)?;
    } else {
        refresh_index(tx)?;
        let command = tree::advance_command(&tx.journal.from_commit, &tx.journal.to_commit);
        tx.run_git(Phase::CheckingOut, &command.map(OsString::from))?;
    }
    undisturbed(tx)?;
    let place = tx.journal.new_head.clone();
    move_head(tx, &place)?;
    tx.make_durable()
}

/// Before HEAD moves: it is where this update knows it to be.
fn undisturbed(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    match whereabouts::look(tx.top(), &tx.journal)? {
        Whereabouts::Old | Whereabouts::New => Ok(()),
        Whereabouts::Elsewhere(halt) => Err(tx.waits(halt)),
        Whereabouts::UponOld | Whereabouts::UponNew(..) => {
            Err(left_meanwhile(tx, Reason::LocalCommits, "commits were made in the checkout"))
        }
    }
}

/// What is restarted and found healthy is the new version, not what somebody switched to.
fn stands_on_target(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let now = whereabouts::look(tx.top(), &tx.journal)?;
    must_be_target(tx, now)
}

/// The scripts and commands that are run are the new version's, not those somebody is at work on.
fn holds_target(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let now = whereabouts::look_to_run(tx.top(), &tx.journal)?;
    must_be_target(tx, now)
}

fn must_be_target(tx: &mut Transaction<'_>, now: Whereabouts) -> Result<(), Stop> {
    match now {
        Whereabouts::New | Whereabouts::UponNew(..) => Ok(()),
        Whereabouts::Elsewhere(halt) => Err(tx.waits(halt)),
        Whereabouts::Old | Whereabouts::UponOld => {
            Err(left_meanwhile(tx, Reason::WrongBranch, "HEAD was taken back"))
        }
    }
}

fn left_meanwhile(tx: &Transaction<'_>, reason: Reason, what: &str) -> Stop {
    let message = format!("{what} while the update to {} ran", tx.journal.to);
    let cause = plain_cause(tx.journal.phase, message);
    Stop::Failed(Box::new(Cause { reason: reason.code().to_owned(), ..cause }))
}

/// Touched but unchanged files must not look changed to the merge. Its exit code tells of edited
/// files, which were looked at before.
fn refresh_index(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let command = tx.rooms.checkout.git().command(&["update-index", "-q", "--refresh"]);
    tx.run_git_on_record(Phase::CheckingOut.step(), &command).map(drop)
}

/// Takes HEAD to a place, wherever it is now.
pub fn move_head(tx: &mut Transaction<'_>, place: &HeadPlace) -> Result<(), Stop> {
    let note = format!("apply-update: {} -> {}", tx.journal.from, tx.journal.to);
    let j = &tx.journal;
    let kept = j.kept_commits.as_ref().map(|kept| &kept.commit);
    let known: Vec<&CommitId> =
        [&j.from_commit, &j.to_commit].into_iter().chain(&j.branch_before).chain(kept).collect();
    for command in head::moves(tx.rooms.checkout, place, &known, &note)? {
        tx.run_git(Phase::CheckingOut, &command)?;
    }
    Ok(())
}

/// What the migrations left of the snapshot's files is known from then on; the next entry in the
/// journal makes it durable.
fn run_migrations(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let ended = migrate(tx);
    if !matches!(&ended, Err(Stop::Broken(halt)) if halt.reason == Reason::Interrupted) {
        snapshot::note_after(&mut tx.journal.snapshot);
    }
    ended
}

fn migrate(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    if tx.journal.snapshot.is_empty() {
        tx.journal.snapshot = snapshot::take(tx.rooms.home, tx.top(), &tx.journal.commands.snapshot)?;
        tx.save()?;
    }
    let Some(to) = migration_target(tx) else { return Ok(()) };
    let planned = migrations(tx, &to, true)?;
    let ids = planned.pending.iter().map(ToString::to_string);
    let mut all: Vec<String> = tx.journal.migrations.drain(..).chain(ids).collect();
    all.sort();
    all.dedup();
    tx.journal.migrations = all;
    tx.save()?;
    let result = migrations(tx, &to, false)?;
    match result.failed {
        None => Ok(()),
        Some(failure) if failure.reason == Reason::Interrupted => {
            Err(Stop::Broken(Halt::failed(Reason::Interrupted, failure.error)))
        }
        Some(failure) => Err(Stop::Failed(Box::new(Cause {
            log: Some(failure.log.clone()),
            command: Some(failure.id.to_string()),
            ..plain_cause(Phase::Migrating, format!("migration {} failed: {}", failure.id, failure.error))
        }))),
    }
}

fn migration_target(tx: &Transaction<'_>) -> Option<Version> {
    migrations_up_to(tx.journal.channel, &tx.journal.to, || Project::read(tx.top()))
}

/// On beta and stable what was released; on alpha what the project's files say.
pub fn migrations_up_to(
    channel: ChannelName,
    to: &str,
    project: impl FnOnce() -> Project,
) -> Option<Version> {
    let version = match channel {
        ChannelName::Alpha => project().version,
        _ => Version::parse(to),
    };
    version.map(|v| v.release())
}

fn migrations(tx: &mut Transaction<'_>, to: &Version, dry_run: bool) -> Result<RunResult, Stop> {
    let ran = with_migrations(tx, to, dry_run, migrate::run);
    ran.map_err(|halt| {
        // A stop, or somebody else's run of migrations, says nothing about the new version.
        if matches!(halt.reason, Reason::Interrupted | Reason::Locked) {
            return Stop::Broken(halt);
        }
        let message = format!("migrations cannot run: {halt}");
        let cause = plain_cause(Phase::Migrating, message);
        Stop::Failed(Box::new(Cause { reason: halt.reason.code().to_owned(), ..cause }))
    })
}

/// Asks migrations of this attempt whether they still hold, with the scripts that are there now.
pub fn recheck(tx: &mut Transaction<'_>, ids: &[MigrationId]) -> Result<(), Halt> {
    let before = tx.journal.since.clone();
    let Some(to) = before.or_else(|| migration_target(tx)) else { return Ok(()) };
    let asked = with_migrations(tx, &to, false, |request, watcher| migrate::recheck(request, ids, watcher));
    asked.map(drop)
}

/// Calls the migration room with everything it needs of this transaction; its interpreter is on
/// record before it begins.
fn with_migrations<T>(
    tx: &mut Transaction<'_>,
    to: &Version,
    dry_run: bool,
    call: impl FnOnce(&migrate::Request<'_>, &mut Watcher<'_>) -> Result<T, Halt>,
) -> Result<T, Halt> {
    let (top, logs) = (tx.top().to_owned(), tx.logs().clone());
    let (home, redactor) = (tx.rooms.home, &tx.rooms.redactor);
    let mut journal = tx.journal.clone();
    let request = migrate::Request {
        checkout: &top,
        commit: Some(&tx.journal.to_commit.clone()),
        home,
        from: None,
        to: to.clone(),
        since: tx.journal.since.clone(),
        installed: to.clone(),
        python: tx.journal.commands.python.clone(),
        timeout: tx.deadline(Phase::Migrating),
        lock_wait: migrate::LOCK_WAIT,
        redactor,
        logs: &logs,
        strict: false,
        dry_run,
    };
    let mut announce = |mark: &ProcessMark| {
        journal.step = Some(mark.clone());
        Ok(journal.save(home)?)
    };
    let progress = tx.progress();
    let mut tell = |event: Event<'_>| {
        if let Event::Goes { elapsed, line, .. } = event {
            progress.tick(elapsed, line);
        }
    };
    call(&request, &mut Watcher { tell: &mut tell, announce: Some(&mut announce) })
}

fn install(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let command = tx.journal.commands.install.clone();
    if command.is_empty() {
        return Ok(());
    }
    tx.journal.install_begun = true;
    tx.save()?;
    let finished = tx.run_command(Phase::Installing.step(), &command, tx.deadline(Phase::Installing))?;
    passed(tx, Phase::Installing, &command, &finished)
}

/// A restart may end this very program (it runs from the daemon's own service, say). It is begun at
/// most twice, then the health check decides.
fn restart(tx: &mut Transaction<'_>) -> Result<Next, Stop> {
    let Some(command) = tx.journal.commands.restart.clone() else {
        tx.journal.restarts_begun = tx.journal.restarts_begun.max(1);
        tx.journal.awaiting_caller = true;
        return Ok(Next::AwaitCaller);
    };
    if tx.resumed && tx.journal.restarts_begun > 1 {
        return Ok(Next::Go);
    }
    tx.journal.restarts_begun += 1;
    tx.save()?;
    let finished = tx.run_command(Phase::Restarting.step(), &command, tx.deadline(Phase::Restarting))?;
    warn_of_inherited_output(&command, &finished);
    passed(tx, Phase::Restarting, &command, &finished).map(|()| Next::Go)
}

/// A daemon that writes into our pipe loses its reader when this program ends.
pub fn warn_of_inherited_output(command: &[String], finished: &Finished) {
    if finished.end.success() && finished.left_writer.is_some() {
        warn(&format!(
            "'{}' left a process that still writes to its output, which nobody reads after this update: \
             let the restart command redirect it, say by '>> daemon.log 2>&1'",
            command.join(" ")
        ));
    }
}

fn verify(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    match health(tx)? {
        None => Ok(()),
        Some(cause) => Err(Stop::Failed(Box::new(cause))),
    }
}

/// Asks the health command until it passes or its deadline ends. `None`: healthy.
pub fn health(tx: &mut Transaction<'_>) -> Result<Option<Cause>, Stop> {
    let command = tx.journal.commands.health.clone();
    if command.is_empty() {
        return Ok(None);
    }
    let until = Instant::now() + tx.deadline(Phase::Verifying);
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let finished = tx.run_command(Phase::Verifying.step(), &command, left.max(FIRST_PAUSE))?;
        if finished.end.success() {
            return Ok(None);
        }
        if Instant::now() + pause >= until {
            return match tx.failed(Phase::Verifying, &command.join(" "), &finished) {
                Stop::Failed(cause) => Ok(Some(*cause)),
                other => Err(other),
            };
        }
        if let Some(number) = process::pause(pause)? {
            return Err(Stop::Broken(interrupted(number, Phase::Verifying.step())));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn passed(tx: &Transaction<'_>, phase: Phase, command: &[String], finished: &Finished) -> Result<(), Stop> {
    if finished.end.success() {
        return Ok(());
    }
    Err(tx.failed(phase, &command.join(" "), finished))
}

/// For callers that have a sentence only.
pub fn fail(phase: Phase, message: String) -> Stop {
    failed_plainly(phase, message)
}
