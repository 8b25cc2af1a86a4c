//! Where HEAD and branches point. Every move is safe to repeat, so that a run after a kill simply
//! does it again.

use std::ffi::OsString;

use super::journal::{HeadPlace, Journal};
use crate::checkout::Checkout;
use crate::outcome::{Halt, Reason};
use crate::version::CommitId;

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
        let at_place = now_at.is_empty() && git.text(&["rev-parse", "HEAD"])? == place.commit.as_str();
        let detach = ["update-ref", "--no-deref", "-m", note, "HEAD", place.commit.as_str()];
        return Ok(if at_place { vec![] } else { vec![words(&detach)] });
    };
    let name = format!("refs/heads/{branch}");
    let mut commands = Vec::new();
    let tip = tip(checkout, &name)?;
    if tip != place.commit.as_str() {
        if !tip.is_empty() && !known.iter().any(|c| c.as_str() == tip) {
            return Err(Halt::blocked(
                Reason::Diverged,
                format!(
                    "branch {branch} was moved to {tip} while the update ran; 'git branch --force {branch} {}' lets the next run go on",
                    known[0]
                ),
            ));
        }
        let old = if tip.is_empty() { "0".repeat(place.commit.as_str().len()) } else { tip };
        commands.push(words(&["update-ref", "-m", note, &name, place.commit.as_str(), &old]));
    }
    if now_at != name {
        commands.push(words(&["symbolic-ref", "-m", note, "HEAD", &name]));
    }
    Ok(commands)
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
