//! Files in places where something else may lie: a link, a pipe, a device, a folder, or far more
//! than belongs there. Opening one never goes through a link and never waits for another process;
//! reading has a limit.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// No file of ours comes near; keeps what somebody put in its place from filling the memory.
pub const LARGEST: u64 = 16 << 20;

/// Why a file was not read.
#[derive(Debug)]
pub enum Unreadable {
    /// There is none.
    Missing,
    /// There is something else.
    Odd(String),
    /// The system refused.
    Io(std::io::Error),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Odd(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Options for opening a file that is ours: no link is followed, nothing is waited for.
pub fn options() -> OpenOptions {
    with(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn with(flags: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(flags.bits().cast_signed());
    options
}

/// The content of a file that is ours, at most [`LARGEST`] bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    if path.is_symlink() {
        return Err(Unreadable::Odd("it is a link".to_owned()));
    }
    content(path, &mut options())
}

/// The same for a file of the checkout, which may be a link.
pub fn read_linked(path: &Path) -> Result<Vec<u8>, Unreadable> {
    content(path, &mut with(OFlags::NONBLOCK | OFlags::NOCTTY))
}

fn content(path: &Path, options: &mut OpenOptions) -> Result<Vec<u8>, Unreadable> {
    let file = options.read(true).open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::Io(error),
    })?;
    must_be_plain(&file)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unreadable::Odd(format!("it is larger than {} MB", LARGEST >> 20)));
    }
    Ok(bytes)
}

/// A file, and not a folder, a pipe or a device.
pub fn must_be_plain(file: &File) -> Result<(), Unreadable> {
    let facts = file.metadata().map_err(Unreadable::Io)?;
    if facts.is_file() { Ok(()) } else { Err(Unreadable::Odd("it is no plain file".to_owned())) }
}
