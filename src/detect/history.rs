//! How commits relate, as far as the objects here can tell, and whether a branch on the remote
//! still continues what was seen there before. The judgement is pure; only `relate` asks git.

use crate::checkout::Checkout;
use crate::outcome::Reason;
use crate::version::CommitId;

/// How an older commit relates to a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same commit.
    Same,
    /// The first is an ancestor of the second.
    Before,
    /// The second is an ancestor of the first.
    After,
    /// Neither is an ancestor of the other.
    Apart,
    /// The first is not here while the whole history of the second is: it is no ancestor of it.
    NotBefore,
    /// The objects needed are not here.
    Unknown,
}

/// How `old` relates to `new`.
pub fn relate(checkout: &Checkout, old: &CommitId, new: &CommitId) -> anyhow::Result<Relation> {
    if old == new {
        return Ok(Relation::Same);
    }
    if !checkout.has(new)? {
        return Ok(Relation::Unknown);
    }
    let whole = !checkout.is_shallow();
    if !checkout.has(old)? {
        return Ok(if whole { Relation::NotBefore } else { Relation::Unknown });
    }
    Ok(match (checkout.is_ancestor(old, new)?, checkout.is_ancestor(new, old)?) {
        (true, _) => Relation::Before,
        (_, true) => Relation::After,
        // Where history was cut off, two commits may seem apart that are not.
        _ if whole => Relation::Apart,
        _ => Relation::Unknown,
    })
}

/// What a branch's movement since it was last seen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// It stayed, or went forward.
    Forward,
    /// Not known before a fetch.
    Unproven,
    /// It is at an ancestor of what was seen.
    WentBack,
    /// What was seen is no longer part of it.
    Rewritten,
}

/// Of all commits seen on a branch the one that speaks loudest against its tip being their
/// continuation, and how it relates to it. `None`: nothing was seen.
pub fn loudest(
    checkout: &Checkout,
    seen: &[CommitId],
    tip: &CommitId,
) -> anyhow::Result<Option<(CommitId, Relation)>> {
    let mut loudest: Option<(CommitId, Relation)> = None;
    for commit in seen {
        let relation = relate(checkout, commit, tip)?;
        if loudest.as_ref().is_none_or(|(_, before)| weight(relation) > weight(*before)) {
            loudest = Some((commit.clone(), relation));
        }
    }
    Ok(loudest)
}

fn weight(relation: Relation) -> u8 {
    match movement(relation, false) {
        Movement::Forward => 0,
        Movement::Unproven => 1,
        Movement::Rewritten => 2,
        Movement::WentBack => 3,
    }
}

/// Judges a branch by how the commit seen there relates to its tip. `behind_head`: the tip is an
/// ancestor of what is installed, so the branch went back and not elsewhere.
pub fn movement(seen_to_tip: Relation, behind_head: bool) -> Movement {
    match seen_to_tip {
        Relation::Same | Relation::Before => Movement::Forward,
        Relation::Unknown => Movement::Unproven,
        Relation::After => Movement::WentBack,
        Relation::Apart | Relation::NotBefore if behind_head => Movement::WentBack,
        Relation::Apart | Relation::NotBefore => Movement::Rewritten,
    }
}

/// What a fetch showed of a branch that does not continue what was seen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// `rolled_back_remote` or `diverged`.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
}

/// After a fetch, when the objects are here: whether the tip of the branch `name` continues what
/// was `seen` there. For the applier, which can know what a look could not.
pub fn confirm(
    checkout: &Checkout,
    seen: &[CommitId],
    name: &str,
    tip: &CommitId,
) -> anyhow::Result<Option<Break>> {
    let Some((seen, relation)) = loudest(checkout, seen, tip)? else { return Ok(None) };
    let behind_head = relate(checkout, checkout.commit(), tip)? == Relation::After;
    Ok(broken(movement(relation, behind_head), name, &checkout.top().display().to_string(), &seen, tip))
}

/// The break that a movement is, in words; `None`: it is none.
pub fn broken(movement: Movement, name: &str, top: &str, seen: &CommitId, tip: &CommitId) -> Option<Break> {
    let (from, to) = (seen.short(), tip.short());
    let (reason, what) = match movement {
        Movement::Forward | Movement::Unproven => return None,
        Movement::WentBack => (Reason::RolledBackRemote, format!("{name} went back from {from} to {to}")),
        Movement::Rewritten => (
            Reason::Diverged,
            format!("{name} was rewritten: {from}, seen there before, is not part of {to}"),
        ),
    };
    let message =
        format!("{what}: ask its owner; to follow it after all, run: git -C {top} reset --keep {tip}");
    Some(Break { reason, message })
}
