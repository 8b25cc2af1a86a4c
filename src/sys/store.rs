//! Stored files: one way to read, one way to write. A write is temp file in the same folder →
//! fsync → rename → fsync folder, so a reader without the lock always sees a whole file. Every
//! read-modify-write holds the sibling `.lock`: `write` and `remove` exist only on a locked file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::failpoint;
use super::lock::{BRIEF_WAIT, LockGuard};
use super::plain::{self, Unreadable};
use crate::outcome::{Halt, Reason};

/// The schema number this program writes and understands.
pub const SCHEMA: u64 = 1;

/// What to do with a damaged or newer file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDamage {
    Refuse,
    MoveAside,
}

/// Why bytes are no state of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON, or not of the form it must have.
    Damaged(String),
    /// A newer program wrote it, with this schema.
    Newer(u64),
}

/// What the bytes of a state file say. The schema first: what a newer one means by the other keys is
/// not ours to judge.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let damaged = |error: serde_json::Error| Fault::Damaged(error.to_string());
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(damaged)?;
        return Err(Fault::Damaged("it is not a JSON object".to_owned()));
    }
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    match head.schema.map(|schema| schema.as_u64()) {
        // Files of the host's earlier tool carry no schema.
        None => {}
        Some(None) => return Err(Fault::Damaged("its schema is not a whole number".to_owned())),
        Some(Some(n)) if n > SCHEMA => return Err(Fault::Newer(n)),
        Some(Some(_)) => {}
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// One JSON state file with its sibling lock.
#[derive(Clone, Debug)]
pub struct JsonFile {
    path: PathBuf,
    on_damage: OnDamage,
    sync: bool,
    mend: &'static str,
}

/// What a person does about most files.
const MEND: &str = "repair it, or move it away";

impl JsonFile {
    /// A file that cannot be rebuilt: damaged or newer is refused, unharmed.
    pub fn strict(path: PathBuf) -> Self {
        Self { path, on_damage: OnDamage::Refuse, sync: true, mend: MEND }
    }

    /// A file that can be rebuilt: damaged or newer is moved aside with a warning.
    pub fn rebuildable(path: PathBuf) -> Self {
        Self { path, on_damage: OnDamage::MoveAside, sync: true, mend: MEND }
    }

    /// What a person does where it is damaged; ends the sentence that says so.
    #[must_use]
    pub fn mended_by(mut self, what: &'static str) -> Self {
        self.mend = what;
        self
    }

    /// Leaves out the two fsyncs.
    #[must_use]
    pub fn without_sync(mut self) -> Self {
        self.sync = false;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sibling lock file.
    pub fn lock_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        name.into()
    }

    /// Reads without the lock. `None`: there is no file (or it is one that will be rebuilt).
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Halt> {
        match self.parse() {
            Err(_) if self.on_damage == OnDamage::MoveAside => Ok(None),
            other => other,
        }
    }

    /// Takes the lock, waiting a little for others.
    pub fn lock(&self) -> Result<LockedFile<'_>, Halt> {
        self.lock_for(BRIEF_WAIT)
    }

    /// Takes the lock, waiting at most `wait`.
    pub fn lock_for(&self, wait: std::time::Duration) -> Result<LockedFile<'_>, Halt> {
        match LockGuard::acquire(&self.lock_path(), wait)? {
            Some(guard) => Ok(LockedFile { file: self, _guard: guard }),
            None => Err(Halt::busy(format!(
                "{} is locked by another program; try again in a moment",
                self.lock_path().display()
            ))),
        }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<Option<T>, Halt> {
        let bytes = match plain::read(&self.path) {
            Ok(bytes) => bytes,
            Err(Unreadable::Missing) => return Ok(None),
            Err(Unreadable::Odd(what)) => return Err(self.damaged(&what)),
            Err(Unreadable::Io(error)) => {
                return Err(Halt::failed(
                    Reason::IoError,
                    format!("cannot read {}: {error}", self.path.display()),
                ));
            }
        };
        decode(&bytes).map(Some).map_err(|fault| match fault {
            Fault::Damaged(why) => self.damaged(&why),
            Fault::Newer(n) => Halt::blocked(
                Reason::StateNewer,
                format!(
                    "{} has schema {n}, this program understands {SCHEMA}: update this program, or move the file away",
                    self.path.display()
                ),
            ),
        })
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> Halt {
        Halt::blocked(
            Reason::StateDamaged,
            format!("{} is damaged ({why}): {}", self.path.display(), self.mend),
        )
    }
}

/// The one key that is read before all others.
#[derive(Deserialize)]
struct Head {
    #[serde(default, deserialize_with = "present")]
    schema: Option<Value>,
}

/// `null` is a schema too, and a wrong one.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// A stored file whose lock is held; the only place that can change it.
#[derive(Debug)]
pub struct LockedFile<'a> {
    file: &'a JsonFile,
    _guard: LockGuard,
}

