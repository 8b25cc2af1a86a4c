//! `hold.json`: a person keeps this computer on its version, until a time or until they say so.
//! Owns the file; what a hold means for an update is decided by `plan`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::home::Home;
use crate::outcome::Halt;
use crate::sys::store::SCHEMA;

/// A hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Always 1.
    #[serde(default = "schema")]
    pub schema: u64,
    /// Since when (UTC).
    #[serde(default)]
    pub held_at: Option<Timestamp>,
    /// Until when (UTC); none: until `telec update resume`.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Why, in the person's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Keys of other programs, kept.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn schema() -> u64 {
    SCHEMA
}

impl Hold {
    /// A hold from now on.
    pub fn new(now: Timestamp, until: Option<Timestamp>, reason: Option<String>) -> Self {
        Self { schema: SCHEMA, held_at: Some(now), until, reason, extra: Map::new() }
    }

    /// Reads it without the lock; one that has run out is still returned (see `is_active`).
    pub fn read(home: &Home) -> Result<Option<Self>, Halt> {
        home.hold().read()
    }

    /// Saves it in place of an earlier one, whose unknown keys stay.
    pub fn write(&self, home: &Home) -> Result<(), Halt> {
        let file = home.hold();
        let locked = file.lock()?;
        let before: Option<Self> = locked.read()?;
        let mut now = self.clone();
        for (key, value) in before.map(|old| old.extra).unwrap_or_default() {
            now.extra.entry(key).or_insert(value);
        }
        locked.write(&now)
    }

    /// Takes it away. Returns what was there.
    pub fn remove(home: &Home) -> Result<Option<Self>, Halt> {
        let file = home.hold();
        let locked = file.lock()?;
        let before = locked.read()?;
        locked.remove()?;
        Ok(before)
    }

    /// Whether it holds at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
