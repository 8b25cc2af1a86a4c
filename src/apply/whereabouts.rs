//! Where HEAD is while an update runs. The checkout is its owner's: they may commit, switch or begin
//! a rebase at any moment, and no commit of theirs may be dropped for it. Looks only.

use std::collections::BTreeSet;
use std::path::Path;

use super::journal::Journal;
use super::{head, preflight, tree};
use crate::checkout::Checkout;
use crate::outcome::{Halt, Reason};
use crate::version::CommitId;

/// Where HEAD is, seen from a transaction.
#[derive(Debug)]
pub enum Whereabouts {
    /// Where the transaction found it.
    Old,
    /// Where the transaction takes it.
    New,
    /// On commits that somebody made upon the new version; the branch they are on, if they are.
    UponNew(CommitId, Option<String>),
    /// On commits that somebody made upon the old version.
    UponOld,
    /// Somewhere else: nothing is moved before its owner has come back.
    Elsewhere(Halt),
}

/// Looks where HEAD is now.
pub fn look(top: &Path, journal: &Journal) -> Result<Whereabouts, Halt> {
    let now = Checkout::open(top)?;
    if let Err(halt) = preflight::nothing_under_way(&now) {
        return Ok(Whereabouts::Elsewhere(halt));
    }
    let branch = head::place(&now).branch;
    let ours = is_ours(branch.as_ref(), journal);
    let commit = now.commit();
    let upon = |base: &CommitId| Ok::<bool, Halt>(now.has(base)? && now.is_ancestor(base, commit)?);
    Ok(if ours && *commit == journal.to_commit {
        Whereabouts::New
    } else if ours && *commit == journal.from_commit {
        Whereabouts::Old
    } else if !journal.older && upon(&journal.to_commit)? {
        Whereabouts::UponNew(commit.clone(), branch)
    } else if ours && upon(&journal.from_commit)? {
        // An amended new version is no descendant of it, and is not the old one with something on top.
        if has_the_new_files(&now, journal)? {
            Whereabouts::UponNew(commit.clone(), branch)
        } else {
            Whereabouts::UponOld
        }
    } else if journal.older && upon(&journal.to_commit)? {
        Whereabouts::UponNew(commit.clone(), branch)
    } else if ours && parents(&now, commit)? == parents(&now, &journal.from_commit)? {
        // The old version, amended.
        Whereabouts::UponOld
    } else {
        Whereabouts::Elsewhere(left(top, branch.as_deref(), commit, journal))
    })
}

/// The same before anything of the checkout is run: what somebody committed on a branch of their own,
/// upon the new version, is not the update's to migrate to or to install.
pub fn look_to_run(top: &Path, journal: &Journal) -> Result<Whereabouts, Halt> {
    Ok(match look(top, journal)? {
        Whereabouts::UponNew(commit, branch)
            if commit != journal.to_commit && !is_ours(branch.as_ref(), journal) =>
        {
            Whereabouts::Elsewhere(left(top, branch.as_deref(), &commit, journal))
        }
        other => other,
    })
}

/// Whether HEAD's commit has every file that the update changes in another state than the old version.
fn has_the_new_files(now: &Checkout, journal: &Journal) -> Result<bool, Halt> {
    let differs = tree::changes(now, &journal.from_commit, now.commit())?;
    let differs: BTreeSet<_> = differs.iter().map(|change| &change.path).collect();
    let update = tree::changes(now, &journal.from_commit, &journal.to_commit)?;
    Ok(!update.is_empty() && update.iter().all(|change| differs.contains(&change.path)))
}

fn parents(now: &Checkout, commit: &CommitId) -> anyhow::Result<String> {
    now.git().text(&["rev-parse", &format!("{commit}^@")])
}

fn is_ours(branch: Option<&String>, journal: &Journal) -> bool {
    branch == journal.old_head.branch.as_ref() || branch == journal.new_head.branch.as_ref()
}

fn left(top: &Path, branch: Option<&str>, commit: &CommitId, journal: &Journal) -> Halt {
    let place = branch.map_or_else(|| commit.short().to_owned(), |b| format!("branch {b}"));
    let back = match &journal.new_head.branch {
        Some(branch) => format!("git switch {branch}"),
        None => format!("git switch --detach {}", journal.to_commit),
    };
    let message = format!(
        "{} was switched to {place} while the update to {} ran; '{back}' lets the next run end it",
        top.display(),
        journal.to
    );
    Halt::blocked(Reason::WrongBranch, message)
}
