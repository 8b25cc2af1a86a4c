//! One look at the remote for this checkout: which branch tip or versions are on offer, and which
//! of them is meant. Asks and remembers; publishes nothing, changes nothing in the checkout.

use std::time::Duration;

use jiff::Timestamp;

use crate::checkout::Checkout;
use crate::config::{Channel, Settings, Source};
use crate::home::Home;
use crate::outcome::{Halt, Reason};
use crate::project::{Project, installed_version};
use crate::sys::env::Environment;
use crate::sys::git::Git;
use crate::version::{CommitId, Version};

use super::api;
use super::cache::WatchCache;
use super::choose::{self, Candidate, Offers, TargetFacts};
use super::limits::Gate;
use super::remote::{Deadline, Remote, network_git};
use super::{Decision, Offer, branch, releases, tags};

/// The installed version's tag is compared with the remote's this often although nothing changed.
const TAG_RECHECK: Duration = Duration::from_secs(60 * 60);

/// A look in progress.
#[derive(Debug)]
pub struct Look<'a> {
    checkout: &'a Checkout,
    settings: &'a Settings,
    remote: Remote,
    deadline: Deadline,
    now: Timestamp,
    /// What is remembered; to be saved whatever the look comes to.
    pub cache: WatchCache,
}

/// What a look comes to.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to do.
    pub decision: Decision,
    /// What is installed, for people: a version, else the first digits of the commit.
    pub current: String,
    /// Tags passed over because they name no version.
    pub skipped_tags: u64,
    /// How the answer was found, where that is worth a word.
    pub note: Option<String>,
}

/// Versions on offer and how they were found.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The versions.
    pub offers: Offers,
    /// `releases` or `tags`.
    pub source: &'static str,
    /// Whether the list may differ from the one seen at the last look.
    fresh: bool,
    note: Option<String>,
}

impl<'a> Look<'a> {
    /// Opens the remote and what is remembered of it.
    pub fn begin(
        checkout: &'a Checkout,
        settings: &'a Settings,
        env: &Environment,
        home: &Home,
        now: Timestamp,
    ) -> Result<Self, Halt> {
        let deadline = Deadline::starting_now(settings.timeouts.check);
        let remote = Remote::open(checkout, settings, env)?;
        let cache = WatchCache::load(home)?;
        Ok(Self { checkout, settings, remote, deadline, now, cache })
    }

    /// Looks at the channel and decides.
    pub fn decide(&mut self) -> Result<Found, Halt> {
        let mut found = match self.settings.channel {
            Channel::Alpha => self.follow_branch()?,
            Channel::Beta | Channel::Stable(_) => self.follow_versions()?,
        };
        if let Decision::Available(offer) = &mut found.decision
            && offer.published_at.is_none()
        {
            offer.published_at = self.committed_at(&offer.commit)?;
        }
        Ok(found)
    }

    /// The versions on offer, whatever is installed or pinned.
    pub fn offers(&mut self) -> Result<Listed, Halt> {
        if self.settings.channel == Channel::Alpha || self.settings.source == Source::Tags {
            let offers = tags::offers(&self.remote.all_tags(self.deadline)?);
            return Ok(Listed { offers, source: "tags", fresh: true, note: None });
        }
        match api::gate(self.settings, &mut self.cache, self.now) {
            Gate::ClosedUntil(at) => Err(api::closed(self.settings, at)),
            Gate::AskGit => self.offers_near_the_limit(),
            Gate::Open => {
                let listing = api::list(self.settings, &mut self.cache, self.deadline, self.now)?;
                let offers = releases::offers(listing.releases.iter());
                Ok(Listed { offers, source: "releases", fresh: listing.fresh, note: None })
            }
        }
    }

    /// One version on offer with its tag and commit, for `--to`. `typed`: as a person wrote it; a
    /// tag of exactly that name comes first.
    pub fn resolve(&mut self, version: &Version, typed: &str) -> Result<Offer, Halt> {
        let listed = self.offers()?;
        let wanted: Vec<_> = listed
            .offers
            .candidates
            .into_iter()
            .filter(|c| c.version.cmp_precedence(version).is_eq())
            .filter(|c| !version.has_build() || c.version == *version)
            .collect();
        // A version that a person names may be a prerelease: any of that version will do.
        let found = wanted.iter().find(|c| c.tag == typed);
        let found = found.or_else(|| choose::choose(Channel::Beta, &wanted, Some(version)));
        let found =
            found.or_else(|| wanted.iter().find(|c| c.version == *version)).or_else(|| wanted.first());
        let chosen = found.cloned().ok_or_else(|| {
            Halt::failed(Reason::UnknownVersion, format!("{version} is not on offer at {}", self.remote.url))
        })?;
        let commit = self.commit_of(&chosen)?;
        match self.judge(&chosen, &commit, None, listed.source)? {
            Decision::Blocked { reason, message } => Err(Halt::blocked(reason, message)),
            _ => Ok(offer_of(&chosen, &commit, listed.source)),
        }
    }

