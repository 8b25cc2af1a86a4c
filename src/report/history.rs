//! `deploy_history.jsonl`: one line an attempt, the last 500. Owns the file; readers never wait.
//!
//! A line that cannot be read (damaged, or of a newer schema) is passed over by readers and kept
//! as it is by writers, until it is old enough to be dropped like any other.

use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::status::StepError;
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::sys::lock::{BRIEF_WAIT, LockGuard};
use crate::sys::plain::{self, Unreadable};
use crate::sys::store::{self, SCHEMA};
use crate::version::{ChannelName, CommitId};

/// How many lines are kept.
pub const KEEP: usize = 500;

/// How long one phase of an attempt took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// The phase's word in the journal.
    pub phase: String,
    /// Milliseconds.
    pub ms: u64,
}

/// One attempt, as one line has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Always 1.
    pub schema: u64,
    /// Names the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Begin (UTC).
    pub started_at: Timestamp,
    /// End (UTC).
    pub finished_at: Timestamp,
    /// Channel of the target.
    pub channel: ChannelName,
    /// Version before; on alpha the first 12 digits of the commit.
    pub from: String,
    /// Version wanted.
    pub to: String,
    /// Commit before.
    pub from_commit: CommitId,
    /// Commit wanted.
    pub to_commit: CommitId,
    /// Which try of this target it was, from 1.
    pub attempt: u32,
    /// The outcome word of the run: `updated`, `rolled_back`, `failed`, `blocked`…
    pub outcome: String,
    /// Stable code.
    #[serde(default)]
    pub reason: Option<String>,
    /// One sentence.
    pub message: String,
    /// The step that failed.
    #[serde(default)]
    pub error: Option<StepError>,
    /// Migrations that ran, in order.
    #[serde(default)]
    pub migrations: Vec<String>,
    /// Phases in the order they were gone through.
    #[serde(default)]
    pub phases: Vec<PhaseTime>,
    /// Keys this program does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What readers get.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The last attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Lines in the file that could not be read.
    pub unreadable: usize,
}

/// Appends one line and keeps the last 500. The last line gives way where it is about the same
/// attempt: going back failed first, say, and then did not.
pub fn record(home: &Home, attempt: &Attempt) -> Result<(), Halt> {
    let path = home.history();
    let _guard = lock(&path)?;
    let text = serde_json::to_vec(attempt).context("cannot encode a history line")?;
    let same = |line: &[u8]| attempt.id.is_some() && parse(line).is_some_and(|old| old.id == attempt.id);
    let content = with_line(&content(&path)?, &text, same);
    Ok(store::replace(&path, &content, 0o600, true)?)
}

/// The last `n` attempts, oldest first, without the lock.
pub fn read(home: &Home, n: usize) -> Result<History, Halt> {
    let content = content(&home.history())?;
    let mut history = History::default();
    for line in lines(&content) {
        match parse(line) {
            Some(attempt) => history.attempts.push(attempt),
            None => history.unreadable += 1,
        }
    }
    let surplus = history.attempts.len().saturating_sub(n);
    history.attempts.drain(..surplus);
    Ok(history)
}

fn parse(line: &[u8]) -> Option<Attempt> {
    serde_json::from_slice::<Attempt>(line).ok().filter(|attempt| attempt.schema <= SCHEMA)
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

/// The file with one more line, at most `KEEP` of them; the last one before is dropped where it is
/// `outdated`.
fn with_line(content: &[u8], line: &[u8], outdated: impl FnOnce(&[u8]) -> bool) -> Vec<u8> {
    let mut all: Vec<&[u8]> = lines(content).collect();
    if all.last().is_some_and(|last| outdated(last)) {
        all.pop();
    }
    all.push(line);
    let surplus = all.len().saturating_sub(KEEP);
    let mut text = Vec::with_capacity(content.len() + line.len() + 1);
    for line in &all[surplus..] {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

fn content(path: &Path) -> Result<Vec<u8>, Halt> {
    match plain::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(Unreadable::Missing) => Ok(Vec::new()),
        Err(why) => Err(Halt::failed(Reason::IoError, format!("cannot read {}: {why}", path.display()))),
    }
}

fn lock(path: &Path) -> Result<LockGuard, Halt> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    LockGuard::acquire(Path::new(&name), BRIEF_WAIT)?.ok_or_else(|| {
        let file = Path::new(&name).display();
        Halt::busy(format!("{file} is locked by another program; try again in a moment"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| format!("{n}\n").into_bytes()).collect()
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home =
            Home::open(&crate::sys::env::Environment::from_pairs([("TELECLAUDE_HOME", dir.path())])).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let home = &home;
                scope.spawn(move || (0..10).for_each(|n| record(home, &attempt(writer * 10 + n)).unwrap()));
            }
        });
        let history = read(&home, KEEP).unwrap();
        let mut numbers: Vec<u32> = history.attempts.iter().map(|attempt| attempt.attempt).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
        assert_eq!(history.attempts.last().map(|last| &last.extra["foreign"]), Some(&Value::from(1)));
    }

    fn attempt(number: u32) -> Attempt {
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        Attempt {
            schema: SCHEMA,
            id: Some(format!("attempt {number}")),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            channel: ChannelName::Beta,
            from: "1.0.0".to_owned(),
            to: "1.1.0".to_owned(),
            from_commit: commit.clone(),
            to_commit: commit,
            attempt: number,
            outcome: "updated".to_owned(),
            reason: None,
            message: "line\nbreak".to_owned(),
            error: None,
            migrations: Vec::new(),
            phases: vec![PhaseTime { phase: "fetching".to_owned(), ms: 12 }],
            extra: Map::from_iter([("foreign".to_owned(), Value::from(1))]),
        }
    }

    #[test]
    fn the_last_word_about_an_attempt_counts() {
        let dir = tempfile::tempdir().unwrap();
        let home =
            Home::open(&crate::sys::env::Environment::from_pairs([("TELECLAUDE_HOME", dir.path())])).unwrap();
        for (number, outcome) in [(1, "updated"), (2, "failed"), (2, "rolled_back"), (3, "updated")] {
            record(&home, &Attempt { outcome: outcome.to_owned(), ..attempt(number) }).unwrap();
        }
        let history = read(&home, KEEP).unwrap();
        let told: Vec<_> = history.attempts.iter().map(|a| (a.attempt, a.outcome.as_str())).collect();
        assert_eq!(told, [(1, "updated"), (2, "rolled_back"), (3, "updated")]);
    }

    #[test]
    fn keeps_the_last_lines_in_order() {
        let text = with_line(&numbered(KEEP), b"new", |_| false);
        let kept: Vec<&[u8]> = lines(&text).collect();
        assert_eq!(kept.len(), KEEP);
        assert_eq!(kept[0], b"1");
        assert_eq!(kept[KEEP - 1], b"new");
    }

    #[test]
    fn a_damaged_line_stays_and_a_torn_end_is_closed() {
        assert_eq!(
            with_line(b"{\xff broken\n{\"torn\":", b"new", |_| false),
            b"{\xff broken\n{\"torn\":\nnew\n"
        );
    }
}
