//! The rules of the configuration: which keys there are, what they default to, and what must hold
//! between them. A pure function of the file's text and its surroundings.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::dotenv::DotEnv;
use super::expand::Variables;
use super::faults::Faults;
use super::section::{Keys, Reader, Section, closest};
use super::settings::{
    Channel, Computer, Policy, Redis, Restart, Secret, Settings, Source, Timeouts, Verify,
};
use super::{host, paths, values, yaml};
use crate::outcome::Halt;
use crate::sys::env::Environment;
use crate::sys::process::Redactor;
use crate::version::{ChannelName, Minor};

const API_URL: &str = "https://api.github.com";
const API_VARIABLE: &str = "GITHUB_API_URL";
/// What the host takes where `redis.url` is not given.
const REDIS_URL: &str = "redis://localhost:6379";
const DATABASE: &str = "teleclaude.db";

const SECTIONS: &[&str] = &["deployment", "computer", "database", "redis"];

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

/// What a configuration means depends on more than its text.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The file's name in messages.
    pub file: &'a str,
    /// Top level of the checkout, absolute.
    pub checkout: &'a Path,
    /// The environment.
    pub env: &'a Environment,
    /// The `.env` file.
    pub dotenv: &'a DotEnv,
    /// The configured URL of a remote; asked only where the repository is not configured.
    pub remote_url: &'a dyn Fn(&str) -> anyhow::Result<Option<String>>,
}

impl Settings {
    /// Checks a configuration's text.
    pub fn from_yaml(text: &str, around: &Surroundings<'_>) -> Result<Self, Halt> {
        let vars = Variables::new(around.env, around.dotenv, around.checkout);
        let reader = Reader { vars, faults: RefCell::new(Faults::new(around.file)) };
        let draft = Draft { reader: &reader, around, secrets: RefCell::default() };
        let settings = match yaml::parse(text) {
            Ok(tree) => draft.settings(tree.as_ref()).map(Some)?,
            Err(fault) => {
                reader.fault(fault.line, "", fault.message);
                None
            }
        };
        let redactor = draft.redactor(settings.as_ref());
        reader.faults.into_inner().into_result(&redactor)?;
        // Without a tree there is a fault, so this is never reached without settings.
        let settings = settings.ok_or_else(|| Halt::invalid(format!("{} cannot be read", around.file)))?;
        Ok(Self { redactor, ..settings })
    }

    /// Checks a text with nothing around it; for tests.
    pub fn from_text(text: &str, checkout: &Path) -> Result<Self, Halt> {
        Self::from_yaml(
            text,
            &Surroundings {
                file: "config.yml",
                checkout,
                env: &Environment::default(),
                dotenv: &DotEnv::default(),
                remote_url: &|_| Ok(None),
            },
        )
    }

    /// The repository on the API, which `source: releases` cannot do without.
    pub fn require_github_repo(&self) -> Result<&str, Halt> {
        self.github_repo.as_deref().ok_or_else(|| {
            Halt::invalid(format!(
                "{}: deployment.github_repo: not given, and the URL of remote '{}' does not tell it; \
                 write github_repo: owner/name, or source: tags",
                self.file, self.remote
            ))
        })
    }
}

/// Settings in the making.
struct Draft<'a> {
    reader: &'a Reader<'a>,
    around: &'a Surroundings<'a>,
    /// Found on the way, to be masked.
    secrets: RefCell<Vec<String>>,
}