    /// Saves what was learned. `answered`: whether the remote could be asked.
    pub fn save(mut self, home: &Home, answered: bool) -> Result<(), Halt> {
        self.cache.checked_at = Some(self.now);
        self.cache.failures = if answered { 0 } else { self.cache.failures.saturating_add(1) };
        self.cache.save(home)
    }

    fn follow_branch(&mut self) -> Result<Found, Halt> {
        let name = &self.settings.branch;
        let facts = branch::look(self.checkout, &self.remote, name, &self.cache, self.deadline)?;
        self.cache.branches.insert(branch::mark_key(&self.remote.url, name), branch::remember(&facts));
        let current = facts.head.short().to_owned();
        Ok(Found { decision: branch::decide(&facts), current, skipped_tags: 0, note: None })
    }

    fn follow_versions(&mut self) -> Result<Found, Halt> {
        let tags_here = self.checkout.tags_at(self.checkout.commit())?;
        let installed = installed_version(&tags_here, &Project::read(self.checkout.top()));
        let listed = self.offers()?;
        let chosen =
            choose::choose(self.settings.channel, &listed.offers.candidates, installed.as_ref()).cloned();
        let decision = match &chosen {
            None => Decision::up_to_date(self.nothing_on_offer()),
            Some(chosen) => self.decide_on(chosen, installed.as_ref(), &listed)?,
        };
        if let Some(url) = (listed.source == "tags").then(|| self.remote.url.clone()) {
            self.remember_offered(&url, &listed.offers.candidates, installed.as_ref());
        }
        let current = installed.map_or_else(|| self.checkout.commit().short().to_owned(), |v| v.to_string());
        Ok(Found { decision, current, skipped_tags: listed.offers.skipped_tags, note: listed.note })
    }

    fn decide_on(
        &mut self,
        chosen: &Candidate,
        installed: Option<&Version>,
        listed: &Listed,
    ) -> Result<Decision, Halt> {
        if choose::is_older(chosen, installed) {
            return Ok(Decision::up_to_date(self.older_on_offer(chosen, installed)));
        }
        let same = installed.is_some_and(|i| chosen.version.cmp_precedence(i).is_eq());
        if same && chosen.commit.is_none() {
            return self.recheck_installed(chosen, installed, listed);
        }
        let commit = self.commit_of(chosen)?;
        self.judge(chosen, &commit, installed, listed.source)
    }

    /// The highest version is the installed one: whether its tag moved is worth a question only
    /// where something changed, or now and then.
    fn recheck_installed(
        &mut self,
        chosen: &Candidate,
        installed: Option<&Version>,
        listed: &Listed,
    ) -> Result<Decision, Halt> {
        let age =
            self.cache.tags_checked_at.and_then(|at| Duration::try_from(self.now.duration_since(at)).ok());
        let due = listed.fresh || age.is_none_or(|age| age >= TAG_RECHECK);
        let asked = if due { self.remote.tag_target(&chosen.tag, self.deadline)? } else { None };
        match asked {
            Some(commit) => {
                self.cache.tags_checked_at = Some(self.now);
                self.judge(chosen, &commit, installed, listed.source)
            }
            None => {
                let installed = installed.unwrap_or(&chosen.version);
                Ok(Decision::up_to_date(choose::equally_new(&chosen.version, installed)))
            }
        }
    }

    fn judge(
        &mut self,
        chosen: &Candidate,
        commit: &CommitId,
        installed: Option<&Version>,
        source: &'static str,
    ) -> Result<Decision, Halt> {
        let url = self.remote.url.clone();
        // What is checked out is not asked for its tag here.
        let local = if commit == self.checkout.commit() { None } else { self.local_tag(&chosen.tag)? };
        let decision = choose::decide(&TargetFacts {
            top: &self.checkout.top().display().to_string(),
            head: self.checkout.commit(),
            installed,
            chosen,
            commit,
            seen: self.cache.seen_tag(&url, &chosen.tag),
            local: local.as_ref(),
            source,
        });
        self.remember_tag(&url, &chosen.tag, commit);
        Ok(decision)
    }

    /// The first commit a tag was seen at stays on record; only a checkout that is at the new one
    /// says that a person accepted a move.
    fn remember_tag(&mut self, url: &str, tag: &str, commit: &CommitId) {
        if self.cache.seen_tag(url, tag).is_none() || commit == self.checkout.commit() {
            self.cache.remember_tag(url, tag, commit);
        }
    }

