//! The flags of `run-migrations` as they are typed.

use std::time::Duration;

use argh::FromArgs;

use crate::cli::common::Common;
use crate::version::Version;

/// A struct of flags that has the common ones too.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident { $($fields:tt)* }) => {
        #[derive(FromArgs, Debug)]
        $(#[$meta])*
        pub struct $name {
            $($fields)*
            /// the checkout (default: TELECLAUDE_REPO, else the one around the current directory)
            #[argh(option, arg_name = "dir")]
            pub repo: Option<String>,
            /// print one JSON object
            #[argh(switch)]
            pub json: bool,
            /// print nothing unless something is wrong
            #[argh(switch)]
            pub quiet: bool,
            /// print more
            #[argh(switch)]
            pub verbose: bool,
        }

        impl $name {
            /// The common flags; those in front of a subcommand count as well.
            pub fn common(&self) -> Common {
                Common { repo: self.repo.clone(), json: self.json, quiet: self.quiet, verbose: self.verbose }
            }
        }
    };
}

flags! {
    /// Runs the migrations between two versions, once each, in order.
    ///
    /// Exit codes: 0 done or nothing to do, 1 a migration failed, 2 wrong usage or configuration,
    /// 3 a person must decide, 10 migrations are pending (with --exit-code), 75 another run holds
    /// the state.
    Flags {
        /// only versions above this one (default: everything not on record above the baseline)
        #[argh(option, arg_name = "version", from_str_fn(version))]
        pub from: Option<Version>,
        /// up to and with this version (default: the version in the checkout's files)
        #[argh(option, arg_name = "version", from_str_fn(version))]
        pub to: Option<Version>,
        /// say what is pending; run and write nothing
        #[argh(switch)]
        pub dry_run: bool,
        /// stop before anything runs when an applied script was changed
        #[argh(switch)]
        pub strict: bool,
        /// exit with 10 when migrations are (still) pending
        #[argh(switch)]
        pub exit_code: bool,
        /// seconds each script may take (default: timeouts.migrate)
        #[argh(option, arg_name = "s", from_str_fn(seconds))]
        pub timeout: Option<Duration>,
        /// seconds to wait for another run (default: 10)
        #[argh(option, arg_name = "s", from_str_fn(seconds_or_none))]
        pub lock_timeout: Option<Duration>,
        /// the interpreter (default: deployment.python, else .venv/bin/python, else python3)
        #[argh(option, arg_name = "p")]
        pub python: Option<String>,
        /// print the version of this program
        #[argh(switch)]
        pub version: bool,
        #[argh(subcommand)]
        pub word: Option<Word>,
    }
}

/// The subcommands.
#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Word {
    /// What is on record.
    Status(StatusFlags),
    /// Faults in scripts.
    Lint(LintFlags),
    /// A new script.
    New(NewFlags),
    /// On record without running.
    Mark(MarkFlags),
    /// Off the record.
    Unmark(UnmarkFlags),
    /// A change is right.
    Accept(AcceptFlags),
    /// What a release carries.
    Manifest(ManifestFlags),
}

flags! {
    /// says what is on record, pending, late, changed or missing; changes nothing
    #[argh(subcommand, name = "status")]
    StatusFlags {
        /// exit with 10 when migrations are pending
        #[argh(switch)]
        pub exit_code: bool,
    }
}

flags! {
    /// looks for faults in the scripts without running them; exit code 3 when there are any
    #[argh(subcommand, name = "lint")]
    LintFlags {
        /// the interpreter (default: deployment.python, else .venv/bin/python, else python3)
        #[argh(option, arg_name = "p")]
        pub python: Option<String>,
    }
}

flags! {
    /// writes a new script from a template
    #[argh(subcommand, name = "new")]
    NewFlags {
        /// what it does, in a few words
        #[argh(positional)]
        pub name: String,
        /// the version it is for (default: the project's version if that is not released, else its next patch)
        #[argh(option, long = "for", arg_name = "version", from_str_fn(version))]
        pub for_version: Option<Version>,
    }
}

flags! {
    /// puts a script on record without running it
    #[argh(subcommand, name = "mark")]
    MarkFlags {
        /// such as 1.3.0/001_description.py
        #[argh(positional)]
        pub id: String,
        /// why, for the record
        #[argh(option, arg_name = "text")]
        pub reason: Option<String>,
    }
}

flags! {
    /// takes a script off the record; the next run asks its check() again
    #[argh(subcommand, name = "unmark")]
    UnmarkFlags {
        /// such as 1.3.0/001_description.py
        #[argh(positional)]
        pub id: String,
        /// why, for the record
        #[argh(option, arg_name = "text")]
        pub reason: Option<String>,
    }
}

flags! {
    /// takes the present text of an applied script as the right one
    #[argh(subcommand, name = "accept")]
    AcceptFlags {
        /// such as 1.3.0/001_description.py
        #[argh(positional)]
        pub id: String,
        /// why, for the record
        #[argh(option, arg_name = "text")]
        pub reason: Option<String>,
    }
}

flags! {
    /// lists the scripts of a range of versions with their sha256 and what they do
    #[argh(subcommand, name = "manifest")]
    ManifestFlags {
        /// only versions above this one
        #[argh(option, arg_name = "version", from_str_fn(version))]
        pub from: Option<Version>,
        /// up to and with this version
        #[argh(option, arg_name = "version", from_str_fn(version))]
        pub to: Option<Version>,
        /// the interpreter (default: deployment.python, else .venv/bin/python, else python3)
        #[argh(option, arg_name = "p")]
        pub python: Option<String>,
    }
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse_release(text).ok_or_else(|| format!("{text:?} is not a version (major.minor.patch)"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    match seconds_or_none(text)? {
        Duration::ZERO => Err(format!("{text:?} is not a number of seconds above 0")),
        time => Ok(time),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    const MONTH: f64 = 30.0 * 24.0 * 3600.0;
    let number = text.trim().parse::<f64>().ok().filter(|n| (0.0..=MONTH).contains(n));
    let wrong = || format!("{text:?} is not a number of seconds, at most 30 days ({MONTH})");
    number.map(Duration::from_secs_f64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_seconds_are_strict() {
        for (text, right) in
            [("1.3.0", true), (" v1.3.0 ", true), ("1.3", false), ("1.3.0-rc.1", false), ("", false)]
        {
            assert_eq!(version(text).is_ok(), right, "{text}");
        }
        for (text, right) in [
            ("1", true),
            ("0.5", true),
            ("0", false),
            ("-1", false),
            ("inf", false),
            ("NaN", false),
            ("2m", false),
        ] {
            assert_eq!(seconds(text).is_ok(), right, "{text}");
        }
        assert_eq!(seconds_or_none("0"), Ok(Duration::ZERO));
    }
}
