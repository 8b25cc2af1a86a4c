//! The one place that chooses a version. Pure: what is on offer and what is installed go in, the
//! target comes out. The highest version counts, by semver, whatever the order or date.

use jiff::Timestamp;

pub use crate::checked::version_of_tag;
use crate::config::Channel;
use crate::outcome::Reason;
use crate::version::{CommitId, Version};

use super::{Decision, Offer};

/// A version on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: Version,
    /// Its tag as it is on the remote.
    pub tag: String,
    /// The commit the tag names, where that is known already.
    pub commit: Option<CommitId>,
    /// When it was published, where that is known.
    pub published_at: Option<Timestamp>,
    /// Page of the release.
    pub release_url: Option<String>,
}

/// Versions on offer and how many tags were passed over because they name none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// In no particular order.
    pub candidates: Vec<Candidate>,
    /// Tags that are no strict semantic versions.
    pub skipped_tags: u64,
}

/// The highest version that the channel allows. Prereleases never count. Build metadata makes no
/// version higher: among equals it is the installed one, else the one without.
pub fn choose<'c>(
    channel: Channel,
    candidates: &'c [Candidate],
    installed: Option<&Version>,
) -> Option<&'c Candidate> {
    let allowed = |c: &&Candidate| match channel {
        Channel::Stable(pinned) => c.version.minor() == pinned,
        Channel::Alpha | Channel::Beta => true,
    };
    // Of `v1.2.3` and `1.2.3` the first is the usual way to write it.
    let among_equals = |c: &Candidate| {
        let version = c.version.clone();
        (Some(&version) == installed, !version.has_build(), version, c.tag.starts_with('v'))
    };
    candidates.iter().filter(|c| !c.version.is_prerelease()).filter(allowed).max_by(|a, b| {
        let order = a.version.cmp_precedence(&b.version);
        order.then_with(|| among_equals(a).cmp(&among_equals(b)))
    })
}

/// What is known about the chosen version and this computer.
#[derive(Clone, Debug)]
pub struct TargetFacts<'a> {
    /// The checkout, for messages.
    pub top: &'a str,
    /// HEAD.
    pub head: &'a CommitId,
    /// The installed version, where one can be told.
    pub installed: Option<&'a Version>,
    /// The chosen version.
    pub chosen: &'a Candidate,
    /// Where its tag is on the remote now.
    pub commit: &'a CommitId,
    /// Where its tag was seen before.
    pub seen: Option<&'a CommitId>,
    /// Where a tag of that name is in this checkout.
    pub local: Option<&'a CommitId>,
    /// `releases` or `tags`.
    pub source: &'static str,
}

/// Whether the chosen version is worth a look: nothing older than what is installed is.
pub fn is_older(chosen: &Candidate, installed: Option<&Version>) -> bool {
    installed.is_some_and(|installed| chosen.version.cmp_precedence(installed).is_lt())
}

/// Decides on the chosen version.
pub fn decide(facts: &TargetFacts<'_>) -> Decision {
    let version = &facts.chosen.version;
    if facts.commit == facts.head {
        return Decision::up_to_date(format!("{version} is installed, the newest version"));
    }
    if is_older(facts.chosen, facts.installed) {
        return Decision::up_to_date(no_downgrade(version, facts.installed));
    }
    if let Some(before) = [facts.seen, facts.local].into_iter().flatten().find(|c| *c != facts.commit) {
        return Decision::blocked(Reason::TagMoved, tag_moved(facts, before));
    }
    if let Some(installed) = facts.installed.filter(|i| version.cmp_precedence(i).is_eq()) {
        return Decision::up_to_date(equally_new(version, installed));
    }
    Decision::Available(Offer {
        label: version.to_string(),
        commit: facts.commit.clone(),
        tag: Some(facts.chosen.tag.clone()),
        source: facts.source,
        published_at: facts.chosen.published_at,
        release_url: facts.chosen.release_url.clone(),
    })
}

/// What people are told when the highest version on offer is as new as the installed one.
pub fn equally_new(version: &Version, installed: &Version) -> String {
    if version == installed {
        return format!("{version} is installed, the newest version");
    }
    format!(
        "{installed} is installed, and {version} on offer is no newer: build metadata does not count; \
         'apply-update --to {version}' installs it all the same"
    )
}

/// What people are told when the highest version on offer is lower than the installed one.
pub fn no_downgrade(version: &Version, installed: Option<&Version>) -> String {
    let installed = installed.map_or_else(|| "something else".to_owned(), ToString::to_string);
    format!("nothing newer on offer: {installed} is installed, the highest on the channel is {version}")
}

