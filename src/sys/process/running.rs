//! A child from its start until its end was seen.

use std::process::{Child, Command};
use std::time::Duration;

use super::signals::StopsNoted;
use super::{GRACE, StillRunning, wait};

/// A running step, which heads a group of its own. Where it is dropped before its end was seen, an
/// error came in between: the step counts as failed, so nothing of it may run on.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    ended: bool,
    on_record: bool,
    /// Dropped after the rest: a second stop does not end this program while it ends the step.
    _runs: StopsNoted,
}

impl Running {
    /// Starts `command`. From here until this is dropped, a stop is passed on to it.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let runs = StopsNoted::begin()?;
        Ok(Self { child: command.spawn()?, ended: false, on_record: false, _runs: runs })
    }

    /// The number of the process and of its group.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, to wait for it.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Somebody else knows of it, and must know where it cannot be ended.
    pub(super) fn is_on_record(&mut self) {
        self.on_record = true;
    }

    /// Ends it with its whole group, which is tried once. What nobody has on record only read
    /// something: where that cannot be ended, nothing runs beside it that would matter.
    pub(super) fn end(&mut self, grace: Duration) -> Result<(), StillRunning> {
        self.ended = true;
        let ended = wait::end_group(self.id(), Some(&mut self.child), grace);
        if self.on_record { ended } else { Ok(()) }
    }

    /// Its end was seen: what it left in the background on purpose stays.
    pub(super) fn has_ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is left to be told.
            let _ = self.end(GRACE);
        }
    }
}
