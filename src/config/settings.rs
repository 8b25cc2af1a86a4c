//! What a configuration means, checked once: no `Option` is looked at twice, no environment
//! variable is read after this.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::sys::process::Redactor;
use crate::version::{ChannelName, Minor};

/// All settings of one run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file's name, for messages.
    pub file: String,
    /// What this computer follows.
    pub channel: Channel,
    /// Name of the git remote.
    pub remote: String,
    /// The branch alpha follows.
    pub branch: String,
    /// Where beta and stable look.
    pub source: Source,
    /// `owner/name` on the API; `None` when neither configured nor in the remote's URL.
    pub github_repo: Option<String>,
    /// Base of the API, without a trailing slash.
    pub api_url: String,
    /// Bearer token for the API.
    pub token: Option<Secret>,
    /// Install command; empty: nothing to install.
    pub install: Vec<String>,
    /// How the daemon is restarted.
    pub restart: Restart,
    /// Health command; empty: no check.
    pub health: Vec<String>,
    /// Interpreter for migrations as configured: absolute, or a bare name to look up in `PATH`.
    pub python: Option<PathBuf>,
    /// Files copied before migrations, relative to the checkout or absolute.
    pub snapshot: Vec<PathBuf>,
    /// Go back when an update fails.
    pub rollback: bool,
    /// Failed attempts after which a target is given up.
    pub max_attempts: u32,
    /// When and how gently updates are applied.
    pub policy: Policy,
    /// Required signatures.
    pub verify: Verify,
    /// File of allowed ssh signers, absolute.
    pub allowed_signers: Option<PathBuf>,
    /// Deadlines of steps.
    pub timeouts: Timeouts,
    /// This computer.
    pub computer: Computer,
    /// The host's session database, absolute.
    pub database: PathBuf,
    /// Redis, when enabled.
    pub redis: Option<Redis>,
    /// Knows every secret above.
    pub redactor: Redactor,
}

/// The channel with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The remote's branch.
    Alpha,
    /// The highest release.
    Beta,
    /// Patches of one minor series.
    Stable(Minor),
}

impl Channel {
    /// Its name.
    pub fn name(self) -> ChannelName {
        match self {
            Self::Alpha => ChannelName::Alpha,
            Self::Beta => ChannelName::Beta,
            Self::Stable(_) => ChannelName::Stable,
        }
    }
}

/// Where beta and stable look for versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The releases API.
    Releases,
    /// `git ls-remote --tags`.
    Tags,
}

/// How the daemon is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// By this command.
    Command(Vec<String>),
    /// By the caller, who sees exit code 42.
    ExitCode,
}

/// When and how gently updates are applied.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Local times of day; empty: any time.
    pub window: Vec<DayWindow>,
    /// No session active for this long; zero: not looked at.
    pub idle: Duration,
    /// Active sessions hold an update back at most this long.
    pub idle_limit: Duration,
    /// After this long since the signal, window, idle and turn-taking stop holding it back.
    pub max_defer: Duration,
    /// A release younger than this waits.
    pub minimum_age: Duration,
    /// Span over which computers are spread.
    pub stagger: Duration,
    /// At most so many computers update at once; zero: no limit.
    pub max_parallel: u32,
}

/// A span of local time; `from >= to` crosses midnight (both midnight: the whole day).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayWindow {
    /// Begin, included.
    pub from: jiff::civil::Time,
    /// End, excluded.
    pub to: jiff::civil::Time,
}

impl DayWindow {
    /// Whether a time of day lies in it.
    pub fn contains(self, time: jiff::civil::Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

/// Which signature is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// None.
    None,
    /// On the tag object.
    Tag,
    /// On the commit.
    Commit,
}

/// Deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Asking the remote.
    pub check: Duration,
    /// Fetching.
    pub fetch: Duration,
    /// Checking out.
    pub checkout: Duration,
    /// Each migration script.
    pub migrate: Duration,
    /// Installing.
    pub install: Duration,
    /// Restarting.
    pub restart: Duration,
    /// Until healthy.
    pub health: Duration,
}

/// This computer.
#[derive(Clone, Debug)]
pub struct Computer {
    /// Its name; defaults to the short host name.
    pub name: String,
    /// Its time zone, where the configuration says it; see [`Computer::zone`].
    pub timezone: Option<TimeZone>,
}

impl Computer {
    /// Its time zone: as configured, else the system's. That one is asked only where a local time
    /// is needed: finding it reads a folder tree of hundreds of zones.
    pub fn zone(&self) -> TimeZone {
        self.timezone.clone().unwrap_or_else(super::host::time_zone)
    }
}

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct Redis {
    /// `redis://…` or `rediss://…`.
    pub url: Secret,
    /// Password.
    pub password: Option<Secret>,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
