//! Settings + signal + checkout → what to do, or the reason why not. No I/O, no clock.

use std::path::Path;

use jiff::Timestamp;

use crate::config::{Channel, Settings};
use crate::failed::FailedTarget;
use crate::outcome::Reason;
use crate::signal::Signal;
use crate::version::{ChannelName, CommitId, Version};

/// What is to be installed.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Channel it comes from.
    pub channel: ChannelName,
    /// Version as people know it; on alpha the first 12 digits of the commit.
    pub version: String,
    /// The commit, exactly.
    pub commit: CommitId,
    /// Its tag on beta and stable.
    pub tag: Option<String>,
    /// When this computer first saw it (UTC).
    pub detected_at: Timestamp,
    /// When it was published, where that is known (UTC).
    pub published_at: Option<Timestamp>,
}

impl Target {
    /// What the signal asks for.
    pub fn of(signal: &Signal) -> Self {
        Self {
            channel: signal.channel,
            version: signal.available.clone(),
            commit: signal.available_commit.clone(),
            tag: signal.tag.clone(),
            detected_at: signal.detected_at,
            published_at: signal.published_at,
        }
    }
}

/// The checkout as far as the decision needs it.
#[derive(Clone, Debug)]
pub struct Installed<'a> {
    /// Top level.
    pub top: &'a Path,
    /// HEAD.
    pub commit: &'a CommitId,
    /// Version on beta and stable.
    pub version: Option<&'a Version>,
}

/// What to do about a signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Install it.
    Install(Target),
    /// Nothing; the signal no longer holds and is withdrawn.
    Withdraw(Reason, String),
    /// Nothing; the signal is not ours and stays.
    Leave(Reason, String),
    /// A person must decide; the signal is withdrawn.
    Refuse(Reason, String),
}

/// Whether the signal still holds for this checkout and these settings.
pub fn judge(settings: &Settings, installed: &Installed<'_>, signal: &Signal) -> Verdict {
    let target = Target::of(signal);
    if signal.repo != installed.top {
        let message = format!("the signal is for {}, not for this checkout", signal.repo.display());
        return Verdict::Leave(Reason::StaleSignal, message);
    }
    if let Some(why) = mismatch(settings, signal) {
        return Verdict::Withdraw(Reason::StaleSignal, format!("{why}; run version-watch to look anew"));
    }
    if target.commit == *installed.commit {
        return Verdict::Withdraw(Reason::UpToDate, format!("{} is installed already", target.version));
    }
    let offered = Version::parse(&target.version).filter(|_| target.channel != ChannelName::Alpha);
    if let (Some(now), Some(offered)) = (installed.version, offered)
        && *now != offered
        && now.cmp_precedence(&offered).is_eq()
    {
        let message = format!("{now} is installed, and {offered} is no newer: build metadata does not count");
        return Verdict::Withdraw(Reason::UpToDate, message);
    }
    match downgrade(installed, &target) {
        Some(message) => Verdict::Refuse(Reason::Downgrade, message),
        None => Verdict::Install(target),
    }
}

/// What in the signal does not fit the settings.
fn mismatch(settings: &Settings, signal: &Signal) -> Option<String> {
    let channel = settings.channel.name();
    if signal.channel != channel {
        return Some(format!(
            "the signal is for channel {}, this computer follows {channel}",
            signal.channel
        ));
    }
    let version = Version::parse(&signal.available);
    match (settings.channel, &signal.tag, version) {
        (Channel::Alpha, None, _) if signal.available == signal.available_commit.short() => None,
        (Channel::Alpha, None, _) => {
            Some(format!("the signal calls {} what is {}", signal.available_commit.short(), signal.available))
        }
        (Channel::Alpha, Some(tag), _) => Some(format!("the signal names the tag {tag} on alpha")),
        (_, Some(tag), Some(version)) if Version::parse(tag).as_ref() != Some(&version) => {
            Some(format!("the signal's tag {tag} is not version {version}"))
        }
        (_, Some(_), Some(version)) if version.is_prerelease() => {
            Some(format!("the signal offers the prerelease {version}"))
        }
        (Channel::Stable(minor), Some(_), Some(version)) if version.minor() != minor => {
            Some(format!("the signal offers {version}, this computer is pinned to {minor}"))
        }
        (_, Some(_), Some(_)) => None,
        (_, None, _) | (_, _, None) => Some("the signal names no version and tag".to_owned()),
    }
}

/// Why the target would be a step back, if it would.
pub fn downgrade(installed: &Installed<'_>, target: &Target) -> Option<String> {
    let wanted = Version::parse(&target.version).filter(|_| target.channel != ChannelName::Alpha)?;
    let now = installed.version.filter(|now| now.cmp_precedence(&wanted).is_gt())?;
    Some(format!(
        "{wanted} is older than the installed {now}; 'apply-update --to {wanted} --allow-downgrade' installs it all the same"
    ))
}

/// How earlier failures of a target bear on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Patience {
    /// It may be tried.
    Try,
    /// Not before this time.
    BackOff(Timestamp, String),
    /// Not again without a person.
    GivenUp(String),
}

/// What earlier failures say; `retry` forgets them.
pub fn patience(failed: Option<&FailedTarget>, max_attempts: u32, retry: bool, now: Timestamp) -> Patience {
    let Some(failed) = failed.filter(|_| !retry) else { return Patience::Try };
    if failed.attempts >= max_attempts {
        return Patience::GivenUp(format!(
            "{} failed {} times ({}) and is given up; 'apply-update --retry' tries it again, a newer version replaces it",
            failed.version, failed.attempts, failed.message
        ));
    }
    match failed.waits_until(now) {
        None => Patience::Try,
        Some(until) => Patience::BackOff(
            until,
            format!(
                "{} failed ({}); it is tried again after {}, or now with 'apply-update --retry'",
                failed.version,
                failed.message,
                crate::sys::clock::rfc3339(until)
            ),
        ),
    }
}
