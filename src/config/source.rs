//! Finds and reads the files that settings come from: the configuration and `.env`. Checks that
//! they are readable text, not what they say.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::deployment::Surroundings;
use super::dotenv::DotEnv;
use super::paths;
use super::settings::Settings;
use crate::checkout::Checkout;
use crate::outcome::Halt;
use crate::sys::env::Environment;
use crate::sys::process::Redactor;

/// No configuration written by hand comes near; keeps a wrong path from filling the memory.
const LARGEST: u64 = 4 << 20;

/// Names another configuration file.
const CONFIG_VARIABLE: &str = "TELECLAUDE_CONFIG_PATH";
/// Names another `.env` file.
const ENV_VARIABLE: &str = "TELECLAUDE_ENV_PATH";

impl Settings {
    /// Reads, expands and checks the configuration of a checkout.
    pub fn load(checkout: &Checkout, env: &Environment) -> Result<Self, Halt> {
        let texts = Texts::read(checkout, env);
        let dotenv = texts.dotenv?.unwrap_or_default();
        understood(&texts.config?.unwrap_or_default(), &dotenv, &texts.shown, checkout, env).0
    }

    /// What must not be shown, as far as the files tell, where the configuration does not hold.
    pub fn secrets(checkout: &Checkout, env: &Environment) -> Redactor {
        let texts = Texts::read(checkout, env);
        let text = |read: Result<Option<String>, Halt>| read.ok().flatten().unwrap_or_default();
        understood(&text(texts.config), &text(texts.dotenv), &texts.shown, checkout, env).1
    }
}

fn understood(
    config: &str,
    dotenv: &str,
    shown: &str,
    checkout: &Checkout,
    env: &Environment,
) -> (Result<Settings, Halt>, Redactor) {
    let outer = |name: &str| env.get_os(name).and_then(|v| v.to_str()).map(str::to_owned);
    let around = Surroundings {
        file: shown,
        checkout: checkout.top(),
        env,
        dotenv: &DotEnv::parse(dotenv, &outer),
        remote_url: &|remote| checkout.git_config(&format!("remote.{remote}.url")),
    };
    Settings::read(config, &around)
}

/// The texts that settings come from.
struct Texts {
    shown: String,
    config: Result<Option<String>, Halt>,
    dotenv: Result<Option<String>, Halt>,
}

impl Texts {
    fn read(checkout: &Checkout, env: &Environment) -> Self {
        let top = checkout.top();
        let dotenv = Place::of(ENV_VARIABLE, ".env", top, env).and_then(|place| place.read());
        match Place::of(CONFIG_VARIABLE, "config.yml", top, env) {
            Ok(place) => Self { config: place.read(), shown: place.shown, dotenv },
            Err(halt) => Self { config: Err(halt), shown: CONFIG_VARIABLE.to_owned(), dotenv },
        }
    }
}

/// Where the configuration would be, if it is not there.
pub(super) fn absent(checkout: &Checkout, env: &Environment) -> Result<Option<PathBuf>, Halt> {
    let place = Place::of(CONFIG_VARIABLE, "config.yml", checkout.top(), env)?;
    Ok(if place.path.exists() { None } else { Some(place.path) })
}

/// Where a file is expected.
struct Place {
    path: PathBuf,
    shown: String,
    named_by: Option<&'static str>,
}

impl Place {
    fn of(variable: &'static str, default: &str, top: &Path, env: &Environment) -> Result<Self, Halt> {
        let named = env.text(variable).map_err(|fault| Halt::invalid(format!("{variable} {fault}")))?;
        let text = named.as_deref().unwrap_or(default);
        let path = paths::absolute(text, top, env.get("HOME").as_deref());
        let inside = path.strip_prefix(top).unwrap_or(&path);
        let shown = if inside.as_os_str().is_empty() { &path } else { inside }.display().to_string();
        Ok(Self { path, shown, named_by: named.is_some().then_some(variable) })
    }

    /// The text; `None`: there is no such file, and nobody said that there is.
    fn read(&self) -> Result<Option<String>, Halt> {
        let facts = match std::fs::metadata(&self.path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.missing(),
            Err(error) => return Err(self.unusable(&format!("cannot be read ({error})"))),
        };
        if !facts.is_file() {
            return Err(self.unusable("is not a file"));
        }
        if facts.len() > LARGEST {
            return Err(self.unusable(&format!("is larger than {} MB", LARGEST >> 20)));
        }
        let bytes = std::fs::read(&self.path).map_err(|e| self.unusable(&format!("cannot be read ({e})")))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(self.not_text(error.as_bytes(), error.utf8_error().valid_up_to())),
        }
    }

    /// A link to nothing is not the same as no file: its settings are meant to hold.
    fn missing(&self) -> Result<Option<String>, Halt> {
        match self.named_by {
            Some(variable) => Err(self.unusable(&format!("does not exist, and {variable} names it"))),
            None if self.path.is_symlink() => Err(self.unusable("is a link to nothing")),
            None => Ok(None),
        }
    }

    fn not_text(&self, bytes: &[u8], good: usize) -> Halt {
        let before = bytes.get(..good).unwrap_or(bytes);
        let line = before.split(|b| *b == b'\n').count();
        Halt::invalid(format!("{}:{line}: not UTF-8 text; save it as UTF-8", self.shown))
    }

    fn unusable(&self, why: &str) -> Halt {
        Halt::invalid(format!("{}: {why}; mend or remove it", self.shown))
    }
}
