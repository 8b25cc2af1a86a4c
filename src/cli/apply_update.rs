//! `apply-update`: flags → request → one transaction → outcome.

use std::ffi::OsString;
use std::process::ExitCode;

use argh::FromArgs;

use super::common::{Common, finish, on_terminal, parse, usage, version_line};
use crate::apply::commands::Commands;
use crate::apply::journal::Journal;
use crate::apply::progress::Mode;
use crate::apply::signature::Signatures;
use crate::apply::transaction::Rooms;
use crate::apply::{self, Applier, Request, outlook};
use crate::checkout::Checkout;
use crate::config::{Channel, Settings};
use crate::detect::{Look, Upstream, passwords_in_config, upstream};
use crate::home::Home;
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::plan::Target;
use crate::sys::clock;
use crate::sys::env::Environment;
use crate::sys::process::Redactor;
use crate::version::{ChannelName, CommitId, Version};

const NAME: &str = "apply-update";

/// Takes the signalled update through fetch, checkout, migrate, install, restart and verify.
///
/// Exit codes: 0 nothing to do or deferred, 1 failed (what was undone is said), 2 wrong usage or
/// configuration, 3 a person must decide, 42 an update is in place, 75 try again later.
#[derive(FromArgs, Debug)]
struct Flags {
    /// the checkout (default: `TELECLAUDE_REPO`, else the one around the current directory)
    #[argh(option, arg_name = "dir")]
    repo: Option<String>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// print nothing unless something is wrong
    #[argh(switch)]
    quiet: bool,
    /// print more
    #[argh(switch)]
    verbose: bool,
    /// print the version of this program
    #[argh(switch)]
    version: bool,
    /// only say what would be done and what stands against it
    #[argh(switch)]
    plan: bool,
    /// do not wait for hold, window, idle, stagger, minimum age or turn
    #[argh(switch)]
    now: bool,
    /// try a failed target again at once
    #[argh(switch)]
    retry: bool,
    /// install this version instead of the signalled one; on alpha this commit, by all 40 digits
    /// where it is not here yet
    #[argh(option, arg_name = "version")]
    to: Option<String>,
    /// with --to: the version may be older than the installed one
    #[argh(switch)]
    allow_downgrade: bool,
    /// leave the restart to the caller, who sees exit code 42
    #[argh(switch)]
    no_restart: bool,
}

/// Runs the program.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let flags: Flags = match parse(NAME, &arguments) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    if flags.allow_downgrade && flags.to.is_none() {
        return usage(NAME, "--allow-downgrade needs --to VERSION");
    }
    let common =
        Common { repo: flags.repo.clone(), json: flags.json, quiet: flags.quiet, verbose: flags.verbose };
    let result = if flags.version {
        Ok(Outcome::new(Exit::Done, "ok", version_line(NAME)))
    } else {
        perform(&common, &flags)
    };
    finish(&common, result)
}

fn perform(common: &Common, flags: &Flags) -> Result<Outcome, Halt> {
    let env = Environment::capture();
    let checkout = Checkout::locate(common.repo.as_deref(), &env)?;
    let home = if flags.plan { Home::locate(&env)? } else { Home::open(&env)? };
    let _lock = if flags.plan { None } else { Some(apply::lock(&home)?) };
    let journal = Journal::read(&home)?;
    // The configuration may be what a dead run broke; its journal has all that is needed to end it.
    let settings = match (Settings::load(&checkout, &env), &journal) {
        (Err(halt), Some(journal)) if !flags.plan && !journal.rests() => {
            let secrets = Settings::secrets(&checkout, &env).and(passwords_in_config(&checkout));
            let request = request(common, flags);
            return take_up_without_settings(&home, &checkout, (journal, &request), halt, secrets);
        }
        (settings, _) => settings?,
    };
    let Upstream { git: network, seen } = upstream(&checkout, &settings, &env, &home)?;
    let rooms = Rooms {
        home: &home,
        checkout: &checkout,
        redactor: network.redactor().clone(),
        network,
        seen,
        remote: settings.remote.clone(),
        branch: settings.branch.clone(),
        signatures: Signatures::of(&settings),
        commands: Some(Commands::of(&settings, false)),
    };
    let applier = Applier { home: &home, checkout: &checkout, settings: &settings, rooms: &rooms };
    let mut request = request(common, flags);
    if flags.plan {
        request.target = target(flags, &applier, &env)?;
        return outlook::show(&applier, &request, journal);
    }
    let ended = match apply::take_up_dead_run(&rooms, journal, &request) {
        Ok(None) => target(flags, &applier, &env).and_then(|target| {
            request.target = target;
            applier.apply(&request)
        }),
        other => other.map(|outcome| outcome.unwrap_or_else(|| Outcome::new(Exit::Done, "nothing", ""))),
    };
    shown(&home, ended)
}

