//! Required signatures: on the tag object, or on the commit, checked by git after fetching and
//! before anything changes. With a file of allowed signers only ssh signatures by those count;
//! without one, only OpenPGP signatures by keys that the user's keyring trusts at least fully.
//! Nothing that the checkout's own git configuration says changes that.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::checkout::Checkout;
use crate::config::{Settings, Verify};
use crate::outcome::{Halt, Reason};
use crate::sys::git::{Git, describe, interrupted};
use crate::sys::process::End;
use crate::version::CommitId;

/// In the place of a program that verifies.
const REFUSES: &str = "false";

/// SIGPIPE: a git whose verifying program ends without reading what it is given may die of that.
const BROKEN_PIPE: i32 = 13;

/// What is required.
#[derive(Clone, Debug)]
pub struct Signatures {
    verify: Verify,
    allowed_signers: Option<PathBuf>,
}

impl Signatures {
    /// What these settings require.
    pub fn of(settings: &Settings) -> Self {
        Self { verify: settings.verify, allowed_signers: settings.allowed_signers.clone() }
    }

    /// Nothing is required.
    pub fn none() -> Self {
        Self { verify: Verify::None, allowed_signers: None }
    }

    /// The tag's own object (its id) is signed, and names itself as the reference does: an old
    /// signed tag under a new name verifies fine otherwise.
    pub fn check_tag(&self, checkout: &Checkout, tag: &str, object: &str) -> Result<(), Halt> {
        if self.verify != Verify::Tag {
            return Ok(());
        }
        let git = checkout.git();
        if git.text(&["cat-file", "-t", object])? != "tag" {
            return Err(refuse(&format!("the tag {tag} has no object of its own, so nobody signed it")));
        }
        let content = git.output(&["cat-file", "tag", object])?;
        match name_inside(&content) {
            Some(inside) if inside == tag => self.check(git, "verify-tag", object, &format!("the tag {tag}")),
            inside => {
                let inside = inside.unwrap_or_else(|| "nothing".to_owned());
                Err(refuse(&format!("the tag {tag} was made and signed as {inside}")))
            }
        }
    }

    /// The commit is signed.
    pub fn check_commit(&self, checkout: &Checkout, commit: &CommitId) -> Result<(), Halt> {
        if self.verify != Verify::Commit {
            return Ok(());
        }
        let what = format!("the commit {}", commit.short());
        self.check(checkout.git(), "verify-commit", commit.as_str(), &what)
    }

    fn check(&self, git: &Git, word: &str, object: &str, what: &str) -> Result<(), Halt> {
        let mut arguments: Vec<OsString> = Vec::new();
        for setting in self.trust(git)? {
            arguments.extend(["-c".into(), setting]);
        }
        arguments.extend([word.into(), object.into()]);
        let finished = git.command(&arguments).capture_announced(None, git.redactor())?;
        match finished.end {
            End::Exit(0) => return Ok(()),
            End::Exit(_) | End::Signal(BROKEN_PIPE) => {}
            End::Interrupted(number) => return Err(interrupted(number, "a look at a signature")),
            End::Signal(_) | End::Deadline => return Err(anyhow!(describe(&arguments, &finished)).into()),
        }
        let said = finished.tail.lines().last().unwrap_or("it is not signed").to_owned();
        Err(refuse(&format!("{what} has no good signature of an allowed signer ({said})")))
    }

    /// Who is trusted, whatever the checkout's own git configuration says. A kind of signature
    /// that does not count is verified by a program that refuses.
    fn trust(&self, git: &Git) -> anyhow::Result<Vec<OsString>> {
        let (openpgp, ssh) = match &self.allowed_signers {
            Some(_) => (REFUSES.to_owned(), "ssh-keygen"),
            None => (openpgp_program(git)?, REFUSES),
        };
        let mut signers = OsString::from("gpg.ssh.allowedSignersFile=");
        signers.push(self.allowed_signers.as_deref().unwrap_or(Path::new("/dev/null")));
        Ok(vec![
            signers,
            format!("gpg.ssh.program={ssh}").into(),
            format!("gpg.program={openpgp}").into(),
            format!("gpg.openpgp.program={openpgp}").into(),
            format!("gpg.x509.program={REFUSES}").into(),
            "gpg.minTrustLevel=fully".into(),
        ])
    }
}

/// The program that the user or the system chose, not the one that the checkout names.
fn openpgp_program(git: &Git) -> anyhow::Result<String> {
    let pattern = r"^gpg\.(openpgp\.)?program$";
    let listed = git.run(&["config", "--show-scope", "-z", "--get-regexp", pattern])?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let fields: Vec<&str> = text.split('\0').collect();
    let chosen = fields.chunks_exact(2).rfind(|entry| matches!(entry[0], "system" | "global"));
    let program = chosen.and_then(|entry| entry[1].split_once('\n')).map(|(_, value)| value);
    Ok(program.unwrap_or("gpg").to_owned())
}

/// The `tag` header of a tag object. Source: git's `mktag` format.
fn name_inside(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    let headers = text.lines().take_while(|line| !line.is_empty());
    headers.filter_map(|line| line.strip_prefix("tag ")).map(str::to_owned).next()
}

fn refuse(what: &str) -> Halt {
    let mend = "it is not installed; ask who released it, or change deployment.verify or allowed_signers";
    Halt::blocked(Reason::BadSignature, format!("{what}; {mend}"))
}
