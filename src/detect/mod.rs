//! What the remote offers, and whether it is worth a signal. Looking writes nothing; deciding is
//! pure (`branch::decide`, `choose::decide`). Every program that needs a version asks here.

pub mod api;
pub mod branch;
pub mod cache;
pub mod choose;
pub mod history;
pub mod limits;
pub mod look;
pub mod releases;
pub mod remote;
pub mod tags;
pub mod watch;

use jiff::Timestamp;

use crate::outcome::Reason;
use crate::version::CommitId;

pub use choose::{Candidate, Offers};
pub use look::{Look, confirm_history};
pub use remote::{Remote, network_git, remote_passwords};

/// What can be installed instead of what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The version; on alpha the first digits of the commit.
    pub label: String,
    /// The commit to install, exactly.
    pub commit: CommitId,
    /// Its tag; none on alpha.
    pub tag: Option<String>,
    /// `releases`, `tags` or `branch`.
    pub source: &'static str,
    /// When it was published, where that is known.
    pub published_at: Option<Timestamp>,
    /// Page of the release.
    pub release_url: Option<String>,
}

/// What a look at the remote comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is something newer.
    Available(Offer),
    /// There is not.
    UpToDate {
        /// One sentence for people.
        message: String,
    },
    /// A person must decide.
    Blocked {
        /// Why.
        reason: Reason,
        /// One sentence for people, with what they can do.
        message: String,
    },
}

impl Decision {
    fn up_to_date(message: String) -> Self {
        Self::UpToDate { message }
    }

    fn blocked(reason: Reason, message: String) -> Self {
        Self::Blocked { reason, message }
    }
}
