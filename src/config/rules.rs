//! The rules of each section: which keys there are, what they default to, and what must hold
//! between them. What is wrong is noted in the section's reader; the value returned then is not
//! used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::section::{Section, closest};
use super::settings::{Channel, Computer, Policy, Redis, Restart, Secret, Source, Timeouts, Verify};
use super::{host, values};
use crate::version::{ChannelName, Minor};

/// What the host takes where `redis.url` is not given.
const REDIS_URL: &str = "redis://localhost:6379";

/// Every key of `deployment`.
pub const DEPLOYMENT_KEYS: &[&str] = &[
    "channel",
    "pinned_minor",
    "remote",
    "branch",
    "source",
    "github_repo",
    "api_url",
    "install",
    "restart",
    "health",
    "python",
    "snapshot",
    "rollback",
    "max_attempts",
    "window",
    "idle",
    "idle_limit",
    "max_defer",
    "minimum_age",
    "stagger",
    "max_parallel",
    "verify",
    "allowed_signers",
    "timeouts",
];

/// Every key of `deployment.timeouts`.
pub const TIMEOUT_KEYS: &[&str] = &["check", "fetch", "checkout", "migrate", "install", "restart", "health"];

const CHANNELS: &[(&str, ChannelName)] =
    &[("alpha", ChannelName::Alpha), ("beta", ChannelName::Beta), ("stable", ChannelName::Stable)];
/// Where beta and stable look.
pub const SOURCES: &[(&str, Source)] = &[("releases", Source::Releases), ("tags", Source::Tags)];
const VERIFY: &[(&str, Verify)] = &[("none", Verify::None), ("tag", Verify::Tag), ("commit", Verify::Commit)];

/// `None`: what is wrong has been noted.
pub fn channel(d: &Section<'_>) -> Option<Channel> {
    let name = d.given("channel", |t| values::one_of(CHANNELS, t)).map(|n| n.unwrap_or(ChannelName::Alpha));
    let unused = matches!(name, Ok(ChannelName::Alpha | ChannelName::Beta)) && d.is_unset("pinned_minor");
    let minor = |t: &str| {
        t.parse::<Minor>().map_err(|()| format!("{t:?} is no minor version; write for example \"1.3\""))
    };
    let pinned = if unused { Ok(None) } else { d.look("pinned_minor", minor) };
    match (name.ok()?, pinned) {
        (ChannelName::Alpha, _) => Some(Channel::Alpha),
        (ChannelName::Beta, _) => Some(Channel::Beta),
        (ChannelName::Stable, Ok(Some(minor))) => Some(Channel::Stable(minor)),
        (ChannelName::Stable, Ok(None)) => {
            d.fault_of("pinned_minor", "channel", "channel stable needs it; write for example \"1.3\"");
            None
        }
        (ChannelName::Stable, Err(_)) => None,
    }
}

/// A command; `[]` is one that does nothing.
pub fn command(d: &Section<'_>, key: &str, default: &[&str]) -> Vec<String> {
    let default = || default.iter().map(|w| (*w).to_owned()).collect();
    let hint = |t: &str| if t.is_empty() { "[] for none".to_owned() } else { values::as_list(t) };
    d.list(key, hint, values::command_word).unwrap_or_else(default)
}

/// A command, or the word `exit-code`.
pub fn restart(d: &Section<'_>) -> Restart {
    const WORD: &str = "exit-code";
    let default = Restart::Command(vec!["make".to_owned(), "restart".to_owned()]);
    match d.plain_word("restart") {
        Some(word) if word == WORD => return Restart::ExitCode,
        Some(word) if closest(&word, &[WORD]).is_some() => {
            d.fault(
                "restart",
                format!("{word:?} is neither a list nor the word exit-code; did you mean 'exit-code'?"),
            );
            return default;
        }
        _ => {}
    }
    let hint = |t: &str| {
        let list = if t.is_empty() { "[make, restart]".to_owned() } else { values::as_list(t) };
        format!("{list}, or the word exit-code")
    };
    match d.list("restart", hint, values::command_word) {
        Some(words) if words.is_empty() => {
            d.fault("restart", "is empty; write [make, restart], or the word exit-code");
            default
        }
        Some(words) => Restart::Command(words),
        None => default,
    }
}

