//! A child from its start until its end was seen.

use std::process::{Child, Command};

use super::signals::StepRuns;
use super::{GRACE, wait};

/// A running step, which heads a group of its own. Where it is dropped before its end was seen, an
/// error came in between: the step counts as failed, so nothing of it may run on.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    ended: bool,
    /// Dropped after the rest: a second stop does not end this program while it ends the step.
    _runs: StepRuns,
}

impl Running {
    /// Starts `command`. From here until this is dropped, a stop is passed on to it.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let runs = StepRuns::begin()?;
        Ok(Self { child: command.spawn()?, ended: false, _runs: runs })
    }

    /// The number of the process and of its group.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, to wait for it.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its end was seen: what it left in the background on purpose stays.
    pub(super) fn has_ended(&mut self) {
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            wait::end_group(self.id(), Some(&mut self.child), GRACE);
        }
    }
}
