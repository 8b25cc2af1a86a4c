//! Fetching exactly the target, and making sure that it is what the remote's owner offers.

use std::ffi::OsString;

use super::journal::Phase;
use super::transaction::{Stop, Transaction, git_words};
use crate::outcome::{Halt, Reason};
use crate::signal::Signal;
use crate::sys::process::{End, Finished};
use crate::version::CommitId;

/// Where a tag is kept until it is known to be the right one.
const PRIVATE_REF: &str = "refs/teleclaude/update";

/// Options of every fetch: nothing but what is asked for.
const PLAIN: &[&str] =
    &["fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-prune"];

/// What git says when the fault is on this computer.
const OUR_FAULTS: &[&str] = &[
    "No space left on device",
    "insufficient permission",
    "Permission denied (os error",
    "Read-only file system",
    "unable to write",
    "cannot lock ref",
];

/// Brings the target's objects here and checks that the remote has it where the signal says.
pub fn fetch(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    match tx.journal.tag.clone() {
        None => fetch_branch(tx),
        Some(tag) => fetch_tag(tx, &tag),
    }
}

fn fetch_branch(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let (remote, branch) = (tx.rooms.remote.clone(), tx.rooms.branch.clone());
    let tracking = format!("refs/remotes/{remote}/{branch}");
    run(tx, &[&remote, &format!("+refs/heads/{branch}:{tracking}")], Reason::BranchMissing)?;
    let checkout = tx.rooms.checkout;
    let tip = checkout.git().text(&["rev-parse", "--verify", &format!("{tracking}^{{commit}}")])?;
    let tip = CommitId::parse(&tip).ok_or_else(|| anyhow::anyhow!("{tracking} is no commit"))?;
    let to = tx.journal.to_commit.clone();
    let known = checkout.has(&to)?;
    if known && checkout.is_ancestor(&to, &tip)? {
        return Ok(());
    }
    let (reason, what) = if known && checkout.is_ancestor(&tip, &to)? {
        (Reason::RolledBackRemote, "went back behind")
    } else {
        (Reason::Diverged, "no longer contains")
    };
    Err(withdraw(tx, reason, &format!("{remote}'s {branch} (now {}) {what} {}", tip.short(), to.short())))
}

fn fetch_tag(tx: &mut Transaction<'_>, tag: &str) -> Result<(), Stop> {
    let remote = tx.rooms.remote.clone();
    let name = format!("refs/tags/{tag}");
    run(tx, &[&remote, &format!("+{name}:{PRIVATE_REF}")], Reason::TagMissing)?;
    let git = tx.rooms.checkout.git();
    let object = git.text(&["rev-parse", "--verify", PRIVATE_REF])?;
    let commit = git.text(&["rev-parse", "--verify", &format!("{PRIVATE_REF}^{{commit}}")])?;
    let here = git.run(&["rev-parse", "--verify", "--quiet", &name])?;
    let here = String::from_utf8_lossy(&here.stdout).trim().to_owned();
    let to = tx.journal.to_commit.clone();
    if commit != to.as_str() {
        let what = format!("{remote}'s tag {tag} is now at {commit}, not at {to}");
        return Err(withdraw(tx, Reason::TagMoved, &what));
    }
    if !here.is_empty() && here != object {
        let what = format!("the tag {tag} here is not {remote}'s ('git tag -d {tag}' removes the one here)");
        return Err(withdraw(tx, Reason::TagMoved, &what));
    }
    if here.is_empty() {
        update_ref(tx, &[&name, &object])?;
    }
    update_ref(tx, &["-d", PRIVATE_REF])
}

fn update_ref(tx: &mut Transaction<'_>, arguments: &[&str]) -> Result<(), Stop> {
    let words: Vec<OsString> = ["update-ref"].iter().chain(arguments).map(OsString::from).collect();
    tx.run_git(Phase::Fetching, &words)
}

/// The history that a shallow clone lacks.
pub fn deepen(tx: &mut Transaction<'_>) -> Result<(), Stop> {
    let remote = tx.rooms.remote.clone();
    match run(tx, &["--unshallow", &remote], Reason::Shallow) {
        Err(Stop::Refused(halt)) => Err(Stop::Refused(Halt::blocked(
            Reason::Shallow,
            format!(
                "history that the update needs is cut off here and cannot be fetched ({halt}); bring it with 'git fetch --unshallow {remote}'"
            ),
        ))),
        other => other,
    }
}

fn run(tx: &mut Transaction<'_>, arguments: &[&str], missing: Reason) -> Result<(), Stop> {
    let words: Vec<OsString> = PLAIN.iter().chain(arguments).map(OsString::from).collect();
    let command = tx.rooms.network.command(&words).deadline(tx.deadline(Phase::Fetching));
    let finished = tx.run_on_record(Phase::Fetching.step(), &command)?;
    if finished.end.success() {
        return Ok(());
    }
    let Some(reason) = refusal(&finished, missing) else {
        return Err(tx.failed(Phase::Fetching, &git_words(&words), &finished));
    };
    let said = finished.tail.lines().last().unwrap_or("git said nothing").to_owned();
    let message = format!("cannot fetch from {}: {said}; it is tried again at the next run", tx.rooms.remote);
    Err(Stop::Refused(Halt::unreachable(reason, message)))
}

/// Why the remote could not be asked; `None`: the fault is on this computer.
fn refusal(finished: &Finished, missing: Reason) -> Option<Reason> {
    match finished.end {
        End::Deadline => Some(Reason::Timeout),
        _ if finished.tail.contains("couldn't find remote ref") => Some(missing),
        _ if OUR_FAULTS.iter().any(|fault| finished.tail.contains(fault)) => None,
        _ => Some(Reason::Unreachable),
    }
}

/// The offer does not hold: the signal goes, a person decides.
fn withdraw(tx: &Transaction<'_>, reason: Reason, what: &str) -> Stop {
    if let Err(halt) = Signal::withdraw(tx.rooms.home) {
        return Stop::Broken(halt);
    }
    Stop::Refused(Halt::blocked(reason, format!("{what}; it is not followed, look at the remote's history")))
}
