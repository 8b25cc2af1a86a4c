//! What all programs share: common flags, the rooms they open, and how a run is told.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use super::words;
use crate::checkout::Checkout;
use crate::config::Settings;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Outcome};
use crate::sys::env::Environment;
use crate::sys::warning::say;

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
        tell(&text)
    };
    match told {
        // Whoever wanted the result would take an empty file for it.
        Err(error) if outcome.exit == Exit::Done && error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("the result could not be written: {error}"));
            ExitCode::from(Exit::Failed as u8)
        }
        // A reader that went away changes nothing about how the run ended.
        _ => ExitCode::from(outcome.exit as u8),
    }
}

/// Writes the whole result to standard output: what is left in a buffer would be lost silently.
fn tell(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
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
    // Names and reasons are other people's: they are not to move the cursor of whoever reads them.
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.replace(odd, "\u{fffd}")
}

/// Parses a worker's flags with argh. Help goes to standard output with 0, wrong usage to
/// standard error with 2 (argh's own `from_env` would say 1).
pub fn parse<T: argh::TopLevelCommand>(program: &str, arguments: &[OsString]) -> Result<T, ExitCode> {
    let words: Option<Vec<&str>> = arguments.iter().map(|a| a.to_str()).collect();
    let Some(words) = words else {
        return Err(usage(program, "an argument is not valid UTF-8"));
    };
    let words = words::split_values(&words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let show = |help: &str| {
        // Help into a closed pipe is still help.
        let _ = std::io::stdout().lock().write_all(help.as_bytes());
        ExitCode::from(Exit::Done as u8)
    };
    if words::ask_for_help(&words) {
        let of_command = words::first_command(&words).map(|word| vec![word, "--help"]);
        for asked in of_command.into_iter().chain([vec!["--help"]]) {
            if let Err(early) = T::from_args(&[program], &asked)
                && early.status.is_ok()
            {
                return Err(show(&early.output));
            }
        }
    }
    T::from_args(&[program], &words).map_err(|early| match early.status {
        Ok(()) => show(&early.output),
        Err(()) => usage(program, early.output.trim()),
    })
}

/// Wrong usage: one sentence and where help is; exit code 2.
pub fn usage(program: &str, what: &str) -> ExitCode {
    say(&format!("{program}: {what}\nTry '{program} --help'."));
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
