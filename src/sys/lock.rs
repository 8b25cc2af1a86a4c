//! Advisory file locks (`flock`), shared with any program that takes the same `.lock` file.
//! A lock file is created once and never replaced or removed; the lock ends when the guard drops.
//! The descriptor is close-on-exec (the standard library's default), so no child inherits it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fs2::FileExt;

use super::{failpoint, plain};

/// How long a guarded read-modify-write waits for others before it gives up.
pub const BRIEF_WAIT: Duration = Duration::from_secs(10);

/// Pause between two tries; flock has no time limit of its own.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Proof that the lock at `path` is held; released on drop.
#[derive(Debug)]
pub struct LockGuard {
    file: File,
    path: PathBuf,
}

impl LockGuard {
    /// Takes the lock, waiting at most `wait` (zero: one try). `None`: somebody else has it.
    pub fn acquire(path: &Path, wait: Duration) -> anyhow::Result<Option<Self>> {
        failpoint::pass(&format!("lock {}", path.display()))
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        let file = open(path)?;
        let deadline = Instant::now() + wait;
        loop {
            match file.try_lock_exclusive() {
                Ok(()) => return Ok(Some(Self { file, path: path.to_owned() })),
                Err(error) if is_held_elsewhere(&error) => {
                    if Instant::now() >= deadline {
                        return Ok(None);
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, to prove in tests that it is close-on-exec.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A link in its place would have two programs lock two files, a pipe would be waited for.
fn open(path: &Path) -> anyhow::Result<File> {
    let opened = plain::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    let odd = || format!("cannot use the lock file {}: it is no plain file; move it away", path.display());
    match opened {
        Ok(file) => plain::must_be_plain(&file).map(|()| file).map_err(|_| anyhow::anyhow!(odd())),
        Err(_) if path.symlink_metadata().is_ok_and(|facts| !facts.is_file()) => bail!(odd()),
        Err(error) => Err(error).with_context(|| format!("cannot open the lock file {}", path.display())),
    }
}

fn is_held_elsewhere(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
        || error.kind() == std::io::ErrorKind::Interrupted
        || error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}
