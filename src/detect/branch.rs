//! Alpha: the remote's branch. Looking asks one `git ls-remote`, and local git only where the tip
//! is not HEAD; judging is a pure function of what was found.

use crate::checkout::Checkout;
use crate::outcome::{Halt, Reason};
use crate::version::CommitId;

use super::cache::{BranchMark, WatchCache};
use super::history::{Break, Movement, Relation, broken, loudest, movement, relate};
use super::remote::{Deadline, Remote};
use super::{Decision, Offer};

/// Commits remembered until a fetch tells how they relate.
const MOST_PENDING: usize = 50;

/// What was found.
#[derive(Clone, Debug)]
pub struct BranchFacts {
    /// `REMOTE/BRANCH`, for messages.
    pub name: String,
    /// The checkout, for messages.
    pub top: String,
    /// HEAD.
    pub head: CommitId,
    /// Where the remote's branch is.
    pub tip: CommitId,
    /// Commits seen there before, the proven one first.
    pub seen: Vec<CommitId>,
    /// How HEAD relates to the tip.
    pub head_to_tip: Relation,
    /// The commit seen before that speaks loudest against the tip, and how it relates to it.
    pub doubt: Option<(CommitId, Relation)>,
}

/// Asks the remote and the local objects.
pub fn look(
    checkout: &Checkout,
    remote: &Remote,
    branch: &str,
    cache: &WatchCache,
    deadline: Deadline,
) -> Result<BranchFacts, Halt> {
    let tip = remote.branch(branch, deadline)?.ok_or_else(|| {
        Halt::failed(
            Reason::BranchMissing,
            format!("there is no branch {branch:?} at {}: set deployment.branch", remote.url),
        )
    })?;
    let head = checkout.commit().clone();
    let seen = if tip == head {
        Vec::new()
    } else {
        seen_before(checkout, (&remote.name, &remote.url), branch, cache)?
    };
    Ok(BranchFacts {
        name: format!("{}/{branch}", remote.name),
        top: checkout.top().display().to_string(),
        head_to_tip: relate(checkout, &head, &tip)?,
        doubt: loudest(checkout, &seen, &tip)?,
        head,
        tip,
        seen,
    })
}

/// Where the branch's memory is kept.
pub fn mark_key(url: &str, branch: &str) -> String {
    format!("{url}#refs/heads/{branch}")
}

/// The commits seen on a remote's branch: by us, else where git last saw it.
pub fn seen_before(
    checkout: &Checkout,
    (remote, url): (&str, &str),
    branch: &str,
    cache: &WatchCache,
) -> anyhow::Result<Vec<CommitId>> {
    if let Some(known) = cache.branches.get(&mark_key(url, branch)) {
        return Ok([std::slice::from_ref(&known.mark), &known.pending].concat());
    }
    let tracking = format!("refs/remotes/{remote}/{branch}");
    let finished = checkout.git().run(&["rev-parse", "--verify", "--quiet", &tracking])?;
    Ok(CommitId::parse(String::from_utf8_lossy(&finished.stdout).trim()).into_iter().collect())
}

/// What to remember of the branch: what is proven moves the mark, what is not waits beside it, and
/// what is blocked changes nothing.
pub fn remember(facts: &BranchFacts) -> BranchMark {
    let afresh = || BranchMark { mark: facts.tip.clone(), pending: Vec::new() };
    let Some((mark, pending)) = facts.seen.split_first() else { return afresh() };
    let mut pending = pending.to_vec();
    match facts.doubt.as_ref().map_or(Movement::Forward, |(_, relation)| movement(*relation, false)) {
        Movement::Forward => return afresh(),
        Movement::Unproven if pending.last() != Some(&facts.tip) => pending.push(facts.tip.clone()),
        Movement::Unproven | Movement::WentBack | Movement::Rewritten => {}
    }
    let too_many = pending.len().saturating_sub(MOST_PENDING);
    pending.drain(..too_many);
    BranchMark { mark: mark.clone(), pending }
}

