//! The git remote: its configured URL, git commands that reach it, and what `git ls-remote` says.
//! Output is matched exactly; names from outside are checked before they come near a command.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::checkout::Checkout;
use crate::config::{Settings, url_passwords};
use crate::outcome::{Halt, Reason};
use crate::sys::env::Environment;
use crate::sys::git::{Git, complaint, interrupted, ownership_fix};
use crate::sys::process::{End, Finished};
use crate::version::CommitId;

/// More than the largest list of references that anybody's tags need.
const MOST_OUTPUT: usize = 32 << 20;

/// One deadline over all the questions of a run.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    until: Instant,
    allowed: Duration,
}

impl Deadline {
    /// From now on.
    pub fn starting_now(allowed: Duration) -> Self {
        Self { until: Instant::now() + allowed, allowed }
    }

    /// What is left of it; over is an error.
    pub fn left(self) -> Result<Duration, Halt> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.passed("the remote")) } else { Ok(left) }
    }

    /// The error for `what` not having answered in time.
    pub fn passed(self, what: &str) -> Halt {
        Halt::unreachable(
            Reason::Timeout,
            format!("{what} did not answer within {:?} (deployment.timeouts.check)", self.allowed),
        )
    }
}

/// A reference on the remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRef {
    /// What it points at.
    pub object: CommitId,
    /// Its full name; a peeled tag ends in `^{}`.
    pub name: String,
}

/// The configured remote.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Its configured URL without credentials: good for messages and as a key in files.
    pub url: String,
    /// Hex digits of an object id in this checkout.
    id_length: usize,
    git: Git,
}

impl Remote {
    /// The remote that the settings name; exit 3 `missing_remote` where git knows no such one.
    pub fn open(checkout: &Checkout, settings: &Settings, env: &Environment) -> Result<Self, Halt> {
        let config = NetworkConfig::read(checkout)?;
        let name = settings.remote.clone();
        let url = config.value(&format!("remote.{name}.url")).ok_or_else(|| {
            Halt::blocked(
                Reason::MissingRemote,
                format!(
                    "{} has no git remote {name:?}: add it (git remote add {name} URL), or set deployment.remote",
                    checkout.top().display()
                ),
            )
        })?;
        let url = settings.redactor.clean(url);
        let id_length = checkout.commit().as_str().len();
        Ok(Self { name, url, id_length, git: config.git(checkout, settings, env) })
    }

    /// The commit at `refs/heads/BRANCH`; `None`: there is no such branch.
    pub fn branch(&self, branch: &str, deadline: Deadline) -> Result<Option<CommitId>, Halt> {
        let name = format!("refs/heads/{branch}");
        check_ref_name(&name)?;
        let refs = self.ls_remote(&["--refs"], &[&name], deadline)?;
        Ok(exactly(&refs, &name).cloned())
    }

    /// Every tag of the remote.
    pub fn all_tags(&self, deadline: Deadline) -> Result<Vec<RemoteRef>, Halt> {
        self.ls_remote(&["--tags"], &[], deadline)
    }

    /// The commit that `tag` names on the remote, peeled; `None`: there is no such tag.
    pub fn tag_target(&self, tag: &str, deadline: Deadline) -> Result<Option<CommitId>, Halt> {
        let name = format!("refs/tags/{tag}");
        check_ref_name(&name)?;
        let peeled = format!("{name}^{{}}");
        let refs = self.ls_remote(&[], &[&name, &peeled], deadline)?;
        Ok(exactly(&refs, &peeled).or_else(|| exactly(&refs, &name)).cloned())
    }

    fn ls_remote(&self, flags: &[&str], names: &[&str], deadline: Deadline) -> Result<Vec<RemoteRef>, Halt> {
        let arguments = [&["ls-remote"], flags, &["--", self.name.as_str()], names].concat();
        let command = self.git.command(&arguments).deadline(deadline.left()?).stdout_limit(MOST_OUTPUT);
        let finished = command.capture_announced(None, self.git.redactor())?;
        self.check_end(&finished, deadline)?;
        let refs = parse_refs(&finished.stdout).and_then(|refs| match refs.first() {
            Some(first) if first.object.as_str().len() != self.id_length => {
                Err("has another kind of object ids than this checkout".to_owned())
            }
            _ => Ok(refs),
        });
        refs.map_err(|why| {
            Halt::unreachable(Reason::BadResponse, format!("the git remote at {} {why}", self.url))
        })
    }

