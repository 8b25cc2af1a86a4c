//! What there is to do: the signal's target, or the one a person names, or the reason why nothing
//! is. Looks only; what follows from it is the caller's.

use super::journal::Journal;
use super::{Applier, Request, stopped};
use crate::outcome::{Halt, Reason};
use crate::plan::{self, Installed, Target, Verdict};
use crate::project::{Project, installed_version};
use crate::signal::Signal;
use crate::version::Version;

/// What there is to do.
#[derive(Debug)]
pub enum Choice {
    /// Install this.
    Install(Target),
    /// Nothing. A signal that no longer holds is to be withdrawn.
    Nothing { reason: Reason, message: String, stale: Option<Box<Signal>> },
    /// A person must decide. A signal that led here is to be withdrawn.
    Refuse { target: Target, halt: Halt, stale: Option<Box<Signal>> },
}

impl Applier<'_> {
    /// What to install, or why nothing is.
    pub(super) fn choose(&self, request: &Request) -> Result<Choice, Halt> {
        if let Some(target) = &request.target {
            return self.asked_for(target, request);
        }
        if let Some(journal) = stopped::here(self.home, self.checkout)?
            && Signal::read(self.home)?.is_none_or(|s| s.available_commit == journal.to_commit)
        {
            return Ok(Choice::Install(target_of(&journal)));
        }
        let Some(signal) = Signal::read(self.home)? else {
            let message = "no update is signalled; version-watch looks for one".to_owned();
            return Ok(Choice::Nothing { reason: Reason::NoSignal, message, stale: None });
        };
        let version = self.installed()?;
        let stale = || Some(Box::new(signal.clone()));
        Ok(match plan::judge(self.settings, &self.now_here(version.as_ref()), &signal) {
            Verdict::Install(target) => match self.older_commit(&target)? {
                None => Choice::Install(target),
                Some(message) => {
                    let halt = Halt::blocked(Reason::Downgrade, message);
                    Choice::Refuse { target, halt, stale: stale() }
                }
            },
            Verdict::Leave(reason, message) => Choice::Nothing { reason, message, stale: None },
            Verdict::Withdraw(reason, message) => Choice::Nothing { reason, message, stale: stale() },
            Verdict::Refuse(reason, message) => Choice::Refuse {
                target: Target::of(&signal),
                halt: Halt::blocked(reason, message),
                stale: stale(),
            },
        })
    }

    /// On alpha there are no versions to compare: older is what HEAD already contains.
    fn older_commit(&self, target: &Target) -> Result<Option<String>, Halt> {
        let contained = target.tag.is_none()
            && self.checkout.has(&target.commit)?
            && self.checkout.is_ancestor(&target.commit, self.checkout.commit())?;
        Ok(contained.then(|| {
            format!(
                "{} is older than the installed {}; with --allow-downgrade it is installed all the same",
                target.version,
                self.checkout.commit().short()
            )
        }))
    }

    fn asked_for(&self, target: &Target, request: &Request) -> Result<Choice, Halt> {
        if target.commit == *self.checkout.commit() {
            let message = format!("{} is installed already", target.version);
            return Ok(Choice::Nothing { reason: Reason::UpToDate, message, stale: None });
        }
        let version = self.installed()?;
        let refusal =
            plan::downgrade(&self.now_here(version.as_ref()), target).or(self.older_commit(target)?);
        Ok(match refusal.filter(|_| !request.allow_downgrade) {
            None => Choice::Install(target.clone()),
            Some(message) => Choice::Refuse {
                target: target.clone(),
                halt: Halt::blocked(Reason::Downgrade, message),
                stale: None,
            },
        })
    }

    fn now_here<'a>(&'a self, version: Option<&'a Version>) -> Installed<'a> {
        Installed { top: self.checkout.top(), commit: self.checkout.commit(), version }
    }

    /// The installed version on beta and stable.
    pub fn installed(&self) -> Result<Option<Version>, Halt> {
        let tags = self.checkout.tags_at(self.checkout.commit())?;
        Ok(installed_version(&tags, &Project::read(self.checkout.top())))
    }

    /// The version here as people know it: on alpha the commit.
    pub(super) fn label(&self, target: &Target, installed: Option<&Version>) -> String {
        let version = installed.filter(|_| target.tag.is_some());
        version.map_or_else(|| self.checkout.commit().short().to_owned(), Version::to_string)
    }
}

/// The target of a transaction.
pub(super) fn target_of(journal: &Journal) -> Target {
    Target {
        channel: journal.channel,
        version: journal.to.clone(),
        commit: journal.to_commit.clone(),
        tag: journal.tag.clone(),
        detected_at: journal.started_at,
        published_at: None,
    }
}
