//! Where HEAD and branches point, where an update takes them, and how. Every move is safe to repeat, so
//! that a run after a kill simply does it again.

use std::ffi::OsString;

use super::journal::{HeadPlace, Journal};
use crate::checkout::{Checkout, Head};
use crate::outcome::{Halt, Reason};
use crate::version::CommitId;

/// Where HEAD is and where the update takes it: alpha onto the branch, a tag detached.
pub fn places(
    checkout: &Checkout,
    branch: &str,
    tag: Option<&str>,
    to: &CommitId,
) -> Result<(HeadPlace, HeadPlace), Halt> {
    let old = place(checkout);
    if let Some(name) = old.branch.as_ref().filter(|name| *name != branch) {
        return Err(Halt::blocked(
            Reason::WrongBranch,
            format!("branch {name} is checked out; 'git switch {branch}' lets updates go on"),
        ));
    }
    let new = HeadPlace { branch: tag.is_none().then(|| branch.to_owned()), commit: to.clone() };
    if new.branch.is_some() && old.branch.is_none() {
        not_in_another_worktree(checkout, branch)?;
    }
    Ok((old, new))
}

/// Moving a branch that another worktree has checked out would turn its files into edits.
fn not_in_another_worktree(checkout: &Checkout, branch: &str) -> Result<(), Halt> {
    let list = checkout.git().text(&["worktree", "list", "--porcelain"])?;
    let wanted = format!("branch refs/heads/{branch}");
    let found = list.split("\n\n").find(|entry| entry.lines().any(|line| line == wanted));
    let Some(place) = found.and_then(|entry| entry.lines().next()?.strip_prefix("worktree ")) else {
        return Ok(());
    };
    Err(Halt::blocked(
        Reason::WrongBranch,
        format!(
            "branch {branch}, which the update moves, is checked out in the worktree {place}; \
             'git worktree remove {place}', or 'git switch' to another branch there, lets updates go on"
        ),
    ))
}

/// Where HEAD is.
pub fn place(checkout: &Checkout) -> HeadPlace {
    let branch = match checkout.head() {
        Head::Branch(name) => Some(name.clone()),
        Head::Detached => None,
    };
    HeadPlace { branch, commit: checkout.commit().clone() }
}

/// The local branch's tip, where HEAD is not on it.
pub fn branch_tip(checkout: &Checkout, branch: &str) -> Result<Option<CommitId>, Halt> {
    let name = format!("refs/heads/{branch}");
    let found = checkout.git().run(&["rev-parse", "--verify", "--quiet", &name])?;
    Ok(CommitId::parse(String::from_utf8_lossy(&found.stdout).trim()))
}

/// The git commands that take HEAD to `place`, given where it is now. A branch is moved only from
/// one of the commits where it is `known` to be.
pub fn moves(
    checkout: &Checkout,
    place: &HeadPlace,
    known: &[&CommitId],
    note: &str,
) -> Result<Vec<Vec<OsString>>, Halt> {
    let git = checkout.git();
    let symbolic = git.run(&["symbolic-ref", "--quiet", "HEAD"])?;
    let now_at = String::from_utf8_lossy(&symbolic.stdout).trim().to_owned();
    let Some(branch) = &place.branch else {
        // --no-deref also detaches a HEAD that was on a branch.
        let now = git.text(&["rev-parse", "HEAD"])?;
        if now_at.is_empty() && now == place.commit.as_str() {
            return Ok(vec![]);
        }
        if !known.iter().any(|c| c.as_str() == now) {
            return Err(moved_meanwhile("HEAD", &now, None));
        }
        return Ok(vec![words(&[
            "update-ref",
            "--no-deref",
            "-m",
            note,
            "HEAD",
            place.commit.as_str(),
            &now,
        ])]);
    };
    let name = format!("refs/heads/{branch}");
    let mut commands = Vec::new();
    let tip = tip(checkout, &name)?;
    if tip != place.commit.as_str() {
        if !tip.is_empty() && !known.iter().any(|c| c.as_str() == tip) {
            let mend = format!("git branch --force {branch} {}", known[0]);
            let mend = (now_at != name).then_some(mend.as_str());
            return Err(moved_meanwhile(&format!("branch {branch}"), &tip, mend));
        }
        let old = if tip.is_empty() { "0".repeat(place.commit.as_str().len()) } else { tip };
        commands.push(words(&["update-ref", "-m", note, &name, place.commit.as_str(), &old]));
    }
    if now_at != name {
        commands.push(words(&["symbolic-ref", "-m", note, "HEAD", &name]));
    }
    Ok(commands)
}

/// What was committed where HEAD is, is looked at, and kept, by the next run; of another branch (`mend`)
/// its owner decides.
fn moved_meanwhile(what: &str, to: &str, mend: Option<&str>) -> Halt {
    let told = format!("{what} was moved to {to} while the update ran");
    match mend {
        None => Halt::failed(Reason::LocalCommits, format!("{told}; the next run goes on from there")),
        Some(mend) => Halt::blocked(Reason::Diverged, format!("{told}; '{mend}' lets the next run go on")),
    }
}

/// The commands that put a branch back which was moved although HEAD was elsewhere before.
pub fn branch_back(checkout: &Checkout, journal: &Journal) -> anyhow::Result<Vec<Vec<OsString>>> {
    let moved = journal.new_head.branch.as_ref().filter(|b| journal.old_head.branch.as_ref() != Some(*b));
    let Some(branch) = moved else { return Ok(vec![]) };
    let name = format!("refs/heads/{branch}");
    let now = journal.to_commit.as_str();
    if tip(checkout, &name)? != now || journal.branch_before.as_ref() == Some(&journal.to_commit) {
        return Ok(vec![]);
    }
    Ok(vec![match &journal.branch_before {
        Some(before) => words(&["update-ref", &name, before.as_str(), now]),
        None => words(&["update-ref", "-d", &name, now]),
    }])
}

/// Where a ref is; empty when there is none.
fn tip(checkout: &Checkout, name: &str) -> anyhow::Result<String> {
    let found = checkout.git().run(&["rev-parse", "--verify", "--quiet", name])?;
    Ok(String::from_utf8_lossy(&found.stdout).trim().to_owned())
}

fn words(text: &[&str]) -> Vec<OsString> {
    text.iter().map(OsString::from).collect()
}
