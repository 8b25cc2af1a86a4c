//! How a run ends: exit codes, outcome words, reason codes, and the error that carries them
//! through every room. Owns the vocabulary; prints nothing.

use std::fmt;

use serde_json::{Map, Value};

/// Exit codes of all programs, as the contract's table has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to do, or deferred by policy.
    Done = 0,
    /// This attempt failed.
    Failed = 1,
    /// Wrong usage or invalid configuration.
    Usage = 2,
    /// A person must decide.
    Blocked = 3,
    /// With `--exit-code`: there is something to do.
    Available = 10,
    /// An update is in place.
    Updated = 42,
    /// Try again later; nothing is wrong here.
    TryAgain = 75,
}

/// What kind of stop an error is; decides the exit code and the outcome word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Policy says later (window, idle, hold…).
    Deferred,
    /// Another run holds the lock.
    Busy,
    /// The remote cannot be asked now.
    Unreachable,
    /// A person must decide.
    Blocked,
    /// This attempt failed; what was changed has been put back.
    RolledBack,
    /// This attempt failed.
    Failed,
    /// Invalid configuration.
    Invalid,
}

impl Kind {
    /// The exit code that belongs to this kind.
    pub fn exit(self) -> Exit {
        match self {
            Self::Deferred => Exit::Done,
            Self::Busy | Self::Unreachable => Exit::TryAgain,
            Self::Blocked => Exit::Blocked,
            Self::RolledBack | Self::Failed => Exit::Failed,
            Self::Invalid => Exit::Usage,
        }
    }

    /// The outcome word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Blocked => "blocked",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Stable machine-readable reason codes (`reason` in every JSON result).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, for documentation and tests.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The code as it stands in JSON.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// The configuration does not hold.
    InvalidConfig = "invalid_config",
    /// There is no checkout where one was expected.
    NoCheckout = "no_checkout",
    /// A linked worktree cannot be deployed.
    LinkedWorktree = "linked_worktree",
    /// A state file was written by a newer program.
    StateNewer = "state_newer",
    /// A state file is damaged.
    StateDamaged = "state_damaged",
    /// Another run holds the lock.
    Locked = "locked",
    /// Everybody may write to the state home.
    UnsafeHome = "unsafe_home",
    /// The state home or the disk refused an operation.
    IoError = "io_error",
    /// The program was asked to stop by a signal.
    Interrupted = "interrupted",
    /// There is no signal to apply.
    NoSignal = "no_signal",
    /// The newest version is installed.
    UpToDate = "up_to_date",
    /// A restarted daemon was verified by this run.
    Verified = "verified",
    /// The remote did not answer.
    Unreachable = "unreachable",
    /// The remote did not answer in time.
    Timeout = "timeout",
    /// The remote asked for fewer requests.
    RateLimited = "rate_limited",
    /// The remote had a fault of its own (5xx).
    ServerError = "server_error",
    /// The answer was not what it should be.
    BadResponse = "bad_response",
    /// 401: the token is not accepted.
    Unauthorized = "unauthorized",
    /// 403 without limit headers.
    Forbidden = "forbidden",
    /// 404: no such repository for this token.
    NotFound = "not_found",
    /// A release's tag is not on the remote (yet).
    TagMissing = "tag_missing",
    /// A tag names another commit than before.
    TagMoved = "tag_moved",
    /// The branch is not on the remote.
    BranchMissing = "branch_missing",
    /// The remote's branch is at an ancestor of the commit last seen there.
    RolledBackRemote = "rolled_back_remote",
    /// Local and remote history went apart.
    Diverged = "diverged",
    /// The target is older than what is installed.
    Downgrade = "downgrade",
    /// There is no such version on offer.
    UnknownVersion = "unknown_version",
    /// A required good signature is not there.
    BadSignature = "bad_signature",
    /// The signal is for another checkout, channel or commit.
    StaleSignal = "stale_signal",
    /// Local edits in files the update changes.
    DirtyOverlap = "dirty_overlap",
    /// An untracked file stands where the update puts one.
    UntrackedCollision = "untracked_collision",
    /// Commits here that a checkout would leave on no branch.
    LocalCommits = "local_commits",
    /// Another branch is checked out.
    WrongBranch = "wrong_branch",
    /// A merge, rebase or the like is under way.
    InProgress = "in_progress",
    /// git's index is locked by another process.
    IndexLocked = "index_locked",
    /// The history needed is not there.
    Shallow = "shallow",
    /// git trusts a repository of another user only where it is told to.
    DubiousOwnership = "dubious_ownership",
    /// The configured remote does not exist.
    MissingRemote = "missing_remote",
    /// The migrations directory is not what it must be.
    InvalidTree = "invalid_tree",
    /// A migration failed.
    MigrationFailed = "migration_failed",
    /// An update of another checkout with the same state home is not finished.
    OtherCheckout = "other_checkout",
    /// Applied migrations were changed afterwards.
    Drift = "drift",
    /// The first run ever recorded what counts as done.
    Baseline = "baseline",
    /// `lint` has findings.
    LintFindings = "lint_findings",
    /// There is no migration of that id.
    UnknownMigration = "unknown_migration",
    /// No usable Python interpreter.
    NoPython = "no_python",
    /// Fetching failed.
    FetchFailed = "fetch_failed",
    /// Checking out failed.
    CheckoutFailed = "checkout_failed",
    /// Installing failed.
    InstallFailed = "install_failed",
    /// Restarting failed.
    RestartFailed = "restart_failed",
    /// The daemon is not healthy.
    HealthFailed = "health_failed",
    /// Going back failed.
    RollbackFailed = "rollback_failed",
    /// Retried later.
    BackingOff = "backing_off",
    /// Tried as often as allowed.
    GivenUp = "given_up",
    /// Held by a person.
    Hold = "hold",
    /// Outside the update window.
    Window = "window",
    /// A session is active.
    Idle = "idle",
    /// The release is too young.
    MinimumAge = "minimum_age",
    /// This computer's turn in the span is later.
    Stagger = "stagger",
    /// Too many computers update at once.
    WaitingTurn = "waiting_turn",
    /// Redis is needed and not configured.
    NoRedis = "no_redis",
    /// An earlier update was interrupted.
    Recovered = "recovered",
    /// `telec deploy` is gone.
    Gone = "gone",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An error that knows how the program must end. Crosses rooms, alone or inside `anyhow::Error`.
#[derive(Clone, Debug)]
pub struct Halt {
    /// Decides the exit code and the outcome word.
    pub kind: Kind,
    /// Stable code.
    pub reason: Reason,
    /// One sentence: what, where, and what to do.
    pub message: String,
    /// More keys for the JSON result (`files`, `failed`…).
    pub details: Map<String, Value>,
}

impl Halt {
    /// A stop of the given kind.
    pub fn new(kind: Kind, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), details: Map::new() }
    }

    /// Exit 3: a person must decide.
    pub fn blocked(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Kind::Blocked, reason, message)
    }

    /// Exit 1: this attempt failed.
    pub fn failed(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, reason, message)
    }

    /// Exit 75: the remote cannot be asked now.
    pub fn unreachable(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, reason, message)
    }

    /// Exit 75: another run holds the lock.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(Kind::Busy, Reason::Locked, message)
    }

    /// Exit 2: invalid configuration.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, Reason::InvalidConfig, message)
    }

    /// Exit 0: policy says later.
    pub fn deferred(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Kind::Deferred, reason, message)
    }

    /// Adds a key to the JSON result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Halt {}

