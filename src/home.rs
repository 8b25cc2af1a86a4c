//! The state home (`~/.teleclaude`): which files are ours, and where. Shared with the host:
//! nothing that is not named here is ever touched.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::outcome::{Halt, Reason};
use crate::sys::env::Environment;
use crate::sys::store::JsonFile;

/// The folder that holds our state files.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `$TELECLAUDE_HOME`, else `$HOME/.teleclaude`; created 0700 when it is not there. One that
    /// everybody may write to is refused: what is in it says what is run.
    pub fn open(env: &Environment) -> Result<Self, Halt> {
        let home = Self::locate(env)?;
        match std::fs::metadata(&home.root) {
            Ok(facts) if facts.is_dir() => home.must_be_ours(facts.permissions().mode())?,
            _ => make_private_dir(&home.root)?,
        }
        Ok(home)
    }

    fn must_be_ours(&self, mode: u32) -> Result<(), Halt> {
        if mode & 0o002 == 0 {
            return Ok(());
        }
        let root = self.root.display();
        Err(Halt::blocked(
            Reason::UnsafeHome,
            format!(
                "everybody may write to {root}, and what is in it says what is run: look for files that are not yours, then run 'chmod o-w {root}'"
            ),
        ))
    }

    /// The same, for programs that only read: nothing is created.
    pub fn locate(env: &Environment) -> Result<Self, Halt> {
        // Passing a variable over would begin another record in another place.
        let text = |name: &str| env.text(name).map_err(|fault| Halt::invalid(format!("{name} {fault}")));
        let root = match text("TELECLAUDE_HOME")? {
            Some(dir) => in_home(dir, env),
            None => match text("HOME")? {
                Some(home) => Path::new(&home).join(".teleclaude"),
                None => {
                    return Err(anyhow!("neither TELECLAUDE_HOME nor HOME is set: set one of them").into());
                }
            },
        };
        let root = std::path::absolute(&root)
            .with_context(|| format!("cannot make {} an absolute path", root.display()))?;
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The signal: an update is available.
    pub fn signal(&self) -> JsonFile {
        JsonFile::strict(self.root.join("update_available.json"))
    }

    /// The watcher's cache; can be rebuilt, not synced.
    pub fn watch_cache(&self) -> JsonFile {
        JsonFile::rebuildable(self.root.join("version_watch.json")).without_sync()
    }

    /// Where the deployment stands; can be rebuilt.
    pub fn status(&self) -> JsonFile {
        JsonFile::rebuildable(self.root.join("deploy_status.json"))
    }

    /// The transaction in progress.
    pub fn journal(&self) -> JsonFile {
        JsonFile::strict(self.root.join("apply_journal.json")).mended_by(
            "an update is half done and this says how far it is; repair it, or install and restart the version \
             that is checked out by hand, then move it away",
        )
    }

    /// One line for each attempt.
    pub fn history(&self) -> PathBuf {
        self.root.join("deploy_history.jsonl")
    }

    /// Attempts and next retry of failed targets.
    pub fn failed_versions(&self) -> JsonFile {
        JsonFile::strict(self.root.join("failed_versions.json"))
    }

    /// A person's hold.
    pub fn hold(&self) -> JsonFile {
        JsonFile::strict(self.root.join("hold.json"))
    }

    /// What has been migrated.
    pub fn migration_state(&self) -> JsonFile {
        JsonFile::strict(self.root.join("migration_state.json"))
    }

    /// Held by `apply-update` for a whole run.
    pub fn apply_lock(&self) -> PathBuf {
        self.root.join("apply-update.lock")
    }

    /// Output of steps.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs").join("deployment")
    }

    /// Copies made before migrations, while a transaction is in progress.
    pub fn snapshot(&self) -> PathBuf {
        self.root.join("apply_journal.snapshot")
    }
}

/// `~/` is the home folder: where the value was quoted, no shell has replaced it.
fn in_home(dir: String, env: &Environment) -> PathBuf {
    match (dir.strip_prefix("~/"), env.get("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(dir),
    }
}

/// Creates a folder, and its parents, that only this user can look into.
pub fn make_private_dir(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot create the folder {}", dir.display()))
}
