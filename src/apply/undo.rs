//! The way back, stage by stage: snapshot, migrations, checkout, install, restart, health of the
//! previous version. Each is safe to begin again after a kill.

use std::ffi::OsString;
use std::path::Path;

use super::journal::{Cause, KeptCommits};
use super::phase::{Phase, UndoStage};
use super::transaction::{Stop, Transaction, plain_cause};
use super::tree::Goal;
use super::whereabouts::{self, Whereabouts};
use super::{head, snapshot, steps};
use crate::migrate::{self, MigrationId};
use crate::outcome::{Halt, Reason};
use crate::sys::process::Finished;
use crate::sys::warning::warn;
use crate::version::CommitId;

/// Performs one stage of going back.
pub fn perform(tx: &mut Transaction<'_>, stage: UndoStage) -> Result<(), Stop> {
    match stage {
        UndoStage::Snapshot => put_back(tx),
        UndoStage::Migrations => ask_migrations(tx),
        UndoStage::Checkout => check_out_old(tx),
        UndoStage::Install => install_old(tx),
        UndoStage::Restart => restart_old(tx),
        UndoStage::Verify => verify_old(tx),
    }
}

fn put_back(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    if let Whereabouts::Elsewhere(halt) = whereabouts::look(tx.top(), &tx.journal)? {
        return Err(tx.waits(halt));
    }
    if tx.journal.phase < Phase::Migrating {
        return Ok(());
    }
    match migrate::end_interrupted(tx.rooms.home) {
        Ok(()) => {}
        Err(halt) if may_pass(tx, &halt) => return Err(Stop::Broken(halt)),
        // The attempt failed because of that very record, say; it stays as it is, and so it is told.
        Err(halt) => warn(&format!("no script of an interrupted run can be looked for: {halt}")),
    }
    put_files_back(tx)
}

/// Copies first, and in the journal, so that a kill in between leaves nothing untold.
fn put_files_back(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let failed = |e: anyhow::Error| steps::fail(Phase::Migrating, format!("{e:#}"));
    let began = !tx.journal.migrations.is_empty();
    let entries = snapshot::to_put_back(&tx.journal.snapshot, began).map_err(failed)?;
    let risk = snapshot::at_risk(&entries).map_err(failed)?;
    for file in &risk.files {
        let copy = snapshot::copy_beside(file, &tx.journal.keep_name()).map_err(failed)?;
        tx.journal.keeps(copy);
    }
    tx.save()?;
    tx.set_aside(&risk.others)?;
    snapshot::restore(&entries).map_err(failed)
}

/// The new scripts are still there; those whose work is undone by the snapshot leave the record.
/// What only this run cannot do is left to the next one; a script that cannot be asked at all stays
/// on record: its work may well be there.
fn ask_migrations(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let ids: Vec<MigrationId> =
        tx.journal.migrations.iter().filter_map(|id| MigrationId::parse(id)).collect();
    if tx.journal.phase < Phase::Migrating || ids.is_empty() {
        return Ok(());
    }
    if let Whereabouts::Elsewhere(halt) = whereabouts::look(tx.top(), &tx.journal)? {
        return Err(tx.waits(halt));
    }
    match steps::recheck(tx, &ids) {
        Ok(()) => Ok(()),
        Err(halt) if may_pass(tx, &halt) => Err(Stop::Broken(halt)),
        Err(halt) => {
            warn(&format!("the migrations could not be asked whether they still hold: {halt}"));
            Ok(())
        }
    }
}

/// Whether the next run may find it otherwise. What has not passed after some of them will not.
fn may_pass(tx: &Transaction<'_>, halt: &Halt) -> bool {
    match halt.reason {
        Reason::Interrupted => true,
        Reason::Locked | Reason::IoError => !tx.journal.keeps_dying(),
        _ => false,
    }
}

fn check_out_old(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    if tx.journal.phase < Phase::CheckingOut {
        return Ok(());
    }
    let now = whereabouts::look(tx.top(), &tx.journal)?;
    match now {
        Whereabouts::Elsewhere(halt) => return Err(tx.waits(halt)),
        // What somebody committed upon the old version stays where it is.
        Whereabouts::UponOld => {
            tx.settle(Goal::Old)?;
            return tx.make_durable();
        }
        Whereabouts::UponNew(commit, branch) => keep_commits(tx, commit, branch)?,
        Whereabouts::Old | Whereabouts::New => {}
    }
    tx.settle(Goal::Old)?;
    let place = tx.journal.old_head.clone();
    steps::move_head(tx, &place)?;
    for command in head::branch_back(tx.rooms.checkout, &tx.journal)? {
        tx.run_git(Phase::CheckingOut, &command)?;
    }
    tx.make_durable()
}

