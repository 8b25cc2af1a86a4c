//! Facts about the checkout, read from git and its files. Changes nothing.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::outcome::{Halt, Kind, Reason};
use crate::sys::env::Environment;
use crate::sys::git::{Git, ownership_fix};
use crate::version::CommitId;

/// What HEAD is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// On this local branch (name without `refs/heads/`).
    Branch(String),
    /// Detached.
    Detached,
}

/// A checkout that can be deployed.
#[derive(Clone, Debug)]
pub struct Checkout {
    top: PathBuf,
    git_dir: PathBuf,
    shallow: bool,
    commit: CommitId,
    head: Head,
    git: Git,
}

impl Checkout {
    /// `--repo`, else `$TELECLAUDE_REPO`, else the top level around the current directory.
    /// A linked worktree is refused.
    pub fn locate(flag: Option<&str>, env: &Environment) -> Result<Self, Halt> {
        if flag == Some("") {
            return Err(no_checkout("--repo is empty".to_owned()));
        }
        let variable = || {
            let wrong = |fault| no_checkout(format!("the variable TELECLAUDE_REPO {fault}"));
            env.text("TELECLAUDE_REPO").map_err(wrong)
        };
        let start = match flag.map_or_else(variable, |dir| Ok(Some(dir.to_owned())))? {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_dir().context("cannot tell the current directory")?,
        };
        Self::open(&start)
    }

    /// The checkout that `dir` belongs to.
    pub fn open(dir: &Path) -> Result<Self, Halt> {
        if !dir.is_dir() {
            return Err(no_checkout(format!("{} is not a folder", dir.display())));
        }
        let git = Git::at(dir);
        let facts = git.run(&[
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-dir",
            "--git-common-dir",
            "--is-shallow-repository",
            "HEAD",
            "--symbolic-full-name",
            "HEAD",
        ])?;
        if let Some(fix) = ownership_fix(&facts.tail) {
            let message =
                format!("{} belongs to another user: give it to this one, or run: {fix}", dir.display());
            return Err(Halt::blocked(Reason::DubiousOwnership, message));
        }
        let text = String::from_utf8(facts.stdout).context("the checkout's path is not UTF-8")?;
        Self::from_facts(&text.lines().collect::<Vec<_>>(), dir)
    }

    fn from_facts(facts: &[&str], dir: &Path) -> Result<Self, Halt> {
        let [top, git_dir, common_dir, shallow, commit, head] = facts else {
            return Err(no_checkout(match facts.len() {
                0 => format!("{} is in no git checkout", dir.display()),
                _ => format!("{} has no commit yet", dir.display()),
            }));
        };
        if git_dir != common_dir {
            return Err(Halt::blocked(
                Reason::LinkedWorktree,
                format!(
                    "{top} is a linked worktree; deploy from the main checkout ({}) instead",
                    common_dir.trim_end_matches("/.git")
                ),
            ));
        }
        let commit = CommitId::parse(commit)
            .ok_or_else(|| no_checkout(format!("{} has no commit yet", dir.display())))?;
        Ok(Self {
            top: top.into(),
            git_dir: git_dir.into(),
            shallow: *shallow == "true",
            commit,
            head: match head.strip_prefix("refs/heads/") {
                Some(branch) => Head::Branch(branch.to_owned()),
                None => Head::Detached,
            },
            git: Git::at(Path::new(top)),
        })
    }

    /// Top level, absolute.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The `.git` folder, absolute.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// HEAD's commit when the checkout was opened.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// What HEAD is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether history was cut off when cloning.
    pub fn is_shallow(&self) -> bool {
        self.shallow
    }

    /// git in the top level.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Whether `commit` is here, as an object.
    pub fn has(&self, commit: &CommitId) -> anyhow::Result<bool> {
        let object = format!("{commit}^{{commit}}");
        Ok(self.git.run(&["cat-file", "-e", &object])?.end.success())
    }

    /// Whether `old` is `new` or one of its ancestors. Both must be here.
    pub fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> anyhow::Result<bool> {
        self.git.test(&["merge-base", "--is-ancestor", old.as_str(), new.as_str()])
    }

    /// Names of tags that point at `commit`, annotated or not.
    pub fn tags_at(&self, commit: &CommitId) -> anyhow::Result<Vec<String>> {
        let text = self.git.text(&["tag", "--points-at", commit.as_str()])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// A value of the repository's or user's git configuration.
    pub fn git_config(&self, key: &str) -> anyhow::Result<Option<String>> {
        let finished = self.git.run(&["config", "--get", key])?;
        let text = String::from_utf8_lossy(&finished.stdout).trim_end_matches('\n').to_owned();
        Ok(finished.end.success().then_some(text))
    }
}

fn no_checkout(what: String) -> Halt {
    Halt::new(
        Kind::Invalid,
        Reason::NoCheckout,
        format!("{what}: name the checkout with --repo DIR or TELECLAUDE_REPO"),
    )
}