impl LockedFile<'_> {
    /// Reads under the lock; a rebuildable file that is damaged or newer is moved aside.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Halt> {
        match self.file.parse() {
            Err(halt)
                if self.file.on_damage == OnDamage::MoveAside
                    && matches!(halt.reason, Reason::StateDamaged | Reason::StateNewer) =>
            {
                self.move_aside(&halt)?;
                Ok(None)
            }
            other => other,
        }
    }

    /// Replaces the file.
    pub fn write<T: Serialize>(&self, value: &T) -> Result<(), Halt> {
        let mut text = serde_json::to_vec_pretty(value)
            .with_context(|| format!("cannot encode {}", self.file.path.display()))?;
        text.push(b'\n');
        Ok(replace(&self.file.path, &text, 0o600, self.file.sync)?)
    }

    /// Removes the file; it may be gone already.
    pub fn remove(&self) -> Result<(), Halt> {
        Ok(remove(&self.file.path)?)
    }

    fn move_aside(&self, why: &Halt) -> Result<(), Halt> {
        let mut aside = self.file.path.clone().into_os_string();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        rename(&self.file.path, &aside)?;
        let path = self.file.path.display();
        crate::sys::warning::warn(&format!(
            "{path} is rebuilt ({}); the old one was moved aside to {}",
            why.reason,
            aside.display()
        ));
        Ok(())
    }
}

/// Replaces a file atomically: temp file beside it → (fsync) → rename → (fsync folder).
/// The temp name is fixed, so that a kill leaves at most one leftover, which the next write takes
/// over; the caller's lock keeps two writers apart.
pub fn replace(path: &Path, content: &[u8], mode: u32, sync: bool) -> anyhow::Result<()> {
    let temp = temp_path(path);
    let write = || -> std::io::Result<()> {
        failpoint::pass(&format!("store.write {}", path.display()))?;
        if let Err(error) = std::fs::remove_file(&temp)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temp)?;
        file.write_all(content)?;
        // The mode at creation passes through the umask; this one does not.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        if sync { file.sync_all() } else { Ok(()) }
    };
    let written = write().with_context(|| format!("cannot write {}", path.display()));
    let replaced = written.and_then(|()| {
        failpoint::pass(&format!("store.rename {}", path.display()))?;
        rename(&temp, path)
    });
    if replaced.is_err() {
        // Best effort: the first error is the one to report.
        let _ = std::fs::remove_file(&temp);
        return replaced;
    }
    failpoint::pass(&format!("store.written {}", path.display()))?;
    if sync { sync_parent(path) } else { Ok(()) }
}

/// Puts a link at `path`, in place of a file that is there.
pub fn link(target: &Path, path: &Path) -> anyhow::Result<()> {
    let temp = temp_path(path);
    remove(&temp)?;
    std::os::unix::fs::symlink(target, &temp)
        .with_context(|| format!("cannot make the link {}", path.display()))?;
    move_to(&temp, path)
}

/// Moves a file or a folder to another name in the same folder.
pub fn move_to(from: &Path, to: &Path) -> anyhow::Result<()> {
    rename(from, to)?;
    sync_parent(to)
}

/// Removes a file and makes that durable; no error when it is gone already.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    failpoint::pass(&format!("store.remove {}", path.display()))?;
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Makes a change in the folder of `path` durable.
pub fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|d| d.sync_all())
        .with_context(|| format!("cannot sync the folder {}", dir.display()))
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

fn temp_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}
