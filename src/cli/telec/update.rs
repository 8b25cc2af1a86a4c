//! `telec update`: which word is which worker. No word is `apply-update`.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{asks_for_help, help, history, hold, status, wrong};
use crate::cli::{apply_update, version_watch};

const HELP: &str = "\
Usage: telec update [<command>] [<args>]

Without a command the checkout is updated now (apply-update, which takes the flags).

Commands:
  check                            Looks for a newer version (version-watch)
  plan                             Shows what an update would do; changes nothing
  status                           Where the deployment stands
  history [-n N]                   The last attempts
  hold [--until T] [--reason TEXT] Keeps this computer on its version
  resume                           Ends a hold

Flags of every command: --json, --quiet, --verbose, --help
";

const WORDS: &[&str] = &["check", "plan", "status", "history", "hold", "resume"];

/// Goes to the worker or word that is meant.
pub(super) fn run(mut arguments: Vec<OsString>) -> ExitCode {
    let Some(at) = word_position(&arguments) else {
        if arguments.iter().any(|word| asks_for_help(word)) {
            return help(HELP);
        }
        return apply_update::run(arguments);
    };
    let word = arguments.remove(at);
    match word.to_str().unwrap_or_default() {
        "check" => version_watch::run(arguments),
        "plan" => {
            arguments.insert(0, "--plan".into());
            apply_update::run(arguments)
        }
        "status" => status::run(arguments),
        "history" => history::run(arguments),
        "hold" => hold::hold(arguments),
        "resume" => hold::resume(arguments),
        _ => unknown(&word.to_string_lossy()),
    }
}

/// Where the command stands: the first word that is neither a common flag nor its value.
/// Behind any other flag there is none: those flags belong to `apply-update`.
fn word_position(arguments: &[OsString]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        match word.to_str().unwrap_or("a word") {
            "--repo" => at += 2,
            "--json" | "--quiet" | "--verbose" => at += 1,
            flag if flag.starts_with("--repo=") => at += 1,
            flag if flag.starts_with('-') => return None,
            _ => return Some(at),
        }
    }
    None
}

fn unknown(word: &str) -> ExitCode {
    let near = WORDS
        .iter()
        .filter(|known| strsim::damerau_levenshtein(known, word) <= 2)
        .min_by_key(|known| strsim::damerau_levenshtein(known, word));
    let hint = near.map(|known| format!(", did you mean '{known}'?")).unwrap_or_default();
    wrong(&format!("'telec update' has no command '{word}'{hint}"), HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_behind_common_flags_only() {
        let cases: &[(&[&str], Option<usize>)] = &[
            (&[], None),
            (&["--now"], None),
            (&["status", "--json"], Some(0)),
            (&["--json", "status"], Some(1)),
            (&["--repo", "status", "plan"], Some(2)),
            (&["--repo=x", "--quiet", "hold"], Some(2)),
            (&["--repo"], None),
            (&["--to", "1.2.3"], None),
            (&["nonsense"], Some(0)),
        ];
        for (words, expected) in cases {
            let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(word_position(&arguments), *expected, "{words:?}");
        }
    }
}
