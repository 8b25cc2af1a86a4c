//! What a person does to the record by hand: mark, unmark, accept. Runs nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::MigrationId;
use super::book::Book;
use super::state::{Record, Status};
use super::tree::{FOLDER, Script, Tree, find};
use crate::home::Home;
use crate::outcome::{Exit, Halt, Kind, Outcome, Reason};
use crate::sys::clock;
use crate::sys::store::JsonFile;
use crate::version::CommitId;

/// Where, which script, and why.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Top level of the checkout.
    pub checkout: &'a Path,
    /// HEAD, for the record.
    pub commit: &'a CommitId,
    /// The state home.
    pub home: &'a Home,
    /// The id as it was typed.
    pub id: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// How long to wait for a run.
    pub wait: Duration,
}

impl Change<'_> {
    /// Puts a script on record without running it.
    pub fn mark(&self) -> Result<Outcome, Halt> {
        let (file, scripts, id) = self.rooms()?;
        let script = find(&scripts, &id).ok_or_else(|| unknown(&id, &scripts))?;
        let mut book = self.open(&file)?;
        if book.state.has(&id) {
            return Ok(nothing(&id, &format!("{id} is on record already")));
        }
        let record = Record {
            status: Status::Marked.word().to_owned(),
            when: clock::now_rfc3339(),
            sha256: Some(script.fingerprint()?),
            commit: Some(self.commit.as_str().to_owned()),
            reason: self.reason.map(str::to_owned),
            ..Record::default()
        };
        book.state.put(&id.to_string(), record);
        self.write(book, &id, &format!("{id} is on record as marked; it will not be run"))
    }

    /// Takes a script off the record.
    pub fn unmark(&self) -> Result<Outcome, Halt> {
        let (file, scripts, id) = self.rooms()?;
        let mut book = self.open(&file)?;
        if !book.state.forget(&id.to_string()) {
            find(&scripts, &id).ok_or_else(|| unknown(&id, &scripts))?;
            return Ok(nothing(&id, &format!("{id} is not on record")));
        }
        let unmarked = json!({"when": clock::now_rfc3339(), "reason": self.reason});
        book.state.unmarked.insert(id.to_string(), unmarked);
        let below = book.state.baseline.as_ref().filter(|baseline| id.version() <= *baseline);
        let next = match (below, find(&scripts, &id)) {
            (Some(baseline), _) => {
                format!("it is not above the baseline {baseline}, so only --from can make it run")
            }
            (None, None) => "it is not in the checkout, so it will not be run".to_owned(),
            (None, Some(_)) => "the next run asks its check() again".to_owned(),
        };
        self.write(book, &id, &format!("{id} is off the record; {next}"))
    }

    /// Takes the present text of a script on record as the right one.
    pub fn accept(&self) -> Result<Outcome, Halt> {
        let (file, scripts, id) = self.rooms()?;
        let script = find(&scripts, &id).ok_or_else(|| unknown(&id, &scripts))?;
        let sha256 = script.fingerprint()?;
        let mut book = self.open(&file)?;
        if !book.state.has(&id) {
            let message = format!("{id} is not on record, so there is nothing to accept; run it, or mark it");
            return Err(Halt::new(Kind::Invalid, Reason::UnknownMigration, message));
        }
        let record = book.state.records.entry(id.to_string()).or_default();
        if record.sha256.as_ref() == Some(&sha256) {
            return Ok(nothing(&id, &format!("{id} has not changed")));
        }
        let accepted = json!({"when": clock::now_rfc3339(), "reason": self.reason, "before": record.sha256});
        record.sha256 = Some(sha256);
        record.extra.insert("accepted".to_owned(), accepted);
        if record.status.is_empty() {
            // A record of the host's earlier tool has no more than the id.
            Status::Applied.word().clone_into(&mut record.status);
        }
        self.write(book, &id, &format!("the present text of {id} is accepted"))
    }

    fn rooms(&self) -> Result<(JsonFile, Vec<Script>, MigrationId), Halt> {
        let scripts = Tree::read(self.checkout)?.scripts;
        let text = self.id.trim().trim_start_matches("./");
        let text = text.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        let id = MigrationId::parse(text).ok_or_else(|| not_an_id(self.id))?;
        Ok((self.home.migration_state(), scripts, id))
    }

    fn open<'f>(&self, file: &'f JsonFile) -> Result<Book<'f>, Halt> {
        let mut book = Book::open(file, self.wait)?;
        if !book.fresh && !book.state.is_virgin() {
            book.state.complete_older();
        }
        Ok(book)
    }

    fn write(&self, mut book: Book<'_>, id: &MigrationId, message: &str) -> Result<Outcome, Halt> {
        book.write()?;
        book.close()?;
        Ok(Outcome::new(Exit::Done, "ok", message).with("id", id.to_string()).with("why", self.reason))
    }
}

fn nothing(id: &MigrationId, message: &str) -> Outcome {
    Outcome::new(Exit::Done, "nothing", message).with("id", id.to_string())
}

fn not_an_id(text: &str) -> Halt {
    let message = format!("{text:?} is no migration's id; one looks like 1.3.0/001_description.py");
    Halt::new(Kind::Invalid, Reason::UnknownMigration, message)
}

fn unknown(id: &MigrationId, scripts: &[Script]) -> Halt {
    let wanted = id.to_string();
    let near = scripts
        .iter()
        .map(|script| script.id.to_string())
        .map(|known| (strsim::damerau_levenshtein(&known, &wanted), known))
        .min()
        .filter(|(distance, _)| *distance <= wanted.len() / 3);
    let hint = near.map(|(_, known)| format!("; did you mean {known}?")).unwrap_or_default();
    Halt::new(Kind::Invalid, Reason::UnknownMigration, format!("there is no migration {id}{hint}"))
}
