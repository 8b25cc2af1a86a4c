//! `failed_versions.json`: how often a target failed and when it is tried again. A target is a
//! commit; as soon as another one is wanted the old ones are forgotten.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::store::SCHEMA;
use crate::version::CommitId;

/// Waiting times after the first, second, … failure, in minutes; the last one repeats.
const BACK_OFF_MINUTES: &[i64] = &[5, 15, 60, 6 * 60, 24 * 60];

/// A target that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedTarget {
    /// Version as people know it.
    pub version: String,
    /// Failures so far.
    pub attempts: u32,
    /// The last one (UTC).
    pub last_failed_at: Timestamp,
    /// Not tried before (UTC).
    pub next_try_at: Timestamp,
    /// Reason code of the last one.
    pub reason: String,
    /// Its sentence.
    pub message: String,
    /// The attempt that was counted last, so that none is counted twice.
    #[serde(default)]
    pub attempt_id: Option<String>,
    /// Keys of newer programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl FailedTarget {
    /// How long from `now` until it is tried again; `None`: now. A clock that was put back behind
    /// the failure would make it wait for ever, so that counts as now.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.last_failed_at <= now && now < self.next_try_at).then_some(self.next_try_at)
    }
}

/// `failed_versions.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FailedVersions {
    /// Always 1.
    pub schema: u64,
    /// By commit.
    #[serde(default)]
    pub targets: BTreeMap<String, FailedTarget>,
    /// Keys of newer programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is known of this target.
pub fn lookup(home: &Home, target: &CommitId) -> Result<Option<FailedTarget>, Halt> {
    let all: Option<FailedVersions> = home.failed_versions().read()?;
    Ok(all.and_then(|mut all| all.targets.remove(target.as_str())))
}

/// Counts one more failure of this target and forgets all others. An attempt that was counted last
/// is not counted again.
pub fn count(
    home: &Home,
    target: &CommitId,
    version: &str,
    attempt_id: &str,
    why: (Reason, &str),
    now: Timestamp,
) -> Result<FailedTarget, Halt> {
    let file = home.failed_versions();
    let locked = file.lock()?;
    let mut all: FailedVersions = locked.read()?.unwrap_or_default();
    let before = all.targets.remove(target.as_str());
    if let Some(counted) = before.as_ref().filter(|b| b.attempt_id.as_deref() == Some(attempt_id)) {
        return Ok(counted.clone());
    }
    let attempts = before.as_ref().map_or(0, |b| b.attempts).saturating_add(1);
    let failed = FailedTarget {
        version: version.to_owned(),
        attempts,
        last_failed_at: now,
        next_try_at: now.saturating_add(back_off(attempts)).unwrap_or(now),
        reason: why.0.code().to_owned(),
        message: why.1.to_owned(),
        attempt_id: Some(attempt_id.to_owned()),
        extra: before.map(|b| b.extra).unwrap_or_default(),
    };
    all.schema = SCHEMA;
    all.targets = BTreeMap::from([(target.as_str().to_owned(), failed.clone())]);
    locked.write(&all)?;
    Ok(failed)
}

/// Forgets this target: it is installed, or a person wants it tried anew.
pub fn forget(home: &Home, target: &CommitId) -> Result<(), Halt> {
    let file = home.failed_versions();
    if !file.path().exists() {
        return Ok(());
    }
    let locked = file.lock()?;
    let mut all: FailedVersions = locked.read()?.unwrap_or_default();
    if all.targets.remove(target.as_str()).is_some() {
        all.schema = SCHEMA;
        locked.write(&all)?;
    }
    Ok(())
}

fn back_off(attempts: u32) -> SignedDuration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let minutes = BACK_OFF_MINUTES.get(step).or(BACK_OFF_MINUTES.last()).copied().unwrap_or(5);
    SignedDuration::from_mins(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_and_stays_at_a_day() {
        let minutes: Vec<i64> = (1..=7).map(|n| back_off(n).as_mins()).collect();
        assert_eq!(minutes, [5, 15, 60, 360, 1440, 1440, 1440]);
    }
}
