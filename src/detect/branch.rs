//! Alpha: the remote's branch. Looking asks one `git ls-remote`, and local git only where the tip
//! is not HEAD; judging is a pure function of what was found.

use crate::checkout::Checkout;
use crate::outcome::{Halt, Reason};
use crate::version::CommitId;

use super::cache::{BranchMark, WatchCache};
use super::history::{Movement, Relation, movement, relate};
use super::remote::{Deadline, Remote};
use super::{Decision, Offer};

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
    /// The commit last known there, if any.
    pub mark: Option<CommitId>,
    /// How HEAD relates to the tip.
    pub head_to_tip: Relation,
    /// How the mark relates to the tip.
    pub mark_to_tip: Relation,
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
    let mark = if tip == head { None } else { known_mark(checkout, remote, branch, cache)? };
    Ok(BranchFacts {
        name: format!("{}/{branch}", remote.name),
        top: checkout.top().display().to_string(),
        head_to_tip: relate(checkout, &head, &tip)?,
        mark_to_tip: mark.as_ref().map_or(Ok(Relation::Same), |m| relate(checkout, m, &tip))?,
        head,
        tip,
        mark,
    })
}

/// Where the branch's memory is kept.
pub fn mark_key(remote: &Remote, branch: &str) -> String {
    format!("{}#refs/heads/{branch}", remote.url)
}

/// The commit last known on the branch: ours, else where git last saw it. A commit that was seen
/// after the mark counts as soon as its objects are here and show that it continues the mark.
pub fn known_mark(
    checkout: &Checkout,
    remote: &Remote,
    branch: &str,
    cache: &WatchCache,
) -> anyhow::Result<Option<CommitId>> {
    let Some(known) = cache.branches.get(&mark_key(remote, branch)) else {
        let tracking = format!("refs/remotes/{}/{branch}", remote.name);
        let finished = checkout.git().run(&["rev-parse", "--verify", "--quiet", &tracking])?;
        return Ok(CommitId::parse(String::from_utf8_lossy(&finished.stdout).trim()));
    };
    let proven = relate(checkout, &known.mark, &known.seen)? == Relation::Before;
    Ok(Some(if proven { known.seen.clone() } else { known.mark.clone() }))
}

/// What to remember of the branch.
pub fn remember(facts: &BranchFacts) -> BranchMark {
    let followed = matches!(movement(facts.mark_to_tip, false), Movement::Forward);
    let mark = match &facts.mark {
        Some(mark) if facts.tip != facts.head && !followed => mark.clone(),
        _ => facts.tip.clone(),
    };
    BranchMark { mark, seen: facts.tip.clone() }
}

/// Decides.
pub fn decide(facts: &BranchFacts) -> Decision {
    let (name, tip) = (&facts.name, facts.tip.short());
    if facts.head_to_tip == Relation::Same {
        return Decision::up_to_date(format!("up to date with {name} at {tip}"));
    }
    let behind_head = facts.head_to_tip == Relation::After;
    let seen = facts.mark.as_ref().unwrap_or(&facts.tip).short();
    let accept = format!(
        "ask its owner; to follow it after all, run: git -C {} reset --keep {}",
        facts.top, facts.tip
    );
    match movement(facts.mark_to_tip, behind_head) {
        Movement::WentBack => Decision::blocked(
            Reason::RolledBackRemote,
            format!("{name} went back from {seen} to {tip}: {accept}"),
        ),
        Movement::Rewritten => Decision::blocked(
            Reason::Diverged,
            format!("{name} was rewritten: {seen}, seen there before, is not part of {tip}: {accept}"),
        ),
        Movement::Forward | Movement::Unproven => by_head(facts),
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
            mark: Some(if mark_to_tip == Relation::Same { tip.clone() } else { id("c") }),
            tip,
            head_to_tip,
            mark_to_tip,
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
        use Relation::{After, Apart, Before, Same, Unknown};
        for (head, mark, moves) in [
            (Same, Apart, true),
            (Before, Before, true),
            (Unknown, Unknown, false),
            (After, After, false),
            (Before, Apart, false),
        ] {
            let facts = facts(head, mark);
            assert_eq!(remember(&facts).mark == facts.tip, moves, "{head:?} {mark:?}");
            assert_eq!(remember(&facts).seen, facts.tip);
        }
    }
}