    fn remember_offered(&mut self, url: &str, candidates: &[Candidate], installed: Option<&Version>) {
        for candidate in candidates.iter().filter(|c| !choose::is_older(c, installed)) {
            if let Some(commit) = &candidate.commit {
                self.remember_tag(url, &candidate.tag, commit);
            }
        }
    }

    /// Tags instead of releases: what the owner marked as draft or prerelease, or withdrew, is
    /// left out as far as the last list says so.
    fn offers_near_the_limit(&self) -> Result<Listed, Halt> {
        let known = || self.cache.api.pages.values().flat_map(|page| &page.releases);
        let mut offers = tags::offers(&self.remote.all_tags(self.deadline)?);
        offers.candidates.retain(|candidate| {
            let unready = known().any(|r| r.tag == candidate.tag && (r.draft || r.prerelease));
            !unready && !self.cache.api.withdrawn.contains(&candidate.tag)
        });
        let known: Vec<_> = known().cloned().collect();
        releases::adorn(&mut offers.candidates, &known);
        let note = format!(
            "asked git for tags: without a token the quota of {} is nearly used up (set GITHUB_TOKEN)",
            self.settings.api_url
        );
        Ok(Listed { offers, source: "tags", fresh: true, note: Some(note) })
    }

    fn commit_of(&mut self, chosen: &Candidate) -> Result<CommitId, Halt> {
        if let Some(commit) = &chosen.commit {
            return Ok(commit.clone());
        }
        let found = self.remote.tag_target(&chosen.tag, self.deadline)?;
        self.cache.tags_checked_at = Some(self.now);
        found.ok_or_else(|| {
            Halt::unreachable(
                Reason::TagMissing,
                format!(
                    "{} is released, but its tag {} is not at {} (yet): looking again at the next check",
                    chosen.version, chosen.tag, self.remote.url
                ),
            )
        })
    }

    fn local_tag(&self, tag: &str) -> anyhow::Result<Option<CommitId>> {
        let name = format!("refs/tags/{tag}^{{commit}}");
        let finished = self.checkout.git().run(&["rev-parse", "--verify", "--quiet", &name])?;
        Ok(CommitId::parse(String::from_utf8_lossy(&finished.stdout).trim()))
    }

    /// When a commit that is here was made.
    fn committed_at(&self, commit: &CommitId) -> anyhow::Result<Option<Timestamp>> {
        if !self.checkout.has(commit)? {
            return Ok(None);
        }
        let text = self.checkout.git().text(&["show", "--no-patch", "--format=%cI", commit.as_str()])?;
        Ok(text.parse().ok())
    }

    fn nothing_on_offer(&self) -> String {
        match self.settings.channel {
            Channel::Stable(pinned) => format!("no version {pinned}.x is on offer (deployment.pinned_minor)"),
            _ => "no version is on offer".to_owned(),
        }
    }

    fn older_on_offer(&self, chosen: &Candidate, installed: Option<&Version>) -> String {
        let text = choose::no_downgrade(&chosen.version, installed);
        match (self.settings.channel, installed) {
            (Channel::Stable(pinned), Some(installed)) if installed.minor() != pinned => {
                format!(
                    "{text}; stable is pinned to {pinned} and never goes back: set deployment.pinned_minor to {}",
                    installed.minor()
                )
            }
            _ => text,
        }
    }
}

fn offer_of(chosen: &Candidate, commit: &CommitId, source: &'static str) -> Offer {
    Offer {
        label: chosen.version.to_string(),
        commit: commit.clone(),
        tag: Some(chosen.tag.clone()),
        source,
        published_at: chosen.published_at,
        release_url: chosen.release_url.clone(),
    }
}

/// What the applier needs to know of the remote before it fetches.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// git for talking to it.
    pub git: Git,
    /// alpha: the commits seen on its branch so far, which its tip is to continue.
    pub seen: Vec<CommitId>,
}

/// Asks the local configuration and what is remembered; the remote itself is not asked.
pub fn upstream(
    checkout: &Checkout,
    settings: &Settings,
    env: &Environment,
    home: &Home,
) -> Result<Upstream, Halt> {
    let (git, url) = network_git(checkout, settings, env)?;
    let seen = match url.filter(|_| settings.channel == Channel::Alpha) {
        Some(url) => {
            let remote = (settings.remote.as_str(), url.as_str());
            branch::seen_before(checkout, remote, &settings.branch, &WatchCache::load(home)?)?
        }
        None => Vec::new(),
    };
    Ok(Upstream { git, seen })
}