    fn check_end(&self, finished: &Finished, deadline: Deadline) -> Result<(), Halt> {
        match finished.end {
            End::Exit(0) if finished.truncated => Err(Halt::unreachable(
                Reason::BadResponse,
                format!("the git remote at {} lists more than {MOST_OUTPUT} bytes of references", self.url),
            )),
            End::Exit(0) => Ok(()),
            End::Deadline => Err(deadline.passed(&format!("the git remote at {}", self.url))),
            End::Interrupted(number) => Err(interrupted(number, &format!("a question to {}", self.url))),
            _ if ownership_fix(&finished.tail).is_some() => Err(Halt::blocked(
                Reason::DubiousOwnership,
                format!(
                    "the git remote at {} belongs to another user: give it to this one, or run: {}",
                    self.url,
                    ownership_fix(&finished.tail).unwrap_or_default()
                ),
            )),
            end => Err(Halt::unreachable(
                Reason::Unreachable,
                format!("cannot ask the git remote at {} ({end}): {}", self.url, complaint(&finished.tail)),
            )),
        }
    }
}

/// git for commands that reach the network, ssh in batch mode (nobody is there to type), and the
/// remote's URL without credentials, where there is such a remote.
pub fn network_git(
    checkout: &Checkout,
    settings: &Settings,
    env: &Environment,
) -> anyhow::Result<(Git, Option<String>)> {
    let config = NetworkConfig::read(checkout)?;
    let url = config.value(&format!("remote.{}.url", settings.remote));
    Ok((config.git(checkout, settings, env), url.map(|url| settings.redactor.clean(url))))
}

/// Passwords in URLs of the repository's own configuration file, without starting git: for programs
/// that talk to no remote but run commands which may print one.
pub fn passwords_in_config(checkout: &Checkout) -> Vec<String> {
    let text = std::fs::read(checkout.git_dir().join("config")).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| line.split_once('='))
        .flat_map(|(_, value)| url_passwords(value.trim()))
        .collect()
}

/// The remotes' URLs and `core.sshCommand`, asked for at once.
struct NetworkConfig {
    text: String,
}

impl NetworkConfig {
    fn read(checkout: &Checkout) -> anyhow::Result<Self> {
        let pattern = r"^(core\.sshcommand|remote\..*\.url)$";
        let finished = checkout.git().run(&["config", "-z", "--get-regexp", pattern])?;
        Ok(Self { text: String::from_utf8_lossy(&finished.stdout).into_owned() })
    }

