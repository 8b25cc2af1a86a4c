//! A whole check: look, decide, publish or withdraw the signal, save what was learned, and tell.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::checkout::Checkout;
use crate::config::Settings;
use crate::home::Home;
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::signal::Signal;
use crate::sys::clock;
use crate::sys::env::Environment;

use super::look::{Found, Look};
use super::{Decision, Offer};

/// What a check works with.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The environment at the start.
    pub env: &'a Environment,
    /// The state home.
    pub home: &'a Home,
    /// The checkout.
    pub checkout: &'a Checkout,
    /// The settings.
    pub settings: &'a Settings,
    /// Now.
    pub now: Timestamp,
}

impl Check<'_> {
    /// Checks once. `available`: the exit code for an update that is available.
    pub fn run(&self, available: Exit) -> Result<Outcome, Halt> {
        let (found, saved) = self.look();
        let told = found.and_then(|found| self.act(&found, available));
        if let Err(halt) = saved {
            // The answer counts all the same: what is remembered can be learned again.
            crate::sys::warning::warn(&halt.message);
        }
        told.map_err(|halt| self.with_facts(halt))
    }

    fn look(&self) -> (Result<Found, Halt>, Result<(), Halt>) {
        let begun = Look::begin(self.checkout, self.settings, self.env, self.home, self.now);
        let mut look = match begun {
            Ok(look) => look,
            Err(halt) => return (Err(halt), Ok(())),
        };
        let found = look.decide();
        let answered = !matches!(&found, Err(halt) if halt.kind != Kind::Blocked);
        let saved = look.save(self.home, answered);
        (found, saved)
    }

    fn act(&self, found: &Found, available: Exit) -> Result<Outcome, Halt> {
        let mut outcome = match &found.decision {
            Decision::Available(offer) => self.publish(found, offer, available)?,
            Decision::UpToDate { message } => {
                Signal::withdraw_of(self.checkout.top(), self.home)?;
                Outcome::new(Exit::Done, "up_to_date", message).because(Reason::UpToDate)
            }
            Decision::Blocked { reason, message } => {
                Signal::withdraw_of(self.checkout.top(), self.home)?;
                return Err(Halt::blocked(*reason, message).with("current", found.current.clone()));
            }
        };
        if let Some(note) = &found.note {
            outcome.lines.push(note.clone());
            outcome.body.insert("note".into(), note.clone().into());
        }
        let mut body = self.facts();
        body.insert("current".into(), found.current.clone().into());
        body.insert("skipped_tags".into(), found.skipped_tags.into());
        body.extend(std::mem::take(&mut outcome.body));
        outcome.body = body;
        Ok(outcome)
    }

    fn publish(&self, found: &Found, offer: &Offer, available: Exit) -> Result<Outcome, Halt> {
        let (signal, _new) = self.signal(found, offer).publish(self.home)?;
        // Whoever is to be told of a new version beyond the file (other computers) is told here.
        let channel = self.settings.channel.name();
        let message = format!(
            "{} is available (installed {}, channel {channel}); apply-update installs it",
            signal.available, signal.current
        );
        let mut outcome = Outcome::new(available, "available", message);
        for (key, value) in [
            ("available", json!(signal.available)),
            ("available_commit", json!(signal.available_commit)),
            ("tag", json!(signal.tag)),
            ("source", json!(signal.source)),
            ("detected_at", json!(signal.detected_at)),
            ("published_at", json!(signal.published_at)),
            ("release_url", json!(signal.release_url)),
        ] {
            outcome.body.insert(key.to_owned(), value);
        }
        Ok(outcome.with("signal", path_text(self.home)))
    }

    fn signal(&self, found: &Found, offer: &Offer) -> Signal {
        Signal {
            schema: crate::sys::store::SCHEMA,
            current: found.current.clone(),
            available: offer.label.clone(),
            channel: self.settings.channel.name(),
            current_commit: self.checkout.commit().clone(),
            available_commit: offer.commit.clone(),
            tag: offer.tag.clone(),
            repo: self.checkout.top().to_owned(),
            source: offer.source.to_owned(),
            detected_at: self.now,
            published_at: offer.published_at,
            release_url: offer.release_url.clone(),
            extra: Map::new(),
        }
    }

    /// The keys that every result has, as far as they are known without the remote.
    fn facts(&self) -> Map<String, Value> {
        let signal = self.home.signal().path().exists().then(|| path_text(self.home));
        let mut facts = Map::new();
        for (key, value) in [
            ("channel", json!(self.settings.channel.name())),
            ("current", Value::Null),
            ("current_commit", json!(self.checkout.commit())),
            ("available", Value::Null),
            ("available_commit", Value::Null),
            ("tag", Value::Null),
            ("source", Value::Null),
            ("published_at", Value::Null),
            ("release_url", Value::Null),
            ("signal", json!(signal)),
            ("skipped_tags", json!(0)),
        ] {
            facts.insert(key.to_owned(), value);
        }
        facts
    }

    fn with_facts(&self, mut halt: Halt) -> Halt {
        let mut body = self.facts();
        body.extend(std::mem::take(&mut halt.details));
        halt.details = body;
        if halt.kind == Kind::Busy {
            // Somebody else writes the signal: for a check that is one more "not now".
            halt.kind = Kind::Unreachable;
        }
        halt
    }
}

fn path_text(home: &Home) -> String {
    home.signal().path().display().to_string()
}

/// Now, as our files have it: whole seconds.
pub fn now() -> Timestamp {
    let now = clock::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
