//! Versions, commits, channels and their ordering. No I/O.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A strict semantic version, always shown without a leading `v`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

impl Version {
    /// Strict semver; one leading `v` is dropped (tags are written that way).
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        semver::Version::parse(digits).ok().map(Self)
    }

    /// Major, minor and patch alone.
    pub fn plain(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// Exactly major.minor.patch, with a leading `v` and surrounding blanks allowed: what people
    /// may type for a migration range.
    pub fn parse_release(text: &str) -> Option<Self> {
        Self::parse(text.trim()).filter(|v| v.0.pre.is_empty() && v.0.build.is_empty())
    }

    /// Whether it has a prerelease part; such a version never counts for beta or stable.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Whether it has build metadata, which makes no version newer.
    pub fn has_build(&self) -> bool {
        !self.0.build.is_empty()
    }

    /// The minor series it belongs to.
    pub fn minor(&self) -> Minor {
        Minor { major: self.0.major, minor: self.0.minor }
    }

    /// Which of two is newer; build metadata makes no difference there.
    pub fn cmp_precedence(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp_precedence(&other.0)
    }

    /// The release after it in its minor series.
    #[must_use]
    pub fn next_patch(&self) -> Self {
        Self::plain(self.0.major, self.0.minor, self.0.patch.saturating_add(1))
    }

    /// The bound below this version and above every earlier release: its lowest prerelease.
    #[must_use]
    pub fn just_below(&self) -> Self {
        let mut bound = self.0.clone();
        bound.build = semver::BuildMetadata::EMPTY;
        bound.pre = semver::Prerelease::new("0").unwrap_or(bound.pre);
        Self(bound)
    }

    /// Without prerelease and build parts.
    pub fn release(&self) -> Self {
        Self::plain(self.0.major, self.0.minor, self.0.patch)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Version {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a version"))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// A minor series such as `1.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minor {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
}

impl FromStr for Minor {
    type Err = ();
    /// `1.3` or `v1.3`; whole numbers without leading zeros.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.').ok_or(())?;
        let number = |t: &str| match t {
            "0" => Ok(0),
            _ if t.starts_with('0') || !t.bytes().all(|b| b.is_ascii_digit()) => Err(()),
            _ => t.parse().map_err(|_| ()),
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A full commit id: 40 lower-case hex digits (64 in a SHA-256 repository).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// Checks that it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_owned()))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Twelve digits: how alpha shows versions.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Seven digits: how `telec version` shows commits.
    pub fn tiny(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::ffi::OsStr> for CommitId {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.0.as_ref()
    }
}

impl TryFrom<String> for CommitId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a commit id"))
    }
}

impl From<CommitId> for String {
    fn from(commit: CommitId) -> Self {
        commit.0
    }
}

/// What a computer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelName {
    /// The remote's branch.
    Alpha,
    /// The highest release.
    Beta,
    /// The highest patch of one minor series.
    Stable,
}

impl ChannelName {
    /// As configuration and files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
            Self::Stable => "stable",
        }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
