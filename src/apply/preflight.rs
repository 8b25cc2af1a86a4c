//! What must hold before anything changes. Facts are asked for here, nothing is touched; every
//! refusal names the files and the one command that resolves it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::head;
use super::journal::HeadPlace;
use super::tree::Change;
use crate::checkout::{Checkout, Head};
use crate::config::Settings;
use crate::outcome::{Halt, Reason};
use crate::plan::Target;
use crate::version::CommitId;

/// A short git command of the user may hold the index; longer than this is not short.
const INDEX_PATIENCE: Duration = Duration::from_secs(2);
/// Paths told in a sentence.
const TOLD: usize = 5;

/// Files in the `.git` folder that say what is under way. Source: git's own `git status`.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("rebase-merge", "a rebase", "git rebase --continue or --abort"),
    ("rebase-apply", "a rebase or am", "git rebase --abort or git am --abort"),
    ("MERGE_HEAD", "a merge", "git commit or git merge --abort"),
    ("CHERRY_PICK_HEAD", "a cherry-pick", "git cherry-pick --continue or --abort"),
    ("REVERT_HEAD", "a revert", "git revert --continue or --abort"),
    ("BISECT_LOG", "a bisect", "git bisect reset"),
    ("sequencer", "a sequence of picks", "git cherry-pick --abort"),
];

/// Everything that could refuse the update before the remote is asked. Where HEAD is, and where the
/// update takes it.
pub fn before_fetch(
    checkout: &Checkout,
    settings: &Settings,
    target: &Target,
) -> Result<(HeadPlace, HeadPlace), Halt> {
    quiet(checkout)?;
    remote(checkout, &settings.remote)?;
    head::places(checkout, &settings.branch, target.tag.as_deref(), &target.commit)
}

/// Nothing is under way and nobody else works on the index.
fn quiet(checkout: &Checkout) -> Result<(), Halt> {
    nothing_under_way(checkout)?;
    index_is_free(checkout)
}

/// No merge, rebase or the like is under way.
pub fn nothing_under_way(checkout: &Checkout) -> Result<(), Halt> {
    for (file, what, finish) in OPERATIONS {
        if checkout.git_dir().join(file).exists() {
            return Err(Halt::blocked(
                Reason::InProgress,
                format!("{what} is under way in {}; finish it ({finish})", checkout.top().display()),
            ));
        }
    }
    Ok(())
}

/// Nobody else works on the index.
pub fn index_is_free(checkout: &Checkout) -> Result<(), Halt> {
    let lock = checkout.git_dir().join("index.lock");
    let until = Instant::now() + INDEX_PATIENCE;
    while lock.exists() {
        if Instant::now() >= until {
            return Err(Halt::blocked(
                Reason::IndexLocked,
                format!("{} exists: if no git command is running, remove it", lock.display()),
            )
            .with("files", vec![Value::from(lock.display().to_string())]));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// alpha: the branch can only go forward to the target.
pub fn fast_forward(checkout: &Checkout, tip: &CommitId, branch: &str, to: &CommitId) -> Result<(), Halt> {
    if checkout.is_ancestor(tip, to)? {
        return Ok(());
    }
    Err(Halt::blocked(
        Reason::Diverged,
        format!(
            "branch {branch} has commits that the remote's does not ({} is not in {}); rebase or push them ('git rebase {to}')",
            tip.short(),
            to.short()
        ),
    ))
}

/// alpha, going back: what the branch would lose is on a remote or under a tag.
pub fn is_published(checkout: &Checkout, tip: &CommitId) -> Result<(), Halt> {
    let own =
        checkout.git().text(&["rev-list", "--max-count=20", tip.as_str(), "--not", "--remotes", "--tags"])?;
    if own.is_empty() {
        return Ok(());
    }
    Err(Halt::blocked(
        Reason::LocalCommits,
        format!(
            "{} commit(s) of the branch are on no remote; push them first ('git push')",
            own.lines().count()
        ),
    )
    .with("commits", own.lines().map(Value::from).collect::<Vec<_>>()))
}

/// A detached HEAD is left only where its commits stay reachable from somewhere.
pub fn nothing_is_lost(checkout: &Checkout, to: &CommitId) -> Result<(), Halt> {
    if *checkout.head() != Head::Detached {
        return Ok(());
    }
    let head = checkout.commit().as_str();
    let not_to = format!("^{to}");
    let found = checkout.git().text(&[
        "rev-list",
        "--max-count=20",
        head,
        &not_to,
        "--not",
        "--branches",
        "--remotes",
        "--tags",
    ])?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Halt::blocked(
        Reason::LocalCommits,
        format!(
            "{} commit(s) at {} are on no branch and no remote; keep them with 'git branch my-work {}'",
            found.lines().count(),
            checkout.commit().short(),
            checkout.commit().short()
        ),
    )
    .with("commits", found.lines().map(Value::from).collect::<Vec<_>>()))
}

/// Local edits stay out of the way of the update. Returns those it leaves alone.
pub fn local_edits(checkout: &Checkout, changes: &[Change]) -> Result<Vec<String>, Halt> {
    let (overlap, apart) = sorted_edits(checkout, changes)?;
    if !overlap.is_empty() {
        return Err(refuse(
            Reason::DirtyOverlap,
            &overlap,
            "has local edits in files the update changes",
            "commit them elsewhere or put them aside with 'git stash'",
        ));
    }
    Ok(names(&apart))
}

/// Local edits: those in the update's way, and the others.
pub fn sorted_edits(checkout: &Checkout, changes: &[Change]) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Halt> {
    let paths: BTreeSet<&Path> = changes.iter().map(|c| c.path.as_path()).collect();
    let mut edits = edited(checkout)?;
    edits.extend(hidden_edits(checkout, changes)?);
    Ok(edits.into_iter().partition(|e| touches(e, &paths)))
}

/// Paths as people read them.
pub fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.display().to_string()).collect()
}

