//! Our ends of a child's pipes: read without waiting, and waited for together with the signals.

use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::signals;

/// The end we read from, until end of file.
#[derive(Debug)]
pub(super) struct Pipe(Option<File>);

/// A pipe: our end, and the one a child writes into.
pub(super) fn pair() -> anyhow::Result<(Pipe, PipeWriter)> {
    let (ours, theirs) = std::io::pipe().context("cannot make a pipe")?;
    let ours = OwnedFd::from(ours);
    rustix::io::ioctl_fionbio(&ours, true).context("cannot set up a pipe")?;
    Ok((Pipe(Some(ours.into())), theirs))
}

impl Pipe {
    /// Whether its end was not seen yet.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Reads what is there, at most about `limit` bytes; closes at end of file.
    pub(super) fn drain(&mut self, limit: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut buffer = [0_u8; 16 << 10];
        let mut taken = 0;
        while let Some(file) = &mut self.0
            && taken < limit
        {
            match file.read(&mut buffer) {
                Ok(0) => self.0 = None,
                Ok(n) => {
                    sink(&buffer[..n]);
                    taken += n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.0 = None,
            }
        }
    }

    /// The file itself, where its end was not seen yet.
    pub(super) fn take(&mut self) -> Option<File> {
        self.0.take()
    }
}

/// Returns when one of them has something, a child ended, a stop arrived, or the time is over.
pub(super) fn wait<'a>(pipes: impl Iterator<Item = &'a Pipe>, timeout: Duration) {
    let open = pipes.filter_map(|pipe| pipe.0.as_ref());
    let mut fds: Vec<PollFd<'_>> =
        open.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)).collect();
    if let Some(wake) = signals::wake_fd() {
        fds.push(PollFd::from_borrowed_fd(wake, PollFlags::IN));
    }
    let timeout = Timespec::try_from(timeout).ok();
    // An interrupted poll is as good as one that timed out: the loop looks again.
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
    signals::drain();
}
