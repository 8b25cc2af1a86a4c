//! The scripts of one run, one after the other: intent before, record after, log beside.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::book::Book;
use super::driver::{Ended, Hooks, Interpreter, Job};
use super::logs::ScriptLogs;
use super::result::{Failure, Stage};
use super::state::{Intent, Record, Status};
use super::tree::{Script, find};
use super::{Event, MigrationId, Request, RunResult, Watcher};
use crate::outcome::{Halt, Reason};
use crate::sys::clock;

/// Everything that running needs.
pub(super) struct Batch<'a, 'b, 'w> {
    pub(super) request: &'a Request<'a>,
    pub(super) scripts: &'a [Script],
    pub(super) book: &'a mut Book<'b>,
    pub(super) python: &'a mut Interpreter,
    pub(super) watcher: &'a mut Watcher<'w>,
}

/// How one script went.
enum Went {
    OnRecord(Status, Duration),
    Failed(Failure),
}

impl Batch<'_, '_, '_> {
    /// Runs `result.pending` in order until one fails; moves the others to where they belong.
    pub(super) fn run(&mut self, result: &mut RunResult) {
        let mut logs = ScriptLogs::new(self.request.logs, self.request.redactor);
        let interrupted = self.book.state.intent.as_ref().map(|intent| intent.id.clone());
        let pending = std::mem::take(&mut result.pending);
        let of = pending.len();
        for (at, id) in pending.iter().enumerate() {
            (self.watcher.tell)(Event::Begins { id, nth: at + 1, of });
            let recovers = interrupted.as_deref() == Some(&id.to_string());
            match self.one(id, recovers, &mut logs) {
                Went::OnRecord(status, elapsed) => {
                    (self.watcher.tell)(Event::Done { id, status: status.word(), elapsed });
                    let list = if status == Status::Applied { &mut result.ran } else { &mut result.skipped };
                    list.push(id.clone());
                }
                Went::Failed(failure) => {
                    result.failed = Some(failure);
                    result.pending = pending[at..].to_vec();
                    break;
                }
            }
        }
        result.skipped.sort();
        logs.end();
    }

    fn one(&mut self, id: &MigrationId, recovers: bool, logs: &mut ScriptLogs<'_>) -> Went {
        let began = Instant::now();
        logs.begin(id);
        if let Some(number) = self.python.stopped() {
            return failed(id, logs, Stage::Import, &stopped_by(number), Reason::Interrupted);
        }
        let done = self.attempt(id, logs).and_then(|(ended, sha256)| match ended {
            Ended::Held if recovers => Ok((Some(Status::Recovered), sha256, ended)),
            Ended::Held => Ok((Some(Status::AlreadyApplied), sha256, ended)),
            Ended::Done => Ok((Some(Status::Applied), sha256, ended)),
            Ended::Failed(..) => self.book.drop_intent().map(|()| (None, sha256, ended)),
            Ended::Interrupted(..) => Ok((None, sha256, ended)),
        });
        let (stage, error, reason) = match done {
            Ok((Some(status), sha256, _)) => match self.record(id, status, began.elapsed(), sha256) {
                Ok(()) => {
                    logs.close();
                    return Went::OnRecord(status, began.elapsed());
                }
                Err(halt) => (Stage::Verify, halt.message, halt.reason),
            },
            Ok((None, _, Ended::Failed(stage, error))) => (stage, error, Reason::MigrationFailed),
            Ok((None, _, Ended::Interrupted(stage, number))) => {
                (stage, stopped_by(number), Reason::Interrupted)
            }
            Ok(_) => (Stage::Import, "it ended in a way nobody knows".to_owned(), Reason::MigrationFailed),
            Err(halt) => (Stage::Import, halt.message, halt.reason),
        };
        failed(id, logs, stage, &self.request.redactor.clean(&error), reason)
    }

    /// Runs the script; also returns the fingerprint of what was run.
    fn attempt(&mut self, id: &MigrationId, logs: &mut ScriptLogs<'_>) -> Result<(Ended, String), Halt> {
        let script = find(self.scripts, id).ok_or_else(|| {
            Halt::failed(Reason::UnknownMigration, format!("{id} is not in the checkout any more"))
        })?;
        let sha256 = script.fingerprint()?;
        let began = Instant::now();
        let book = RefCell::new(&mut *self.book);
        let logs = RefCell::new(logs);
        let tell = &mut self.watcher.tell;
        let mut hooks = Hooks {
            ready: &mut |group| Ok(book.borrow_mut().running(Intent::now(id, group))?),
            intend: &mut |group| book.borrow_mut().intend(Intent::now(id, group)),
            log: &mut |bytes| logs.borrow_mut().push(bytes),
            tick: &mut || {
                let logs = logs.borrow();
                tell(Event::Goes { id, elapsed: began.elapsed(), line: logs.last_line() });
            },
        };
        let job = Job { script, timeout: self.request.timeout, only_check: false };
        Ok((self.python.run(job, &mut hooks)?, sha256))
    }

    fn record(
        &mut self,
        id: &MigrationId,
        status: Status,
        took: Duration,
        sha256: String,
    ) -> Result<(), Halt> {
        let record = Record {
            status: status.word().to_owned(),
            when: clock::now_rfc3339(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            sha256: Some(sha256),
            commit: self.request.commit.map(|commit| commit.as_str().to_owned()),
            ..Record::default()
        };
        self.book.record(&id.to_string(), record)
    }
}

fn failed(id: &MigrationId, logs: &mut ScriptLogs<'_>, stage: Stage, error: &str, reason: Reason) -> Went {
    let log = logs.close_failed(error);
    Went::Failed(Failure { id: id.clone(), stage, error: error.to_owned(), log, reason })
}

fn stopped_by(number: i32) -> String {
    format!("stopped by signal {number}")
}
