//! Handing a command on to the checkout's own `bin/telec`: every argument byte for byte, working
//! directory and standard streams as they are, its exit code ours. Starts no process before that,
//! so that none of our signal handlers is set, and never ends up in this program again.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{HELP, asks_for_help, help, wrong};
use crate::cli::common::version_line;
use crate::outcome::Exit;
use crate::sys::env::Environment;
use crate::sys::process::Invocation;

/// The only change to the environment: who handed on to what, to notice a circle.
const MARK: &str = "TELECLAUDE_TELEC_HANDED_ON";

/// A wrapper that starts us again as a child has another process id each time, and so has a
/// person's shell inside the checkout's own `telec`. Hardly anything but a circle gets this deep; and
/// one that calls us twice each time has run at most fifteen times by then.
const DEEPEST: u32 = 4;

/// The command goes to the checkout's `bin/telec`, or the reason why it cannot.
pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let env = Environment::capture();
    let Some(top) = checkout_top(&env) else {
        let named = env.get_os("TELECLAUDE_REPO").filter(|dir| !dir.is_empty());
        return match named {
            Some(dir) => {
                let dir = Path::new(dir).display();
                wrong(
                    &format!(
                        "TELECLAUDE_REPO names {dir}, which is in no git checkout: set it anew, or unset it"
                    ),
                    HELP,
                )
            }
            None => wrong("there is no git checkout here: change into one, or set TELECLAUDE_REPO", HELP),
        };
    };
    let target = top.join("bin").join("telec");
    if !target.is_file() || is_this_program(&target) {
        return without_target(&arguments, &top);
    }
    let caller = Caller { pid: std::process::id(), parent: std::os::unix::process::parent_id() };
    match next_mark(env.get_os(MARK), caller, &target) {
        Some(mark) => hand_on(&target, arguments, &mark),
        None => circle(&target),
    }
}

/// `$TELECLAUDE_REPO`, else the current directory; from there upwards to the folder with `.git`.
fn checkout_top(env: &Environment) -> Option<PathBuf> {
    let named = env.get_os("TELECLAUDE_REPO").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let start = match named {
        Some(dir) => std::path::absolute(dir).ok()?,
        None => std::env::current_dir().ok()?,
    };
    start.ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned)
}

fn is_this_program(target: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let own = std::env::current_exe().ok().and_then(|path| identity(&path));
    own.is_some() && own == identity(target)
}

/// There is nobody else to ask: help where help was asked for, else wrong usage.
fn without_target(arguments: &[OsString], top: &Path) -> ExitCode {
    match arguments.first() {
        None => help(HELP),
        Some(word) if asks_for_help(word) => help(HELP),
        Some(word) if word == "--version" => help(&format!("{}\n", version_line("telec"))),
        Some(word) => {
            let (word, top) = (word.to_string_lossy(), top.display());
            wrong(&format!("'{word}' is no command of ours, and {top} has no bin/telec of its own"), HELP)
        }
    }
}

fn hand_on(target: &Path, mut arguments: Vec<OsString>, mark: &OsStr) -> ExitCode {
    arguments.insert(0, target.into());
    // Only here where it could not be started.
    let error = Invocation::new(&arguments, Path::new(".")).exec((MARK, mark));
    let way = match error.kind() {
        ErrorKind::PermissionDenied => format!("; make it executable: chmod +x {}", target.display()),
        _ => String::new(),
    };
    say(&format!("cannot run {}: {error}{way}", target.display()));
    ExitCode::from(Exit::Failed as u8)
}

fn circle(target: &Path) -> ExitCode {
    say(&format!(
        "{} leads back to this program: put the checkout's own telec back behind it, or call that one directly",
        target.display()
    ));
    ExitCode::from(Exit::Usage as u8)
}

fn say(what: &str) {
    crate::sys::warning::say(&format!("telec: {what}"));
}

/// This process: a chain of `exec` keeps both numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    pid: u32,
    parent: u32,
}

/// The mark to hand on, `PID.PARENT.DEPTH.TARGET`; `None` where the command went in a circle.
fn next_mark(before: Option<&OsStr>, caller: Caller, target: &Path) -> Option<OsString> {
    let before = before.and_then(parse_mark);
    let depth = before.as_ref().map_or(0, |(_, depth, _)| *depth);
    let same = before.is_some_and(|(who, _, whom)| who == caller && whom == target.as_os_str().as_bytes());
    if same || depth >= DEEPEST {
        return None;
    }
    let mut mark = format!("{}.{}.{}.", caller.pid, caller.parent, depth + 1).into_bytes();
    mark.extend_from_slice(target.as_os_str().as_bytes());
    Some(OsString::from_vec(mark))
}

fn parse_mark(mark: &OsStr) -> Option<(Caller, u32, &[u8])> {
    let mut parts = mark.as_bytes().splitn(4, |byte| *byte == b'.');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
    let caller = Caller { pid: number()?, parent: number()? };
    let depth = number()?;
    Some((caller, depth, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Caller = Caller { pid: 7, parent: 3 };

    #[test]
    fn a_circle_is_the_same_process_and_target_or_great_depth() {
        let cases = [
            (None, Some("7.3.1./co/bin/telec")),
            // An exec chain came back.
            (Some("7.3.1./co/bin/telec"), None),
            // The same process went on to another checkout.
            (Some("7.3.1./other/bin/telec"), Some("7.3.2./co/bin/telec")),
            // A shell inside the checkout's own telec.
            (Some("6.3.1./co/bin/telec"), Some("7.3.2./co/bin/telec")),
            (Some("7.2.3./co/bin/telec"), Some("7.3.4./co/bin/telec")),
            (Some("6.5.4./co/bin/telec"), None),
            // Somebody else's variable.
            (Some("junk"), Some("7.3.1./co/bin/telec")),
            (Some("7.3.-1./co/bin/telec"), Some("7.3.1./co/bin/telec")),
        ];
        for (before, after) in cases {
            let mark = next_mark(before.map(OsStr::new), CALLER, Path::new("/co/bin/telec"));
            assert_eq!(mark.as_deref(), after.map(OsStr::new), "{before:?}");
        }
    }
}
