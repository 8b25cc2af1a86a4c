//! A configuration's text and what surrounds it → settings. Pure but for following links, and for
//! the host's name and zone where they are not configured. The rules of each key are in `rules`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::dotenv::DotEnv;
use super::expand::Variables;
use super::faults::Faults;
use super::section::{Keys, Reader, Section};
use super::settings::{Channel, Secret, Settings, Source, Verify};
use super::{paths, rules, values, yaml};
use crate::outcome::Halt;
use crate::sys::env::Environment;
use crate::sys::process::Redactor;

const API_URL: &str = "https://api.github.com";
const API_VARIABLE: &str = "GITHUB_API_URL";
const DATABASE: &str = "teleclaude.db";

const SECTIONS: &[&str] = &["deployment", "computer", "database", "redis"];

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
        Self::read(text, around).0
    }

    /// The same, and what must not be shown, whether the configuration holds or not.
    pub(super) fn read(text: &str, around: &Surroundings<'_>) -> (Result<Self, Halt>, Redactor) {
        let vars = Variables::new(around.env, around.dotenv, around.checkout);
        let reader = Reader { vars, faults: RefCell::new(Faults::new(around.file)) };
        let draft = Draft { reader: &reader, around, secrets: RefCell::default() };
        let settings = match yaml::parse(text) {
            Ok(tree) => draft.settings(tree.as_ref()),
            Err(fault) => {
                reader.fault(fault.line, "", fault.message);
                // The fault is told in its place.
                Err(Halt::invalid(format!("{} cannot be read", around.file)))
            }
        };
        let redactor = draft.redactor(settings.as_ref().ok());
        let faults = reader.faults.into_inner().into_result(&redactor);
        let settings = faults.and(settings).map(|s| Self { redactor: redactor.clone(), ..s });
        (settings, redactor)
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
        let section = top.section("deployment", Keys::All(rules::DEPLOYMENT_KEYS));
        let d = &section;
        let followed = rules::channel(d);
        let channel = followed.unwrap_or(Channel::Alpha);
        let verify = rules::verify(d, followed);
        let source = d.value("source", Source::Releases, |t| values::one_of(rules::SOURCES, t));
        let remote = d.value("remote", "origin".to_owned(), values::git_name);
        let asks_api = source == Source::Releases && channel != Channel::Alpha;
        let redis = rules::redis(&top.section("redis", Keys::Among(&["enabled", "url", "password"])));
        Ok(Settings {
            file: self.around.file.to_owned(),
            channel,
            branch: d.value("branch", "main".to_owned(), values::git_name),
            source,
            github_repo: self.github_repo(d, &remote, asks_api)?,
            api_url: self.api_url(d, asks_api),
            token: self.token(asks_api),
            remote,
            install: rules::command(d, "install", &["make", "install"]),
            restart: rules::restart(d),
            health: rules::command(d, "health", &["make", "status"]),
            python: d.optional("python", |t| Ok(self.python(t))),
            snapshot: rules::snapshot(d, self.around.checkout),
            rollback: d.value("rollback", true, values::yes_or_no),
            max_attempts: d.value("max_attempts", 5, values::positive),
            policy: rules::policy(d, redis.is_some()),
            verify,
            allowed_signers: self.allowed_signers(d, verify),
            timeouts: rules::timeouts(&d.section("timeouts", Keys::All(rules::TIMEOUT_KEYS))),
            computer: rules::computer(&top.section("computer", Keys::Among(&["name", "timezone"]))),
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
        if !asks_api && d.is_unset("github_repo") {
            return Ok(None);
        }
        let configured = d.optional("github_repo", values::github_repo);
        if configured.is_some() || !asks_api {
            return Ok(configured);
        }
        let url = (self.around.remote_url)(remote)?;
        self.secrets.borrow_mut().extend(url.iter().flat_map(|u| values::url_passwords(u)));
        Ok(url.as_deref().and_then(values::repo_of_url))
    }

    fn api_url(&self, d: &Section<'_>, asks_api: bool) -> String {
        if !asks_api && d.is_unset("api_url") {
            return API_URL.to_owned();
        }
        if let Some(url) = d.optional("api_url", values::api_url) {
            return url;
        }
        if !asks_api {
            return API_URL.to_owned();
        }
        let found = self.reader.vars.filled(API_VARIABLE).map_err(|fault| fault.to_string());
        match found.and_then(|found| found.map(|text| values::api_url(text.trim())).transpose()) {
            Ok(url) => url.unwrap_or_else(|| API_URL.to_owned()),
            Err(message) => {
                self.reader.faults.borrow_mut().whole(API_VARIABLE, message);
                API_URL.to_owned()
            }
        }
    }

    /// `GITHUB_TOKEN` or `GH_TOKEN`, from the environment before `.env`.
    fn token(&self, asks_api: bool) -> Option<Secret> {
        let env = |name: &str| {
            self.around.env.text(name).unwrap_or_else(|fault| {
                if asks_api {
                    self.reader.faults.borrow_mut().whole(name, fault.to_string());
                }
                None
            })
        };
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
        if verify == Verify::None && d.is_unset("allowed_signers") {
            return None;
        }
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
