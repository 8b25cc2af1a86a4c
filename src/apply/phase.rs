//! The phases of an update and the stages of going back, in order.

use serde::{Deserialize, Serialize};

use crate::outcome::Reason;

/// A phase on the way to the new version, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The target's objects come from the remote; preflight follows.
    Fetching,
    /// Files, index and HEAD go to the target.
    CheckingOut,
    /// Migrations between the two versions.
    Migrating,
    /// The install command.
    Installing,
    /// The restart command, or the caller.
    Restarting,
    /// The health command.
    Verifying,
}

impl Phase {
    /// As the journal has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::CheckingOut => "checking_out",
            Self::Migrating => "migrating",
            Self::Installing => "installing",
            Self::Restarting => "restarting",
            Self::Verifying => "verifying",
        }
    }

    /// The short name of the step, as errors and logs have it.
    pub fn step(self) -> &'static str {
        match self {
            Self::Fetching => "fetch",
            Self::CheckingOut => "checkout",
            Self::Migrating => "migrate",
            Self::Installing => "install",
            Self::Restarting => "restart",
            Self::Verifying => "verify",
        }
    }

    /// The reason of a failure in this phase.
    pub fn failure(self) -> Reason {
        match self {
            Self::Fetching => Reason::FetchFailed,
            Self::CheckingOut => Reason::CheckoutFailed,
            Self::Migrating => Reason::MigrationFailed,
            Self::Installing => Reason::InstallFailed,
            Self::Restarting => Reason::RestartFailed,
            Self::Verifying => Reason::HealthFailed,
        }
    }

    /// What follows; `None` after the last.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Fetching => Some(Self::CheckingOut),
            Self::CheckingOut => Some(Self::Migrating),
            Self::Migrating => Some(Self::Installing),
            Self::Installing => Some(Self::Restarting),
            Self::Restarting => Some(Self::Verifying),
            Self::Verifying => None,
        }
    }
}

/// A stage on the way back, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoStage {
    /// Snapshot files are put back.
    Snapshot,
    /// The attempt's migrations are asked whether they still hold.
    Migrations,
    /// Files, index and HEAD go back.
    Checkout,
    /// The old version is installed again, where the install had begun.
    Install,
    /// The old version is started again, where the restart had begun.
    Restart,
    /// And checked.
    Verify,
}

impl UndoStage {
    /// What follows; `None` after the last.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Snapshot => Some(Self::Migrations),
            Self::Migrations => Some(Self::Checkout),
            Self::Checkout => Some(Self::Install),
            Self::Install => Some(Self::Restart),
            Self::Restart => Some(Self::Verify),
            Self::Verify => None,
        }
    }

    /// As messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "putting the snapshot files back",
            Self::Migrations => "asking the migrations",
            Self::Checkout => "checking out the previous version",
            Self::Install => "installing the previous version",
            Self::Restart => "restarting the previous version",
            Self::Verify => "checking the previous version",
        }
    }
}