    /// The last value of a key: git lets later files override earlier ones. A remote may have
    /// several URLs, of which git fetches from the first.
    fn value(&self, key: &str) -> Option<&str> {
        let mut values = self.text.split('\0').filter_map(|entry| entry.split_once('\n'));
        let found = if key.starts_with("remote.") {
            values.find(|(name, _)| *name == key)
        } else {
            values.rfind(|(name, _)| *name == key)
        };
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// Those in the remotes' URLs; a command may print one without the URL around it.
    fn passwords(&self) -> Vec<String> {
        let entries = self.text.split('\0').filter_map(|entry| entry.split_once('\n'));
        entries.flat_map(|(_, value)| url_passwords(value)).collect()
    }

    fn git(&self, checkout: &Checkout, settings: &Settings, env: &Environment) -> Git {
        Git::at(checkout.top())
            .with_redactor(&settings.redactor.and(self.passwords()))
            .with_ssh_command(ssh_command(self.value("core.sshcommand"), env))
    }
}

/// `None` leaves the user's own choice in the environment alone.
fn ssh_command(configured: Option<&str>, env: &Environment) -> Option<String> {
    let own = env.get("GIT_SSH_COMMAND").is_some() || env.get("GIT_SSH").is_some();
    (!own).then(|| format!("{} -o BatchMode=yes", configured.unwrap_or("ssh")))
}

/// The lines of `git ls-remote`. One that is not `<object id> TAB <name>` makes all of it suspect,
/// and so do an id that no object has, ids of two kinds, and two answers to one question.
pub fn parse_refs(output: &[u8]) -> Result<Vec<RemoteRef>, String> {
    let text = String::from_utf8_lossy(output);
    let mut names = BTreeSet::new();
    let mut length = None;
    let mut refs = Vec::new();
    for line in text.lines() {
        let (object, name) = line.split_once('\t').ok_or("sent a line that is no reference")?;
        let object = CommitId::parse(object).ok_or("sent a reference without an object id")?;
        let id = object.as_str();
        if id.bytes().all(|b| b == b'0') || *length.get_or_insert(id.len()) != id.len() {
            return Err("sent a reference whose object id no object here can have".to_owned());
        }
        if !names.insert(name) {
            return Err("sent a reference twice".to_owned());
        }
        refs.push(RemoteRef { object, name: name.to_owned() });
    }
    Ok(refs)
}

/// What the reference of exactly this name points at: `git ls-remote` also lists every name that
/// ends in the one it was asked for.
pub fn exactly<'a>(refs: &'a [RemoteRef], name: &str) -> Option<&'a CommitId> {
    refs.iter().find(|r| r.name == name).map(|r| &r.object)
}

/// Only names that git itself could have made, and no patterns.
/// Source: `git help check-ref-format`.
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "git's rule has it in lower case")]
fn check_ref_name(name: &str) -> Result<(), Halt> {
    let odd = |c: char| c.is_ascii_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = name.contains(odd)
        || name.contains("..")
        || name.contains("@{")
        || name.ends_with('.')
        || name.split('/').any(bad_part);
    if bad {
        return Err(Halt::failed(
            Reason::BadResponse,
            format!("{name:?} is not a name that git would accept"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn garbage_is_not_a_list_of_references() {
        assert_eq!(parse_refs(b"").unwrap(), []);
        assert_eq!(
            parse_refs(format!("{A}\trefs/heads/main\n").as_bytes()).unwrap()[0].name,
            "refs/heads/main"
        );
        let (zeros, long) = ("0".repeat(40), "a".repeat(64));
        for garbage in [
            "<html>",
            "abc\trefs/heads/main",
            &format!("{A} refs/heads/main"),
            "\u{0}\t\u{0}",
            &format!("{zeros}\trefs/heads/main"),
            &format!("{A}\trefs/heads/main\n{long}\trefs/heads/other"),
            &format!("{A}\trefs/heads/main\n{A}\trefs/heads/main"),
        ] {
            assert!(parse_refs(garbage.as_bytes()).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn only_real_reference_names_pass() {
        for (name, good) in [
            ("refs/heads/main", true),
            ("refs/heads/feature/x-1", true),
            ("refs/tags/v1.2.3+b.1", true),
            ("refs/heads/", false),
            ("refs/heads/a b", false),
            ("refs/heads/a*", false),
            ("refs/heads/a..b", false),
            ("refs/heads/a.lock", false),
            ("refs/heads/a^{}", false),
            ("refs/heads/a\nb", false),
        ] {
            assert_eq!(check_ref_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn ssh_asks_nobody_and_the_users_choice_counts() {
        let none = Environment::from_pairs::<&str, &str>([]);
        let own = Environment::from_pairs([("GIT_SSH_COMMAND", "my-ssh")]);
        assert_eq!(ssh_command(None, &none).as_deref(), Some("ssh -o BatchMode=yes"));
        assert_eq!(ssh_command(Some("ssh -i k"), &none).as_deref(), Some("ssh -i k -o BatchMode=yes"));
        assert_eq!(ssh_command(Some("ssh -i k"), &own), None);
    }
}