impl From<anyhow::Error> for Halt {
    /// A `Halt` inside keeps its kind and reason; anything else is a failed attempt.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<Halt>() {
            Some(halt) => Self { message: format!("{error:#}"), ..halt.clone() },
            None => Self::failed(Reason::IoError, format!("{error:#}")),
        }
    }
}

/// How a run ended, ready to be reported.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code.
    pub exit: Exit,
    /// Outcome word in JSON.
    pub word: &'static str,
    /// Reason code, `None` when there is none.
    pub reason: Option<Reason>,
    /// One sentence for people.
    pub message: String,
    /// Further keys of the JSON result, in order.
    pub body: Map<String, Value>,
    /// More lines for people, after the message; left out with `--quiet` and `--json`.
    pub lines: Vec<String>,
}

impl Outcome {
    /// A result that is not an error.
    pub fn new(exit: Exit, word: &'static str, message: impl Into<String>) -> Self {
        Self { exit, word, reason: None, message: message.into(), body: Map::new(), lines: Vec::new() }
    }

    /// Sets the reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds a key to the JSON result.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.body.insert(key.to_owned(), value.into());
        self
    }

    /// The whole JSON object: `schema`, `outcome`, `reason`, `message`, then the body.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("schema".into(), 1.into());
        map.insert("outcome".into(), self.word.into());
        map.insert("reason".into(), self.reason.map_or(Value::Null, |r| r.code().into()));
        map.insert("message".into(), self.message.clone().into());
        map.extend(self.body.clone());
        Value::Object(map)
    }
}

impl From<Halt> for Outcome {
    fn from(halt: Halt) -> Self {
        Self {
            exit: halt.kind.exit(),
            word: halt.kind.word(),
            reason: Some(halt.reason),
            message: halt.message,
            body: halt.details,
            lines: Vec::new(),
        }
    }
}