/// Whether an edited path is one that changes, or lies above or below one.
fn touches(edit: &Path, changed: &BTreeSet<&Path>) -> bool {
    edit.ancestors().any(|a| changed.contains(a)) || changed.iter().any(|c| c.starts_with(edit))
}

/// Tracked files that differ from HEAD, staged or not. Source: git-status(1), porcelain v1 with -z.
fn edited(checkout: &Checkout) -> Result<Vec<PathBuf>, Halt> {
    let output = checkout.git().output(&[
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=no",
        "--ignore-submodules=dirty",
    ])?;
    let lines = output.split(|b| *b == 0).filter(|l| l.len() > 3);
    Ok(lines.map(|l| PathBuf::from(OsStr::from_bytes(&l[3..]))).collect())
}

/// Edits that `git status` does not show because the file is marked assume-unchanged or
/// skip-worktree; git would overwrite them. Source: git-ls-files(1), `-v`.
fn hidden_edits(checkout: &Checkout, changes: &[Change]) -> Result<Vec<PathBuf>, Halt> {
    let output = checkout.git().output(&["ls-files", "-v", "-z"])?;
    let marked: BTreeSet<&[u8]> = output
        .split(|b| *b == 0)
        .filter(|l| l.len() > 2 && (l[0].is_ascii_lowercase() || l[0] == b'S'))
        .map(|l| &l[2..])
        .collect();
    let mut found = Vec::new();
    for change in changes.iter().filter(|c| marked.contains(c.path.as_os_str().as_bytes())) {
        let Some(old) = &change.old else { continue };
        if !checkout.top().join(&change.path).exists() {
            continue;
        }
        let blob =
            checkout.git().text(&[OsStr::new("hash-object"), OsStr::new("--"), change.path.as_os_str()])?;
        if blob != old.blob {
            found.push(change.path.clone());
        }
    }
    Ok(found)
}

/// No untracked file, ignored or not, stands where the update puts one.
pub fn untracked(checkout: &Checkout, changes: &[Change]) -> Result<(), Halt> {
    let leaving: BTreeSet<&Path> =
        changes.iter().filter(|c| c.old.is_some()).map(|c| c.path.as_path()).collect();
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    for change in changes.iter().filter(|c| c.old.is_none()) {
        found.extend(obstacles(checkout.top(), &change.path, &leaving)?);
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(refuse(
        Reason::UntrackedCollision,
        &found.into_iter().collect::<Vec<_>>(),
        "has untracked files where the update puts its own",
        "move them away",
    ))
}

/// What stands at `path` or, where it is no folder, above it.
fn obstacles(top: &Path, path: &Path, leaving: &BTreeSet<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let mut places: Vec<&Path> = path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
    places.reverse();
    for place in places {
        let Ok(found) = top.join(place).symlink_metadata() else { return Ok(vec![]) };
        if leaving.contains(place) {
            return Ok(vec![]);
        }
        // A folder that all its files leave may become a file.
        if place == path && leaving.iter().any(|l| l.starts_with(place)) {
            let mut strangers = Vec::new();
            collect_strangers(top, place, leaving, &mut strangers)?;
            return Ok(strangers);
        }
        if !found.is_dir() || place == path {
            return Ok(vec![place.to_owned()]);
        }
    }
    Ok(vec![])
}

/// Files in a folder that do not leave it.
fn collect_strangers(
    top: &Path,
    folder: &Path,
    leaving: &BTreeSet<&Path>,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let reading = || format!("cannot read {}", top.join(folder).display());
    for entry in std::fs::read_dir(top.join(folder)).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let path = folder.join(entry.file_name());
        if entry.file_type().with_context(reading)?.is_dir() {
            collect_strangers(top, &path, leaving, found)?;
        } else if !leaving.contains(path.as_path()) {
            found.push(path);
        }
    }
    Ok(())
}

fn refuse(reason: Reason, paths: &[PathBuf], what: &str, mend: &str) -> Halt {
    let names = names(paths);
    let more = names.len().saturating_sub(TOLD);
    let told = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Halt::blocked(reason, format!("the checkout {what}: {told}{rest}; {mend}"))
        .with("files", names.into_iter().map(Value::from).collect::<Vec<_>>())
}

/// The configured remote exists.
fn remote(checkout: &Checkout, remote: &str) -> Result<(), Halt> {
    let url =
        checkout.git_config(&format!("remote.{remote}.url")).context("cannot read git's configuration")?;
    if url.is_some() {
        return Ok(());
    }
    Err(Halt::blocked(
        Reason::MissingRemote,
        format!(
            "{} has no remote '{remote}'; add it with 'git remote add {remote} URL'",
            checkout.top().display()
        ),
    ))
}
