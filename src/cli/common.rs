//! What all programs share: common flags, the rooms they open, and how a run is told.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::config::Settings;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome};
use crate::sys::env::Environment;

/// The common flags as they were typed.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// `--repo DIR`.
    pub repo: Option<String>,
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--verbose`.
    pub verbose: bool,
}

/// Everything a run works with.
#[derive(Debug)]
pub struct Context {
    /// The environment at the start.
    pub env: Environment,
    /// The state home.
    pub home: Home,
    /// The checkout.
    pub checkout: Checkout,
    /// The settings.
    pub settings: Settings,
}

impl Context {
    /// Opens checkout, state home and settings, in this order.
    pub fn open(common: &Common) -> Result<Self, Halt> {
        let env = Environment::capture();
        let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
        let settings = Settings::load(&checkout, &env)?;
        let home = Home::open(&env)?;
        Ok(Self { env, home, checkout, settings })
    }
}

/// Tells how a run ended, on standard output, and gives its exit code.
/// Diagnostics (anything that is not a result) go to standard error.
pub fn finish(common: &Common, result: Result<Outcome, Halt>) -> ExitCode {
    let outcome = result.unwrap_or_else(Outcome::from);
    let text = if common.json { outcome.to_json().to_string() + "\n" } else { for_people(common, &outcome) };
    let failed = matches!(outcome.exit, Exit::Failed | Exit::Usage | Exit::Blocked | Exit::TryAgain);
    let told = if failed && !common.json {
        std::io::stderr().lock().write_all(text.as_bytes())
    } else {
        std::io::stdout().lock().write_all(text.as_bytes())
    };
    // A reader that went away changes nothing about how the run ended.
    drop(told);
    ExitCode::from(outcome.exit as u8)
}

fn for_people(common: &Common, outcome: &Outcome) -> String {
    let failed = !matches!(outcome.exit, Exit::Done | Exit::Updated | Exit::Available);
    if common.quiet && !failed {
        return String::new();
    }
    let mut text = format!("{}\n", outcome.message);
    for line in &outcome.lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Parses a worker's flags with argh. Help goes to standard output with 0, wrong usage to
/// standard error with 2 (argh's own `from_env` would say 1).
pub fn parse<T: argh::TopLevelCommand>(program: &str, arguments: &[OsString]) -> Result<T, ExitCode> {
    let words: Option<Vec<&str>> = arguments.iter().map(|a| a.to_str()).collect();
    let Some(words) = words else {
        return Err(usage(program, "an argument is not valid UTF-8"));
    };
    T::from_args(&[program], &words).map_err(|early| match early.status {
        Ok(()) => {
            // Help into a closed pipe is still help.
            let _ = std::io::stdout().lock().write_all(early.output.as_bytes());
            ExitCode::from(Exit::Done as u8)
        }
        Err(()) => usage(program, early.output.trim()),
    })
}

/// Wrong usage: one sentence and where help is; exit code 2.
#[expect(clippy::print_stderr, reason = "diagnostics go to standard error")]
pub fn usage(program: &str, what: &str) -> ExitCode {
    eprintln!("{program}: {what}\nTry '{program} --help'.");
    ExitCode::from(Exit::Usage as u8)
}

/// Whether people watch: progress and colour only then.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// `NAME VERSION (COMMIT)`, for `--version`; a build from an archive has no commit.
pub fn version_line(program: &str) -> String {
    let commit = env!("TELECLAUDE_COMMIT");
    let built_from = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
    format!("{program} {}{built_from}", env!("CARGO_PKG_VERSION"))
}
