//! What the watcher remembers between runs (`version_watch.json`). It can be rebuilt: losing it
//! costs a request and the memory of commits and tags seen before, never a wrong answer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::home::Home;
use crate::outcome::Halt;
use crate::sys::store::SCHEMA;
use crate::version::CommitId;

/// Tags remembered for one remote; the highest stay.
const MOST_TAGS: usize = 500;

/// `version_watch.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchCache {
    /// Always 1.
    pub schema: u64,
    /// When the last check ended.
    pub checked_at: Option<Timestamp>,
    /// Checks in a row that got no answer.
    pub failures: u32,
    /// No request to the API before this.
    pub retry_at: Option<Timestamp>,
    /// Conversation with the releases API.
    pub api: ApiCache,
    /// What each branch was seen at, by `URL#refs/heads/NAME`.
    pub branches: BTreeMap<String, BranchMark>,
    /// Which commit each version tag was seen at, by URL, then tag.
    pub tags: BTreeMap<String, BTreeMap<String, CommitId>>,
    /// When tags were last compared with the remote.
    pub tags_checked_at: Option<Timestamp>,
    /// `checked_at` as it was read: whether another check ended meanwhile.
    #[serde(skip)]
    read_at: Option<Timestamp>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// High-water mark of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchMark {
    /// The furthest commit that is known to continue everything seen before it.
    pub mark: CommitId,
    /// Commits seen after it of which that cannot be told before a fetch, in order.
    #[serde(default)]
    pub pending: Vec<CommitId>,
}

/// Conversation with the releases API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiCache {
    /// Fingerprint of the API's address and the token; what follows belongs to it.
    pub key: String,
    /// Answers by channel and page address.
    pub pages: BTreeMap<String, Page>,
    /// Requests allowed in the current span, as last told.
    pub limit: Option<u64>,
    /// Requests left in it, as last told.
    pub remaining: Option<u64>,
    /// When the span ends.
    pub reset_at: Option<Timestamp>,
    /// Requests that everybody at this address made between our last two.
    pub burn: Option<u64>,
    /// Refusals for the limit in a row.
    pub refusals: u32,
    /// Answers 403 without limit headers in a row.
    pub forbidden: u32,
    /// Tags whose release was there once and is not any more.
    pub withdrawn: BTreeSet<String>,
}

/// One page of releases, as answered with 200.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Its validator.
    pub etag: Option<String>,
    /// The next page's address.
    pub next: Option<String>,
    /// What was on it.
    pub releases: Vec<Release>,
}

/// What we need to know of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its tag.
    pub tag: String,
    /// Not published yet.
    pub draft: bool,
    /// Marked as not ready for everybody.
    pub prerelease: bool,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// Its page.
    pub url: Option<String>,
}

impl WatchCache {
    /// Reads it; one that is damaged, newer or absent is an empty one.
    pub fn load(home: &Home) -> Result<Self, Halt> {
        let cache: Self = home.watch_cache().read()?.unwrap_or_default();
        Ok(Self { read_at: cache.checked_at, ..cache })
    }

    /// Saves it. Keys that appeared meanwhile stay, and so does what another check saw meanwhile; a
    /// damaged file is moved aside.
    pub fn save(mut self, home: &Home) -> Result<(), Halt> {
        let file = home.watch_cache();
        let locked = file.lock()?;
        if let Some(now) = locked.read::<Self>()? {
            self.join(now);
        }
        self.schema = SCHEMA;
        for seen in self.tags.values_mut() {
            forget_lowest(seen);
        }
        locked.write(&self)
    }

    /// Takes over what is in the file now. Nobody holds the lock while the remote is asked, so
    /// another check may have ended since this one began: what either saw has to be continued.
    fn join(&mut self, now: Self) {
        self.extra = now.extra;
        if now.checked_at == self.read_at {
            return;
        }
        self.retry_at = self.retry_at.max(now.retry_at);
        for (name, theirs) in now.branches {
            match self.branches.entry(name) {
                Entry::Vacant(free) => drop(free.insert(theirs)),
                Entry::Occupied(ours) if *ours.get() == theirs => {}
                Entry::Occupied(mut ours) => {
                    let ours = ours.get_mut();
                    let mut pending = theirs.pending;
                    pending.push(ours.mark.clone());
                    pending.append(&mut ours.pending);
                    pending.dedup();
                    *ours = BranchMark { mark: theirs.mark, pending };
                }
            }
        }
        for (url, theirs) in now.tags {
            let ours = self.tags.entry(url).or_default();
            for (tag, commit) in theirs {
                ours.entry(tag).or_insert(commit);
            }
        }
    }

    /// Commit that `tag` was seen at.
    pub fn seen_tag(&self, url: &str, tag: &str) -> Option<&CommitId> {
        self.tags.get(url)?.get(tag)
    }

    /// Remembers where `tag` is.
    pub fn remember_tag(&mut self, url: &str, tag: &str, commit: &CommitId) {
        self.tags.entry(url.to_owned()).or_default().insert(tag.to_owned(), commit.clone());
    }
}

fn forget_lowest(tags: &mut BTreeMap<String, CommitId>) {
    let mut order: Vec<_> = tags.keys().map(|t| (crate::version::Version::parse(t), t.clone())).collect();
    order.sort();
    for (_, tag) in order.iter().take(tags.len().saturating_sub(MOST_TAGS)) {
        tags.remove(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_saw_that_ended_meanwhile_is_not_forgotten() {
        let id = |digit: &str| CommitId::parse(&digit.repeat(40)).unwrap();
        let mark = |mark: &str, pending: &[&str]| BranchMark {
            mark: id(mark),
            pending: pending.iter().map(|p| id(p)).collect(),
        };
        let at = |second: i64| Timestamp::from_second(second).ok();
        let cache = |read_at, retry_at, branch: BranchMark| WatchCache {
            read_at: at(read_at),
            checked_at: at(read_at),
            retry_at: at(retry_at),
            branches: BTreeMap::from([("main".to_owned(), branch)]),
            ..WatchCache::default()
        };
        let mut alone = cache(1, 5, mark("a", &["b"]));
        alone.join(cache(1, 9, mark("a", &[])));
        assert_eq!((alone.branches["main"].clone(), alone.retry_at), (mark("a", &["b"]), at(5)));
        let mut theirs = cache(2, 9, mark("a", &["c"]));
        theirs.remember_tag("url", "v1.0.0", &id("1"));
        let mut ours = cache(1, 5, mark("a", &["b"]));
        ours.remember_tag("url", "v1.1.0", &id("2"));
        ours.join(theirs);
        assert_eq!((ours.branches["main"].clone(), ours.retry_at), (mark("a", &["c", "a", "b"]), at(9)));
        assert_eq!(ours.tags["url"].len(), 2);
    }
}