impl Draft<'_> {
    fn settings(&self, tree: Option<&std::rc::Rc<yaml::Node>>) -> Result<Settings, Halt> {
        let line = tree.map_or(1, |n| n.line);
        let top = Section::new(self.reader, "", line, tree, Keys::Among(SECTIONS));
        let section = top.section("deployment", Keys::All(DEPLOYMENT_KEYS));
        let d = &section;
        let followed = channel(d);
        let channel = followed.unwrap_or(Channel::Alpha);
        let verify = verify(d, followed);
        let source = d.value("source", Source::Releases, |t| values::one_of(SOURCES, t));
        let remote = d.value("remote", "origin".to_owned(), values::git_name);
        let asks_api = source == Source::Releases && channel != Channel::Alpha;
        let redis = self.redis(&top.section("redis", Keys::Among(&["enabled", "url", "password"])));
        Ok(Settings {
            file: self.around.file.to_owned(),
            channel,
            branch: d.value("branch", "main".to_owned(), values::git_name),
            source,
            github_repo: self.github_repo(d, &remote, asks_api)?,
            api_url: self.api_url(d, asks_api),
            token: self.token(asks_api),
            remote,
            install: command(d, "install", &["make", "install"]),
            restart: restart(d),
            health: command(d, "health", &["make", "status"]),
            python: d.optional("python", |t| Ok(self.python(t))),
            snapshot: snapshot(d),
            rollback: d.value("rollback", true, values::yes_or_no),
            max_attempts: d.value("max_attempts", 5, values::positive),
            policy: policy(d, redis.is_some()),
            verify,
            allowed_signers: self.allowed_signers(d, verify),
            timeouts: timeouts(&d.section("timeouts", Keys::All(TIMEOUT_KEYS))),
            computer: computer(&top.section("computer", Keys::Among(&["name", "timezone"]))),
            database: self.database(&top.section("database", Keys::Among(&["path"]))),
            redis,
            redactor: Redactor::default(),
        })
    }

    fn path(&self, text: &str) -> PathBuf {
        paths::absolute(text, self.around.checkout, self.around.env.get("HOME").as_deref())
    }

    /// A bare name is looked up in PATH; anything with a slash is a path.
    fn python(&self, text: &str) -> PathBuf {
        if text.contains('/') { self.path(text) } else { PathBuf::from(text) }
    }

    fn github_repo(&self, d: &Section<'_>, remote: &str, asks_api: bool) -> Result<Option<String>, Halt> {
        let configured = d.optional("github_repo", values::github_repo);
        if configured.is_some() || !asks_api {
            return Ok(configured);
        }
        let url = (self.around.remote_url)(remote)?;
        self.secrets.borrow_mut().extend(url.iter().flat_map(|u| values::url_passwords(u)));
        Ok(url.as_deref().and_then(values::repo_of_url))
    }

    fn api_url(&self, d: &Section<'_>, asks_api: bool) -> String {
        if let Some(url) = d.optional("api_url", values::api_url) {
            return url;
        }
        match self.reader.vars.filled(API_VARIABLE).filter(|_| asks_api).map(|t| values::api_url(t.trim())) {
            Some(Ok(url)) => url,
            Some(Err(message)) => {
                self.reader.faults.borrow_mut().whole(API_VARIABLE, message);
                API_URL.to_owned()
            }
            None => API_URL.to_owned(),
        }
    }

    /// `GITHUB_TOKEN` or `GH_TOKEN`, from the environment before `.env`.
    fn token(&self, asks_api: bool) -> Option<Secret> {
        let env = |name| self.around.env.get(name);
        let dotenv = |name| self.around.dotenv.get(name).map(str::to_owned);
        let found = [env("GITHUB_TOKEN"), env("GH_TOKEN"), dotenv("GITHUB_TOKEN"), dotenv("GH_TOKEN")];
        let token = found.into_iter().flatten().map(|t| t.trim().to_owned()).find(|t| !t.is_empty())?;
        if asks_api && !token.bytes().all(|b| b.is_ascii_graphic()) {
            let message = "holds characters that no token has; set it anew";
            self.reader.faults.borrow_mut().whole("GITHUB_TOKEN", message);
        }
        Some(Secret::new(token))
    }

    fn allowed_signers(&self, d: &Section<'_>, verify: Verify) -> Option<PathBuf> {
        let path = d.optional("allowed_signers", |t| Ok(self.path(t)))?;
        if paths::inside(&path, self.around.checkout) {
            d.fault("allowed_signers", "must lie outside the checkout, where no update can change it");
        } else if verify != Verify::None && !path.is_file() {
            d.fault("allowed_signers", format!("{} is not a file", path.display()));
        }
        Some(path)
    }

    fn database(&self, section: &Section<'_>) -> PathBuf {
        let text = section.optional("path", |t| Ok(t.to_owned()));
        self.path(text.as_deref().unwrap_or(DATABASE))
    }

    /// Only when it is enabled are its other values looked at.
    fn redis(&self, section: &Section<'_>) -> Option<Redis> {
        let enabled = section.optional("enabled", values::loose_yes_or_no).unwrap_or(false);
        if !enabled {
            return None;
        }
        let url = section.optional("url", redis_url).unwrap_or_else(|| REDIS_URL.to_owned());
        let password = section.optional("password", |t| Ok(Secret::new(t.to_owned())));
        Some(Redis { url: Secret::new(url), password })
    }

    /// Every secret that is known by now.
    fn redactor(&self, settings: Option<&Settings>) -> Redactor {
        let mut secrets = self.around.dotenv.secrets();
        secrets.extend(self.reader.vars.secrets());
        secrets.extend(self.secrets.borrow().iter().cloned());
        for name in ["GITHUB_TOKEN", "GH_TOKEN"] {
            secrets.extend(self.around.env.get(name).map(|t| t.trim().to_owned()));
        }
        if let Some(redis) = settings.and_then(|s| s.redis.as_ref()) {
            secrets.extend(redis.password.as_ref().map(|p| p.expose().to_owned()));
            secrets.extend(values::url_passwords(redis.url.expose()));
        }
        Redactor::new(secrets)
    }
}