/// Files to copy before migrations; what is there must be a file that can be copied. Only looked at,
/// never opened: a FIFO would be waited on for ever.
pub fn snapshot(d: &Section<'_>, checkout: &Path) -> Vec<PathBuf> {
    let parse = |text: &str| {
        let path = Path::new(text);
        let plain = path.components().all(|c| !matches!(c, std::path::Component::ParentDir));
        if plain && path.file_name().is_some() {
            Ok(path.to_owned())
        } else {
            Err(format!("{text:?} names no file in the checkout; write a plain or an absolute path"))
        }
    };
    let hint = |t: &str| values::as_list(if t.is_empty() { "config.yml .env" } else { t });
    let files = d.list("snapshot", hint, parse).unwrap_or_else(|| vec!["config.yml".into(), ".env".into()]);
    for file in &files {
        if checkout.join(file).metadata().is_ok_and(|found| !found.is_file()) {
            let file = file.display();
            d.fault("snapshot", format!("{file} is there, but is no regular file; name files only"));
        }
    }
    files
}

/// When and how gently updates are applied.
pub fn policy(d: &Section<'_>, has_redis: bool) -> Policy {
    let length = |key, default| d.value(key, Duration::from_secs(default), values::duration);
    let max_parallel = d.value("max_parallel", 0, values::count);
    if max_parallel > 0 && !has_redis {
        d.fault("max_parallel", "needs redis to take turns; set redis.enabled: true, or max_parallel: 0");
    }
    let hint = |t: &str| format!("[{:?}]", if t.is_empty() { "02:00-05:00" } else { t });
    let window = if d.has_value("window") { d.list("window", hint, values::window) } else { None };
    Policy {
        window: window.unwrap_or_default(),
        idle: length("idle", 2 * 60),
        idle_limit: length("idle_limit", 60 * 60),
        max_defer: length("max_defer", 24 * 60 * 60),
        minimum_age: length("minimum_age", 0),
        stagger: length("stagger", 0),
        max_parallel,
    }
}

/// Which signature is required; a branch has no tags.
pub fn verify(d: &Section<'_>, followed: Option<Channel>) -> Verify {
    let verify = d.value("verify", Verify::None, |t| values::one_of(VERIFY, t));
    if verify == Verify::Tag && followed == Some(Channel::Alpha) {
        d.fault("verify", "alpha follows a branch and has no tags to verify; write verify: commit");
    }
    verify
}

/// Deadlines of steps.
pub fn timeouts(t: &Section<'_>) -> Timeouts {
    let length = |key, default| t.value(key, Duration::from_secs(default), values::deadline);
    Timeouts {
        check: length("check", 30),
        fetch: length("fetch", 2 * 60),
        checkout: length("checkout", 5 * 60),
        migrate: length("migrate", 10 * 60),
        install: length("install", 15 * 60),
        restart: length("restart", 60),
        health: length("health", 60),
    }
}

/// This computer.
pub fn computer(section: &Section<'_>) -> Computer {
    Computer {
        name: section.optional("name", values::computer_name).unwrap_or_else(host::short_name),
        timezone: section.optional("timezone", zone),
    }
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        format!("{text:?} is no time zone that is known here; write for example Europe/Amsterdam")
    })
}

/// Only when it is enabled are its other values looked at.
pub fn redis(section: &Section<'_>) -> Option<Redis> {
    let enabled = section.optional("enabled", values::loose_yes_or_no).unwrap_or(false);
    if !enabled {
        return None;
    }
    let url = section.optional("url", redis_url).unwrap_or_else(|| REDIS_URL.to_owned());
    let password = section.optional("password", |t| Ok(Secret::new(t.to_owned())));
    Some(Redis { url: Secret::new(url), password })
}

/// The URL itself may hold a password and is never shown.
fn redis_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("redis://").or_else(|| text.strip_prefix("rediss://"));
    match host {
        Some(rest) if !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(text.to_owned())
        }
        _ => Err("is not of the form redis://host:6379 or rediss://host:6379".to_owned()),
    }
}