/// Decides.
pub fn decide(facts: &BranchFacts) -> Decision {
    let (name, tip) = (&facts.name, facts.tip.short());
    if facts.head_to_tip == Relation::Same {
        return Decision::up_to_date(format!("up to date with {name} at {tip}"));
    }
    let behind_head = facts.head_to_tip == Relation::After;
    let (seen, relation) = match &facts.doubt {
        Some((seen, relation)) => (seen, *relation),
        None => (&facts.tip, Relation::Same),
    };
    match broken(movement(relation, behind_head), name, &facts.top, seen, &facts.tip) {
        Some(Break { reason, message }) => Decision::blocked(reason, message),
        None => by_head(facts),
    }
}

fn by_head(facts: &BranchFacts) -> Decision {
    let (name, tip, head) = (&facts.name, facts.tip.short(), facts.head.short());
    match facts.head_to_tip {
        Relation::After => Decision::up_to_date(format!(
            "nothing newer on {name}: {tip} is part of what is installed ({head})"
        )),
        Relation::Apart => Decision::blocked(
            Reason::Diverged,
            format!(
                "{head} here and {tip} on {name} went apart: push or move the local commits, then run: git -C {} rebase {}",
                facts.top, facts.tip
            ),
        ),
        _ => Decision::Available(Offer {
            label: tip.to_owned(),
            commit: facts.tip.clone(),
            tag: None,
            source: "branch",
            published_at: None,
            release_url: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(head_to_tip: Relation, mark_to_tip: Relation) -> BranchFacts {
        let id = |digit: &str| CommitId::parse(&digit.repeat(40)).unwrap();
        let tip = id("b");
        BranchFacts {
            name: "origin/main".into(),
            top: "/x".into(),
            head: if head_to_tip == Relation::Same { tip.clone() } else { id("a") },
            seen: if head_to_tip == Relation::Same { Vec::new() } else { vec![id("c"), id("d")] },
            doubt: Some((id("d"), mark_to_tip)),
            tip,
            head_to_tip,
        }
    }

    #[test]
    fn every_pair_of_relations_has_its_verdict() {
        use Relation::{After, Apart, Before, NotBefore, Same, Unknown};
        let rolled = "rolled_back_remote";
        for (head, mark, verdict) in [
            (Same, Same, "up_to_date"),
            (Same, After, "up_to_date"),
            (Same, Apart, "up_to_date"),
            (Before, Same, "available"),
            (Before, Before, "available"),
            (Before, After, rolled),
            (Before, Apart, "diverged"),
            (Before, NotBefore, "diverged"),
            (Unknown, Unknown, "available"),
            (Unknown, Same, "available"),
            (After, Same, "up_to_date"),
            (After, Before, "up_to_date"),
            (After, After, rolled),
            (After, NotBefore, rolled),
            (After, Apart, rolled),
            (Apart, Same, "diverged"),
            (Apart, Before, "diverged"),
            (Apart, After, rolled),
        ] {
            let told = match decide(&facts(head, mark)) {
                Decision::Available(_) => "available",
                Decision::UpToDate { .. } => "up_to_date",
                Decision::Blocked { reason, .. } => reason.code(),
            };
            assert_eq!(told, verdict, "{head:?} {mark:?}");
        }
    }

    #[test]
    fn the_mark_moves_only_where_history_continues() {
        use Relation::{After, Apart, Before, NotBefore, Same, Unknown};
        for (head, mark, moves, pending) in [
            (Same, Apart, true, 0),
            (Before, Before, true, 0),
            (After, Same, true, 0),
            (Unknown, Unknown, false, 2),
            (After, After, false, 1),
            (Before, Apart, false, 1),
            (Before, NotBefore, false, 1),
        ] {
            let facts = facts(head, mark);
            let kept = remember(&facts);
            assert_eq!((kept.mark == facts.tip, kept.pending.len()), (moves, pending), "{head:?} {mark:?}");
        }
    }

    #[test]
    fn what_waits_for_a_fetch_is_bounded_and_not_told_twice() {
        let mut facts = facts(Relation::Unknown, Relation::Unknown);
        for _ in 0..2 {
            let kept = remember(&facts);
            assert_eq!(kept.pending.len(), 2);
            facts.seen = [vec![kept.mark], kept.pending].concat();
        }
        facts.seen = (0..200).map(|n| CommitId::parse(&format!("{n:040}")).unwrap()).collect();
        let kept = remember(&facts);
        assert_eq!((&kept.mark, kept.pending.len()), (&facts.seen[0], MOST_PENDING));
        assert_eq!(kept.pending.last(), Some(&facts.tip));
    }
}
