//! Beta and stable by tags: the versions that `git ls-remote --tags` lists. Pure.

use std::collections::BTreeMap;

use crate::version::CommitId;

use super::choose::{Candidate, Offers, version_of_tag};
use super::remote::RemoteRef;

/// Makes versions of references: annotated tags peeled to their commits, odd names counted.
pub fn offers(refs: &[RemoteRef]) -> Offers {
    let mut tags: BTreeMap<&str, &CommitId> = BTreeMap::new();
    for reference in refs {
        let Some(name) = reference.name.strip_prefix("refs/tags/") else { continue };
        match name.strip_suffix("^{}") {
            Some(tag) => tags.insert(tag, &reference.object),
            None => Some(*tags.entry(name).or_insert(&reference.object)),
        };
    }
    let mut offers = Offers::default();
    for (tag, commit) in tags {
        match version_of_tag(tag) {
            Some(version) => offers.candidates.push(Candidate {
                version,
                tag: tag.to_owned(),
                commit: Some(commit.clone()),
                published_at: None,
                release_url: None,
            }),
            None => offers.skipped_tags += 1,
        }
    }
    offers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_peeled_whatever_their_order_and_odd_ones_counted() {
        let id = |digit: &str| CommitId::parse(&digit.repeat(40)).unwrap();
        let entry = |digit: &str, name: &str| RemoteRef { object: id(digit), name: name.to_owned() };
        let found = offers(&[
            entry("a", "refs/tags/v1.0.0"),
            entry("b", "refs/tags/v1.0.0^{}"),
            entry("c", "refs/tags/v1.1.0^{}"),
            entry("d", "refs/tags/v1.1.0"),
            entry("e", "refs/tags/1.2.0"),
            entry("f", "refs/tags/nightly"),
            entry("f", "refs/tags/x/refs/tags/v9.9.9"),
            entry("f", "refs/heads/v8.0.0"),
        ]);
        let told: Vec<_> =
            found.candidates.iter().map(|c| (c.tag.as_str(), c.commit.clone().unwrap())).collect();
        assert_eq!(told, [("1.2.0", id("e")), ("v1.0.0", id("b")), ("v1.1.0", id("c"))]);
        assert_eq!(found.skipped_tags, 2);
    }
}
