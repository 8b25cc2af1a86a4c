//! Required signatures: on the tag object, or on the commit, checked by git after fetching and
//! before anything changes. With a file of allowed signers only ssh signatures by those count;
//! without one, what git itself trusts (the user's keyring, ultimately or fully trusted keys).

use std::path::PathBuf;

use crate::checkout::Checkout;
use crate::config::{Settings, Verify};
use crate::outcome::{Halt, Reason};
use crate::sys::git::Git;
use crate::version::CommitId;

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
        let mut arguments: Vec<String> = Vec::new();
        for setting in self.trust() {
            arguments.extend(["-c".to_owned(), setting]);
        }
        arguments.extend([word.to_owned(), object.to_owned()]);
        let finished = git.run(&arguments)?;
        if finished.end.success() {
            return Ok(());
        }
        let said = finished.tail.lines().last().unwrap_or("it is not signed").to_owned();
        Err(refuse(&format!("{what} has no good signature of an allowed signer ({said})")))
    }

    /// Who is trusted, whatever the checkout's own git configuration says.
    fn trust(&self) -> Vec<String> {
        match &self.allowed_signers {
            // Any other kind of signature is verified by a program that refuses.
            Some(file) => vec![
                format!("gpg.ssh.allowedSignersFile={}", file.display()),
                "gpg.program=false".to_owned(),
                "gpg.openpgp.program=false".to_owned(),
                "gpg.x509.program=false".to_owned(),
                "gpg.ssh.program=ssh-keygen".to_owned(),
            ],
            None => vec!["gpg.minTrustLevel=fully".to_owned()],
        }
    }
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