/// Mirrors a refusal into the status file; a result has been mirrored already.
fn shown(home: &Home, ended: Result<Outcome, Halt>) -> Result<Outcome, Halt> {
    let Err(mut halt) = ended else { return ended };
    if halt.reason == Reason::IoError && home.journal().path().exists() {
        halt.message += "; an update is half done, and the next run takes it up once this is mended";
    }
    apply::show_refusal(home, &halt)?;
    Err(halt)
}

fn take_up_without_settings(
    home: &Home,
    checkout: &Checkout,
    (journal, request): (&Journal, &Request),
    invalid: Halt,
    redactor: Redactor,
) -> Result<Outcome, Halt> {
    let rooms = Rooms {
        home,
        checkout,
        network: checkout.git().clone(),
        seen: Vec::new(),
        remote: String::new(),
        branch: String::new(),
        signatures: Signatures::none(),
        commands: None,
        redactor,
    };
    // What became of the update is the result, and a caller restarts on it; the next run is refused.
    crate::sys::warning::warn(&invalid.message);
    let ended = apply::take_up_dead_run(&rooms, Some(journal.clone()), request);
    shown(home, ended.map(|outcome| outcome.unwrap_or_else(|| Outcome::from(invalid))))
}

fn request(common: &Common, flags: &Flags) -> Request {
    let mode = match (common.json || common.quiet, on_terminal(), common.verbose) {
        (true, ..) | (false, false, false) => Mode::Silent,
        (false, true, _) => Mode::Live,
        (false, false, true) => Mode::Lines,
    };
    Request {
        now: flags.now,
        retry: flags.retry,
        target: None,
        allow_downgrade: flags.allow_downgrade,
        no_restart: flags.no_restart,
        progress: Some(mode),
    }
}

/// What `--to` names, as the remote has it.
fn target(flags: &Flags, applier: &Applier<'_>, env: &Environment) -> Result<Option<Target>, Halt> {
    let Some(text) = &flags.to else { return Ok(None) };
    let (checkout, settings) = (applier.checkout, applier.settings);
    if settings.channel == Channel::Alpha {
        return commit(checkout, text).map(Some);
    }
    let version = Version::parse(text.trim()).ok_or_else(|| {
        Halt::new(
            Kind::Invalid,
            Reason::UnknownVersion,
            format!("--to {text}: not a version (major.minor.patch)"),
        )
    })?;
    let now = clock::now();
    let mut look = Look::begin(checkout, settings, env, applier.home, now)?;
    let found = look.resolve(&version, text.trim());
    if !flags.plan {
        look.save(applier.home, found.is_ok())?;
    }
    let offer = found?;
    Ok(Some(Target {
        channel: settings.channel.name(),
        version: offer.label,
        commit: offer.commit,
        tag: offer.tag,
        detected_at: now,
        published_at: offer.published_at,
    }))
}

/// On alpha there are no versions: a commit, whole, or a beginning of one that is here.
fn commit(checkout: &Checkout, text: &str) -> Result<Target, Halt> {
    let hex = text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let wrong = || {
        let message = format!("--to {text}: alpha follows commits; name one by its digits");
        Halt::new(Kind::Invalid, Reason::UnknownVersion, message)
    };
    let found = if hex {
        checkout.git().run(&["rev-parse", "--verify", "--quiet", &format!("{text}^{{commit}}")])?
    } else {
        return Err(wrong());
    };
    let here = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let commit = CommitId::parse(&here).or_else(|| CommitId::parse(text)).ok_or_else(|| {
        let digits = checkout.commit().as_str().len();
        let message = format!(
            "--to {text}: no commit here begins with it, or several do: one that is not here yet needs all {digits} digits"
        );
        Halt::new(Kind::Invalid, Reason::UnknownVersion, message)
    })?;
    Ok(Target {
        channel: ChannelName::Alpha,
        version: commit.short().to_owned(),
        commit,
        tag: None,
        detected_at: clock::now(),
        published_at: None,
    })
}
