//! The shape of `migration_state.json` and what its entries mean. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::MigrationId;
use crate::sys::process::ProcessMark;
use crate::version::Version;

/// How a script came on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was run.
    Applied,
    /// Its `check()` was true before it was run.
    AlreadyApplied,
    /// A run was killed in the middle of it, and its `check()` was true afterwards.
    Recovered,
    /// A person said so.
    Marked,
}

impl Status {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyApplied => "already_applied",
            Self::Recovered => "recovered",
            Self::Marked => "marked",
        }
    }
}

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// 1; the host's earlier tool wrote none.
    #[serde(default = "schema")]
    pub schema: u64,
    /// Every id on record, whatever its status. The one authority: an id that is not here is not
    /// on record.
    #[serde(default)]
    pub applied: BTreeSet<String>,
    /// Versions up to and with this one count as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Version>,
    /// The version whose migrations are all done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Version>,
    /// More about the ids on record.
    #[serde(default)]
    pub records: BTreeMap<String, Record>,
    /// The script that `migrate()` was called of, and whose end is not known yet.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// Ids that a person took off the record, with when and why; until they are on record again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unmarked: BTreeMap<String, Value>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One id's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// A word of [`Status`].
    #[serde(default)]
    pub status: String,
    /// RFC 3339 UTC.
    #[serde(default)]
    pub when: String,
    /// How long it took.
    #[serde(default)]
    pub milliseconds: u64,
    /// Of its text as it was then; see [`super::fingerprint`].
    #[serde(default)]
    pub sha256: Option<String>,
    /// HEAD of the checkout.
    #[serde(default)]
    pub commit: Option<String>,
    /// Why a person marked or accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The script in progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Which one.
    pub id: String,
    /// RFC 3339 UTC.
    #[serde(default)]
    pub since: String,
    /// Its process, and process group; 0 when unknown.
    #[serde(default)]
    pub pid: u32,
    /// When that process began; see [`ProcessMark`].
    #[serde(default)]
    pub started: String,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn schema() -> u64 {
    crate::sys::store::SCHEMA
}

impl Intent {
    /// The script in this process, now.
    pub fn now(id: &MigrationId, group: &ProcessMark) -> Self {
        Self {
            id: id.to_string(),
            since: crate::sys::clock::now_rfc3339(),
            pid: group.pid,
            started: group.started.clone(),
            extra: Map::new(),
        }
    }

    /// Its process group.
    pub fn group(&self) -> ProcessMark {
        ProcessMark { pid: self.pid, started: self.started.clone() }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// A state in which nothing has happened.
    pub fn new() -> Self {
        Self {
            schema: schema(),
            applied: BTreeSet::new(),
            baseline: None,
            installed: None,
            records: BTreeMap::new(),
            intent: None,
            unmarked: BTreeMap::new(),
            extra: Map::new(),
        }
    }

    /// Whether this id is on record.
    pub fn has(&self, id: &MigrationId) -> bool {
        self.applied.contains(id.as_str())
    }

    /// Every id on record, for many questions: with thousands of ids a sorted set is slow to ask.
    pub fn ids(&self) -> HashSet<&str> {
        self.applied.iter().map(String::as_str).collect()
    }

    /// What is known of the texts of the ids on record; see [`super::fingerprint`].
    pub fn fingerprints(&self) -> HashMap<&str, &str> {
        let on_record = self.ids();
        let all = self.records.iter().filter(|(id, _)| on_record.contains(id.as_str()));
        all.filter_map(|(id, record)| Some((id.as_str(), record.sha256.as_deref()?))).collect()
    }

    /// What a run can change without putting a script on record.
    pub fn bounds(&self) -> (Option<Version>, Option<Version>) {
        (self.baseline.clone(), self.installed.clone())
    }

    /// Puts an id on record.
    pub fn put(&mut self, id: &str, record: Record) {
        self.applied.insert(id.to_owned());
        self.records.insert(id.to_owned(), record);
        self.unmarked.remove(id);
    }

    /// The script in progress is done.
    pub fn record(&mut self, id: &str, record: Record) {
        self.put(id, record);
        self.intent = None;
    }

    /// Takes an id off the record; returns whether it was there.
    pub fn forget(&mut self, id: &str) -> bool {
        self.records.remove(id);
        self.applied.remove(id)
    }

    /// Whether no run has ever been recorded: neither by this tool nor by the host's earlier one,
    /// whose file has `applied` alone. What a person marked is no run.
    pub fn is_virgin(&self) -> bool {
        let marked = |id| self.records.get(id).is_some_and(|r: &Record| r.status == Status::Marked.word());
        let by_hand = !self.applied.is_empty() && self.applied.iter().all(marked);
        self.baseline.is_none() && self.installed.is_none() && by_hand
    }

    /// Makes explicit what a file with `applied` alone means: everything below the lowest version
    /// in it counts as done, and the highest one is installed.
    pub fn complete_older(&mut self) {
        if self.baseline.is_some() || self.installed.is_some() || self.applied.is_empty() {
            return;
        }
        let mut versions: Vec<Version> =
            self.applied.iter().filter_map(|id| Some(MigrationId::parse(id)?.version().clone())).collect();
        versions.sort();
        self.baseline = versions.first().map(Version::just_below);
        self.installed = versions.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> State {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_file_of_the_earlier_tool_is_understood_and_keeps_its_strangers() {
        let mut state = parse(
            r#"{"applied": ["1.10.0/001_b.py", "1.2.0/001_a.py", "odd"], "theirs": {"x": 1},
                "records": {"odd": {"status": "strange", "more": true}}}"#,
        );
        assert!(!state.is_virgin());
        state.complete_older();
        assert!(Version::plain(1, 1, 99) < state.baseline.clone().unwrap());
        assert!(Version::plain(1, 2, 0) > state.baseline.clone().unwrap());
        assert_eq!(state.installed, Some(Version::plain(1, 10, 0)));
        let written = serde_json::to_value(&state).unwrap();
        assert_eq!(written["theirs"]["x"], 1);
        assert_eq!(written["records"]["odd"]["more"], true);
        assert_eq!(written["schema"], 1);
        assert_eq!(written["applied"].as_array().unwrap().len(), 3);
        assert_eq!(parse(&written.to_string()), state);
    }

    #[test]
    fn only_a_state_without_any_run_is_virgin() {
        for (text, virgin) in [
            (r#"{"applied": []}"#, false),
            (r#"{"applied": ["1.0.0/001_a.py"]}"#, false),
            (r#"{"baseline": "1.0.0"}"#, false),
            (r#"{"installed": "1.0.0", "applied": []}"#, false),
            (r#"{"applied": ["1.0.0/001_a.py"], "records": {"1.0.0/001_a.py": {"status": "marked"}}}"#, true),
            (
                r#"{"applied": ["1.0.0/001_a.py"], "records": {"1.0.0/001_a.py": {"status": "applied"}}}"#,
                false,
            ),
        ] {
            assert_eq!(parse(text).is_virgin(), virgin, "{text}");
        }
    }
}
