//! From the remote to the last thing that could refuse the update: fetch, then ask. One way for the
//! update and for `--plan`; nothing of the working tree, the index or HEAD changes here.

use super::fetch::{Fetch, Runner};
use super::journal::HeadPlace;
use super::transaction::Stop;
use super::tree::{self, Change};
use super::{head, preflight};
use crate::outcome::Reason;
use crate::version::CommitId;

/// An update that nothing stands against.
#[derive(Debug)]
pub struct Ready {
    /// The files that differ.
    pub changes: Vec<Change>,
    /// Local edits that the update leaves alone.
    pub local_edits: Vec<String>,
    /// alpha: where the branch is, if it is there.
    pub branch_before: Option<CommitId>,
}

/// Fetches the target and asks everything that could refuse it.
pub fn make(fetch: &Fetch<'_>, old_head: &HeadPlace, runner: &mut dyn Runner) -> Result<Ready, Stop> {
    fetch.bring(runner)?;
    let checkout = fetch.checkout;
    let branch_before = match (&fetch.tag, &old_head.branch) {
        (Some(_), _) => None,
        (None, Some(_)) => Some(checkout.commit().clone()),
        (None, None) => head::branch_tip(checkout, fetch.branch)?,
    };
    if let Some(tip) = &branch_before {
        fast_forward(fetch, tip, runner)?;
    }
    preflight::nothing_is_lost(checkout, fetch.to).map_err(Stop::Refused)?;
    let changes = tree::changes(checkout, checkout.commit(), fetch.to)?;
    let local_edits = preflight::local_edits(checkout, &changes).map_err(Stop::Refused)?;
    preflight::untracked(checkout, &changes).map_err(Stop::Refused)?;
    Ok(Ready { changes, local_edits, branch_before })
}

fn fast_forward(fetch: &Fetch<'_>, tip: &CommitId, runner: &mut dyn Runner) -> Result<(), Stop> {
    if fetch.older && fetch.checkout.is_ancestor(fetch.to, tip)? {
        return preflight::is_published(fetch.checkout, tip).map_err(Stop::Refused);
    }
    let ask = || preflight::fast_forward(fetch.checkout, tip, fetch.branch, fetch.to);
    let first = ask();
    if first.is_ok() || !fetch.checkout.is_shallow() {
        return first.map_err(Stop::Refused);
    }
    fetch.deepen(runner)?;
    match ask() {
        Err(halt) if halt.reason == Reason::Diverged && fetch.still_cut_off()? => {
            Err(Stop::Refused(fetch.shallow(&format!("{} has no more either", fetch.remote))))
        }
        Err(halt) if halt.reason == Reason::Diverged => {
            fetch.continues_at_last().and(Err(Stop::Refused(halt)))
        }
        other => other.map_err(Stop::Refused),
    }
}
