//! `--check-config`: everything that can be said about a configuration before it is used.

use super::settings::{Channel, Settings, Source};
use crate::checkout::Checkout;
use crate::outcome::{Exit, Halt, Outcome};
use crate::sys::env::Environment;

/// Checks the whole configuration of a checkout: what loading checks, and what otherwise shows
/// only when it is used.
pub fn check(checkout: &Checkout, env: &Environment) -> Result<Outcome, Halt> {
    let settings = Settings::load(checkout, env)?;
    if settings.source == Source::Releases && settings.channel != Channel::Alpha {
        settings.require_github_repo()?;
    }
    let message = match super::source::absent(checkout, env)? {
        Some(path) => {
            format!("there is no {}, all defaults hold: {}", path.display(), settings.summary())
        }
        None => format!("{} is valid: {}", settings.file, settings.summary()),
    };
    Ok(Outcome::new(Exit::Done, "ok", message)
        .with("config", settings.file.as_str())
        .with("channel", settings.channel.name().as_str())
        .with("computer", settings.computer.name.as_str()))
}

impl Settings {
    /// What is followed, in a few words: `channel stable (1.3), releases of owner/name`.
    fn summary(&self) -> String {
        let from = match (self.source, &self.github_repo) {
            (Source::Releases, Some(repo)) => format!("releases of {repo}"),
            _ => format!("tags of {}", self.remote),
        };
        match self.channel {
            Channel::Alpha => format!("channel alpha, branch {} of {}", self.branch, self.remote),
            Channel::Beta => format!("channel beta, {from}"),
            Channel::Stable(minor) => format!("channel stable ({minor}), {from}"),
        }
    }
}