fn tag_moved(facts: &TargetFacts<'_>, before: &CommitId) -> String {
    let (tag, top, now) = (&facts.chosen.tag, facts.top, facts.commit);
    let way = if facts.local == Some(before) {
        format!("git -C {top} tag -d {tag} && git -C {top} checkout --detach {now}")
    } else {
        format!("git -C {top} checkout --detach {now}")
    };
    format!(
        "the tag {tag} moved from {} to {}: ask its owner; to follow it after all, fetch and run: {way}",
        before.short(),
        now.short()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(tag: &str) -> Candidate {
        Candidate {
            version: version_of_tag(tag).unwrap(),
            tag: tag.to_owned(),
            commit: None,
            published_at: None,
            release_url: None,
        }
    }

    #[test]
    fn the_highest_version_wins_in_any_order() {
        let pinned = |m: &str| Channel::Stable(m.parse().unwrap());
        for (channel, tags, best) in [
            (Channel::Beta, &["v1.9.0", "v1.10.0", "v1.2.0"][..], Some("v1.10.0")),
            (Channel::Beta, &["v1.10.0", "v1.9.0"], Some("v1.10.0")),
            (Channel::Beta, &["v2.0.0-rc.1", "v1.0.0"], Some("v1.0.0")),
            (Channel::Beta, &["1.0.0", "v1.0.0"], Some("v1.0.0")),
            (Channel::Beta, &["v1.0.0", "1.0.0"], Some("v1.0.0")),
            (Channel::Beta, &["v2.0.0-rc.1"], None),
            (Channel::Beta, &[], None),
            (pinned("1.2"), &["v1.20.0", "v1.2.1", "v1.2.10", "v1.2.9", "v2.2.99"], Some("v1.2.10")),
            (pinned("1.10"), &["v1.1.9", "v1.10.0"], Some("v1.10.0")),
            (pinned("1.3"), &["v1.2.0"], None),
        ] {
            let candidates: Vec<_> = tags.iter().map(|t| candidate(t)).collect();
            assert_eq!(choose(channel, &candidates, None).map(|c| c.tag.as_str()), best, "{tags:?}");
        }
    }

    #[test]
    fn odd_tags_are_no_versions() {
        for tag in [
            "",
            "v",
            "1.2",
            "v1.2.3.4",
            "vv1.2.3",
            "V1.2.3",
            "v01.2.3",
            "release-1.2.3",
            "--upload-pack=x",
            "v1.2.3 ",
            "1.2.3\n",
        ] {
            assert_eq!(version_of_tag(tag), None, "{tag:?}");
        }
        assert_eq!(version_of_tag(&format!("v1.2.3+{}", "a".repeat(200))), None);
    }

    #[test]
    fn every_target_has_its_verdict() {
        let id = |digit: &str| CommitId::parse(&digit.repeat(40)).unwrap();
        let (head, here, there) = (id("a"), id("b"), id("c"));
        let version = |v: &str| Version::parse(v).unwrap();
        for (installed, commit, seen, local, verdict) in [
            (Some("1.2.0"), &here, None, None, "available"),
            (None, &here, None, None, "available"),
            (Some("1.3.0-rc.1"), &here, Some(&here), Some(&here), "available"),
            (Some("1.2.0"), &head, Some(&there), Some(&there), "up_to_date"),
            (Some("1.2.0"), &here, Some(&there), None, "tag_moved"),
            (Some("1.2.0"), &here, None, Some(&there), "tag_moved"),
            (Some("1.3.0"), &here, Some(&there), None, "tag_moved"),
            (Some("1.3.0"), &here, None, None, "up_to_date"),
            (Some("1.3.0+local"), &here, None, None, "up_to_date"),
            (Some("1.4.0"), &here, None, None, "up_to_date"),
            (Some("1.4.0"), &here, Some(&there), None, "up_to_date"),
        ] {
            let installed = installed.map(version);
            let decision = decide(&TargetFacts {
                top: "/x",
                head: &head,
                installed: installed.as_ref(),
                chosen: &candidate("v1.3.0"),
                commit,
                seen,
                local,
                source: "tags",
            });
            let told = match decision {
                Decision::Available(_) => "available",
                Decision::UpToDate { .. } => "up_to_date",
                Decision::Blocked { reason, .. } => reason.code(),
            };
            assert_eq!(told, verdict, "{installed:?} {commit} {seen:?} {local:?}");
        }
    }
}
