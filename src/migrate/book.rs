//! The record while a run goes on: `migration_state.json` under its lock, and the journal beside
//! it. A small file is replaced at each change. A large one would make each script dearer than
//! the one before, so changes then go as lines into the journal, which is folded into the file
//! whenever it has grown as large as it, at the end of the run, and at the start of the next one.
//! What is on record is always the file and the journal's lines upon it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{Intent, Record, State};
use crate::outcome::{Halt, Reason};
use crate::sys::append::{self, AppendFile};
use crate::sys::process::end_leftover;
use crate::sys::store::{JsonFile, LockedFile};

/// A state file up to this size is replaced at each change.
const SMALL: u64 = 48 << 10;
/// A journal below this size is not folded during a run.
const SHORT: u64 = 256 << 10;

/// A line of the journal. Each says what is so, not what changes: reading one twice is harmless.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// This script's process is there; not synced, because that matters only while it lives.
    Running(Intent),
    /// `migrate()` is about to be called.
    Intent(Intent),
    /// It is over, and not on record.
    Dropped(String),
    /// It is on record.
    Record(String, Box<Record>),
}

/// What is on record, and the only way to change it.
#[derive(Debug)]
pub struct Book<'a> {
    file: LockedFile<'a>,
    path: PathBuf,
    journal: AppendFile,
    /// What is on record.
    pub state: State,
    /// Whether there was no file.
    pub fresh: bool,
    size: u64,
}

impl<'a> Book<'a> {
    /// Takes the lock (waiting at most `wait`), reads, folds what a killed run left, and ends the
    /// script that it left running.
    pub fn open(file: &'a JsonFile, wait: Duration) -> Result<Self, Halt> {
        let locked = file.lock_for(wait)?;
        let found = read(file)?;
        end_left_over(&found)?;
        let mut book = Self {
            file: locked,
            path: file.path().to_owned(),
            journal: AppendFile::new(journal_path(file.path())),
            fresh: found.fresh,
            state: found.state,
            size: found.size,
        };
        if found.journaled {
            book.fold()?;
            book.journal.remove()?;
        }
        Ok(book)
    }

    /// This script's process is about to begin.
    pub fn running(&mut self, script: Intent) -> anyhow::Result<()> {
        self.journal(&Line::Running(script), false)
    }

    /// `migrate()` of this script is about to be called. Durable when this returns.
    pub fn intend(&mut self, intent: Intent) -> Result<(), Halt> {
        self.state.intent = Some(intent.clone());
        self.commit(&Line::Intent(intent))
    }

    /// This script failed; it is simply tried again.
    pub fn drop_intent(&mut self) -> Result<(), Halt> {
        match self.state.intent.take() {
            Some(intent) => self.commit(&Line::Dropped(intent.id)),
            None => Ok(()),
        }
    }

    /// This script is done. Durable when this returns.
    pub fn record(&mut self, id: &str, record: Record) -> Result<(), Halt> {
        self.state.record(id, record.clone());
        self.commit(&Line::Record(id.to_owned(), Box::new(record)))
    }

    /// Writes the whole state, whatever changed.
    pub fn write(&mut self) -> Result<(), Halt> {
        self.file.write(&self.state)?;
        self.size = size_of(&self.path);
        Ok(())
    }

    /// The end of a run: everything is in the file, nothing beside it.
    pub fn close(mut self) -> Result<(), Halt> {
        if self.journal.is_empty() {
            return Ok(());
        }
        if self.size > SMALL {
            self.fold()?;
        }
        Ok(self.journal.remove()?)
    }

    fn commit(&mut self, line: &Line) -> Result<(), Halt> {
        if self.size <= SMALL {
            return self.write();
        }
        self.journal(line, true)?;
        if self.journal.len() > self.size.max(SHORT) { self.fold() } else { Ok(()) }
    }

    fn fold(&mut self) -> Result<(), Halt> {
        self.write()?;
        Ok(self.journal.clear()?)
    }

    fn journal(&mut self, line: &Line, sync: bool) -> anyhow::Result<()> {
        let text = serde_json::to_vec(line)?;
        self.journal.append(&text, sync)
    }
}

/// What is on record, read without the lock. For readers.
pub fn peek(file: &JsonFile) -> Result<Option<State>, Halt> {
    let found = read(file)?;
    Ok((!found.fresh).then_some(found.state))
}

struct Found {
    state: State,
    fresh: bool,
    journaled: bool,
    size: u64,
    running: Option<Intent>,
}

/// The journal is read before the file: if a run folds in between, its lines are read twice,
/// which is harmless, and none is missed.
fn read(file: &JsonFile) -> Result<Found, Halt> {
    let journal = journal_path(file.path());
    let lines = append::lines(&journal)?;
    let stored: Option<State> = file.read()?;
    let mut found = Found {
        fresh: stored.is_none() && lines.is_empty(),
        state: stored.unwrap_or_default(),
        journaled: !lines.is_empty(),
        size: size_of(file.path()),
        running: None,
    };
    for line in &lines {
        let line = serde_json::from_str(line).map_err(|error| damaged(&journal, &error))?;
        found.take(line);
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, line: Line) {
        match line {
            Line::Running(script) => self.running = Some(script),
            Line::Intent(intent) if self.state.applied.contains(&intent.id) => {}
            Line::Intent(intent) => self.state.intent = Some(intent),
            Line::Dropped(id) => self.state.intent = self.state.intent.take().filter(|i| i.id != id),
            Line::Record(id, record) => {
                let other = self.state.intent.take().filter(|intent| intent.id != id);
                self.state.record(&id, *record);
                self.state.intent = other;
            }
        }
    }
}

/// A script must never run beside its own second try. One that is on record may have left
/// processes in the background; those are none of our business.
fn end_left_over(found: &Found) -> Result<(), Halt> {
    let unfinished = found.running.iter().filter(|script| !found.state.applied.contains(&script.id));
    for script in unfinished.chain(&found.state.intent) {
        if end_leftover(&script.group()).is_err() {
            let message = format!(
                "{} of a killed run is still there and cannot be ended: end process group {} first",
                script.id, script.pid
            );
            return Err(Halt::blocked(Reason::Interrupted, message));
        }
    }
    Ok(())
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}

fn journal_path(state: &Path) -> PathBuf {
    let mut name = state.to_path_buf().into_os_string();
    name.push(".journal");
    name.into()
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Halt {
    Halt::blocked(
        Reason::StateDamaged,
        format!("{} is damaged ({why}): repair it, or move it away", path.display()),
    )
}
