//! An append-only file of lines: a line is whole or, as the last one after a kill, ignored.
//! The owner's lock keeps two writers apart.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::plain::{self, Unreadable};
use super::{failpoint, store};

/// The file, created when the first line comes.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: Option<File>,
    in_folder: bool,
    len: u64,
}

impl AppendFile {
    /// A file that is not there yet, or is to be begun anew.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, in_folder: false, len: 0 }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends one line. With `sync` it, and all before it, is durable afterwards.
    pub fn append(&mut self, line: &[u8], sync: bool) -> anyhow::Result<()> {
        self.write(line, sync).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Begins anew with an empty file.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        self.len = 0;
        match &self.file {
            Some(file) => file.set_len(0).with_context(|| format!("cannot empty {}", self.path.display())),
            None => Ok(()),
        }
    }

    /// Removes it.
    pub fn remove(&mut self) -> anyhow::Result<()> {
        self.file = None;
        self.in_folder = false;
        self.len = 0;
        store::remove(&self.path)
    }

    fn write(&mut self, line: &[u8], sync: bool) -> anyhow::Result<()> {
        failpoint::pass(&format!("append {}", self.path.display()))?;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let fresh = plain::options()
                    .create(true)
                    .truncate(false)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)?;
                fresh.set_len(0)?;
                fresh
            }
        };
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        if let Err(error) = file.write_all(&whole) {
            // Half a line in front of a later one would be damage; alone at the end it is not.
            let _ = file.set_len(self.len);
            return Err(error.into());
        }
        self.len += whole.len() as u64;
        if sync {
            file.sync_data()?;
            if !self.in_folder {
                store::sync_parent(&self.path)?;
                self.in_folder = true;
            }
        }
        self.file = Some(file);
        Ok(())
    }
}

/// The whole lines of such a file; none when it is not there.
pub fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = match plain::read(path) {
        Ok(bytes) => bytes,
        Err(Unreadable::Missing) => return Ok(Vec::new()),
        Err(why) => bail!("cannot read {}: {why}", path.display()),
    };
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    Ok(String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect())
}
