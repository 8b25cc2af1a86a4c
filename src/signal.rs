//! The signal file: its shape, how it is published and withdrawn. What is in it was decided by
//! `detect`; what is done about it is decided by `plan`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checked;
use crate::home::Home;
use crate::outcome::Halt;
use crate::version::{ChannelName, CommitId};

/// `update_available.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Always 1.
    pub schema: u64,
    /// Installed version; on alpha the first 12 digits of the commit.
    #[serde(deserialize_with = "checked::label")]
    pub current: String,
    /// Offered version; on alpha the first 12 digits of the commit.
    #[serde(deserialize_with = "checked::label")]
    pub available: String,
    /// Channel it was found on.
    pub channel: ChannelName,
    /// HEAD when it was found.
    pub current_commit: CommitId,
    /// The commit to install, exactly.
    pub available_commit: CommitId,
    /// The tag's name as it is on the remote; none on alpha.
    #[serde(default, deserialize_with = "checked::tag")]
    pub tag: Option<String>,
    /// Absolute path of the checkout.
    #[serde(deserialize_with = "checked::absolute")]
    pub repo: PathBuf,
    /// `releases`, `tags` or `branch`.
    #[serde(deserialize_with = "checked::source")]
    pub source: String,
    /// When this offer was first seen (UTC).
    pub detected_at: Timestamp,
    /// When it was published, where that is known (UTC).
    pub published_at: Option<Timestamp>,
    /// Page of the release.
    #[serde(default, deserialize_with = "checked::web_address")]
    pub release_url: Option<String>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Signal {
    /// Reads the published signal, without the lock.
    pub fn read(home: &Home) -> Result<Option<Self>, Halt> {
        home.signal().read()
    }

    /// Publishes it; an offer that is there already keeps its `detected_at`, unless that lies ahead:
    /// the clock was put right since, and what counts from then would never end. Returns what is
    /// now published and whether that is a new offer.
    pub fn publish(mut self, home: &Home) -> Result<(Self, bool), Halt> {
        let file = home.signal();
        let locked = file.lock()?;
        let before: Option<Self> = locked.read()?;
        let known = before.as_ref().filter(|old| old.offers_the_same(&self));
        let new = known.is_none();
        if let Some(old) = known {
            self.detected_at = self.detected_at.min(old.detected_at);
            self.extra.clone_from(&old.extra);
        }
        if let Some(other) = before.as_ref().filter(|old| old.repo != self.repo && old.repo.is_dir()) {
            crate::sys::warning::warn(&format!(
                "the signal for {} takes the place of the one for {}: give each checkout its own TELECLAUDE_HOME",
                self.repo.display(),
                other.repo.display()
            ));
        }
        if before.as_ref() != Some(&self) {
            locked.write(&self)?;
        }
        Ok((self, new))
    }

    /// Withdraws whatever is published. Returns whether something was. A damaged or newer file is
    /// refused unharmed.
    pub fn withdraw(home: &Home) -> Result<bool, Halt> {
        Self::withdraw_where(home, |_| true)
    }

    /// The same for what is published for the checkout at `repo`: one for another checkout with
    /// this state home stays.
    pub fn withdraw_of(repo: &Path, home: &Home) -> Result<bool, Halt> {
        Self::withdraw_where(home, |signal| signal.repo == repo)
    }

    fn withdraw_where(home: &Home, meant: impl Fn(&Self) -> bool) -> Result<bool, Halt> {
        let file = home.signal();
        if !file.path().exists() {
            return Ok(false);
        }
        let locked = file.lock()?;
        let there = locked.read::<Self>()?.is_some_and(|signal| meant(&signal));
        if there {
            locked.remove()?;
        }
        Ok(there)
    }

    /// Withdraws this signal, and only it: a newer one published meanwhile stays.
    pub fn withdraw_this(&self, home: &Home) -> Result<(), Halt> {
        let file = home.signal();
        let locked = file.lock()?;
        match locked.read::<Self>()? {
            Some(now) if now.offers_the_same(self) => locked.remove(),
            _ => Ok(()),
        }
    }

    fn offers_the_same(&self, other: &Self) -> bool {
        self.available == other.available
            && self.available_commit == other.available_commit
            && self.channel == other.channel
            && self.repo == other.repo
    }
}