const CHANNELS: &[(&str, ChannelName)] =
    &[("alpha", ChannelName::Alpha), ("beta", ChannelName::Beta), ("stable", ChannelName::Stable)];
const SOURCES: &[(&str, Source)] = &[("releases", Source::Releases), ("tags", Source::Tags)];
const VERIFY: &[(&str, Verify)] = &[("none", Verify::None), ("tag", Verify::Tag), ("commit", Verify::Commit)];

/// `None`: what is wrong has been noted.
fn channel(d: &Section<'_>) -> Option<Channel> {
    let name = d.given("channel", |t| values::one_of(CHANNELS, t)).map(|n| n.unwrap_or(ChannelName::Alpha));
    let pinned = d.look("pinned_minor", |t| {
        t.parse::<Minor>().map_err(|()| format!("{t:?} is no minor version; write for example \"1.3\""))
    });
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

fn command(d: &Section<'_>, key: &str, default: &[&str]) -> Vec<String> {
    let default = || default.iter().map(|w| (*w).to_owned()).collect();
    let hint = |t: &str| if t.is_empty() { "[] for none".to_owned() } else { values::as_list(t) };
    d.list(key, hint, values::command_word).unwrap_or_else(default)
}

fn restart(d: &Section<'_>) -> Restart {
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

fn snapshot(d: &Section<'_>) -> Vec<PathBuf> {
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
    d.list("snapshot", hint, parse).unwrap_or_else(|| vec!["config.yml".into(), ".env".into()])
}

fn policy(d: &Section<'_>, has_redis: bool) -> Policy {
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

fn verify(d: &Section<'_>, followed: Option<Channel>) -> Verify {
    let verify = d.value("verify", Verify::None, |t| values::one_of(VERIFY, t));
    if verify == Verify::Tag && followed == Some(Channel::Alpha) {
        d.fault("verify", "alpha follows a branch and has no tags to verify; write verify: commit");
    }
    verify
}

fn timeouts(t: &Section<'_>) -> Timeouts {
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

fn computer(section: &Section<'_>) -> Computer {
    Computer {
        name: section.optional("name", values::computer_name).unwrap_or_else(host::short_name),
        timezone: section.optional("timezone", zone).unwrap_or_else(host::time_zone),
    }
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        format!("{text:?} is no time zone that is known here; write for example Europe/Amsterdam")
    })
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