/// Commits that were made upon the new version stay on a branch, and are told.
fn keep_commits(tx: &mut Transaction<'_>, commit: CommitId, branch: Option<String>) -> Result<(), Stop> {
    let moved = branch == tx.journal.old_head.branch || branch == tx.journal.new_head.branch;
    let branch = match branch.filter(|_| !moved) {
        Some(own) => own,
        None => {
            let name = tx.journal.keep_name();
            let words = ["update-ref", &format!("refs/heads/{name}"), commit.as_str()];
            tx.run_git(Phase::CheckingOut, &words.map(OsString::from))?;
            name
        }
    };
    tx.journal.kept_commits = Some(KeptCommits { commit, branch });
    Ok(tx.save()?)
}

/// What is installed and started is the old version. Where somebody brought the new one back since, it
/// goes once more.
fn stands_on_old(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    match whereabouts::look(tx.top(), &tx.journal)? {
        Whereabouts::Old | Whereabouts::UponOld => Ok(()),
        Whereabouts::Elsewhere(halt) => Err(tx.waits(halt)),
        Whereabouts::New | Whereabouts::UponNew(..) => check_out_old(tx),
    }
}

fn install_old(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let command = tx.journal.commands.install.clone();
    if !tx.journal.install_begun || command.is_empty() {
        return Ok(());
    }
    stands_on_old(tx)?;
    run(tx, Phase::Installing, &command).map(drop)
}

/// As on the way forward, at most twice: the restart may end this very program.
fn restart_old(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let Some(command) = tx.journal.commands.restart.clone() else { return Ok(()) };
    if tx.journal.restarts_begun == 0 || (tx.resumed && tx.journal.restarts_back > 1) {
        return Ok(());
    }
    stands_on_old(tx)?;
    tx.journal.restarts_back += 1;
    tx.save()?;
    let finished = run(tx, Phase::Restarting, &command)?;
    steps::warn_of_inherited_output(&command, &finished);
    Ok(())
}

fn verify_old(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    if tx.journal.restarts_begun == 0 || tx.journal.commands.restart.is_none() {
        return Ok(());
    }
    match steps::health(tx)? {
        None => Ok(()),
        Some(cause) => Err(Stop::Failed(Box::new(cause))),
    }
}

fn run(tx: &mut Transaction<'_>, phase: Phase, command: &[String]) -> Result<Finished, Stop> {
    let step = format!("undo-{}", phase.step());
    let finished = tx.run_command(&step, command, tx.deadline(phase))?;
    if finished.end.success() {
        return Ok(finished);
    }
    Err(match tx.failed(phase, &command.join(" "), &finished) {
        Stop::Failed(cause) => Stop::Failed(Box::new(Cause { log: Some(tx.logs().step(&step)), ..*cause })),
        other => other,
    })
}

/// What a person does when the way back itself failed.
pub fn by_hand(tx: &Transaction<'_>) -> Vec<String> {
    let j = &tx.journal;
    let place = match &j.old_head.branch {
        // --keep refuses rather than lose an edit.
        Some(branch) => format!("git switch {} && git reset --keep {}", quoted(branch), j.from_commit),
        None => format!("git switch --detach {}", j.from_commit),
    };
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let line = |words: &Vec<String>| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let mut lines = vec![format!("cd {}", path(tx.top())), place];
    for entry in &j.snapshot {
        if let Some(copy) = &entry.copy {
            lines.push(format!("cp {} {}", path(copy), path(&entry.path)));
        }
    }
    lines.push(line(&j.commands.install));
    lines.extend(j.commands.restart.as_ref().map(line));
    lines.push("apply-update --retry".to_owned());
    lines.retain(|l| !l.is_empty());
    lines
}

/// A word as a shell has to be given it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The failure of going back, told with the stage.
pub fn failure(stage: UndoStage, stop: Stop) -> Cause {
    match stop {
        Stop::Failed(cause) => Cause { message: format!("{}: {}", stage.as_str(), cause.message), ..*cause },
        Stop::Refused(halt) | Stop::Broken(halt) => {
            plain_cause(Phase::CheckingOut, format!("{}: {halt}", stage.as_str()))
        }
    }
}
