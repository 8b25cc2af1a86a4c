//! A long-lived child that is talked to line by line: requests through its standard input,
//! answers through its standard output, everything else through standard error into a log. It
//! leads its own process group. When this program dies its input ends, which tells it to end too.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::pipe::{self, Pipe};
use super::{Announce, End, GRACE, Invocation, ProcessMark, Running, signals, wait};
use crate::outcome::Halt;
use crate::sys::failpoint;

/// How often the caller's tick runs while nothing is heard.
const TICK: Duration = Duration::from_millis(100);
/// Most bytes of log taken at one go; a background process may write for ever.
const LOG_AT_ONCE: usize = 1 << 20;
/// No answer is longer than this; a child that writes on and on without an end of line is ended.
const LONGEST_ANSWER: usize = 1 << 20;

/// The child.
#[derive(Debug)]
pub struct Session {
    running: Running,
    input: Option<std::fs::File>,
    answers: Pipe,
    log: Pipe,
    heard: Vec<u8>,
}

/// What waiting for an answer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer, without its end of line.
    Line(String),
    /// The child closed its output or ended.
    Ended,
    /// The time is over.
    Late,
    /// We were asked to stop by this signal; the child still runs.
    Stop(i32),
}

/// What the caller does while it waits.
pub struct Meanwhile<'a> {
    /// Takes what the child and its own children print.
    pub log: &'a mut dyn FnMut(&[u8]),
    /// Runs about ten times a second.
    pub tick: &'a mut dyn FnMut(),
}

impl Session {
    /// Starts `command`; with `announce`, its group is on record before anything is sent to it
    /// (it must do nothing until then). From here to its end, a stop is heard instead of ending
    /// this program.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn start(command: &Invocation, announce: Option<Announce<'_>>) -> anyhow::Result<Self> {
        let (answers, answers_writer) = pipe::pair()?;
        let (log, log_writer) = pipe::pair()?;
        failpoint::pass(&format!("session.start {}", command.argv[0].display()))?;
        let mut spawn = std::process::Command::new(&command.argv[0]);
        spawn.args(&command.argv[1..]).current_dir(&command.cwd).process_group(0);
        spawn.stdin(Stdio::piped()).stdout(answers_writer).stderr(log_writer);
        for (name, value) in &command.env {
            match value {
                Some(value) => spawn.env(name, value),
                None => spawn.env_remove(name),
            };
        }
        let mut running = Running::start(&mut spawn)
            .with_context(|| format!("cannot run {}", command.argv[0].display()))?;
        let input = running.child().stdin.take().map(|pipe| std::fs::File::from(OwnedFd::from(pipe)));
        let mut session = Self { running, input, answers, log, heard: Vec::new() };
        if let Some(announce) = announce {
            let mark = ProcessMark::of(session.running.id());
            if let Err(error) = announce(&mark) {
                // It does nothing yet.
                let _ = session.running.end(Duration::ZERO);
                return Err(error);
            }
            session.running.is_on_record();
            failpoint::pass(&format!("session.running {}", command.argv[0].display()))?;
        }
        Ok(session)
    }

    /// Sends bytes. A child that is gone shows when an answer is waited for.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input
            && input.write_all(bytes).is_err()
        {
            self.input = None;
        }
    }

    /// Waits for the next answer until `until`. What was printed before an answer is in the log
    /// before the answer is returned.
    pub fn hear(&mut self, until: Instant, meanwhile: &mut Meanwhile<'_>) -> anyhow::Result<Heard> {
        loop {
            let line = self.take_line();
            self.log.drain(LOG_AT_ONCE, meanwhile.log);
            if let Some(line) = line {
                return Ok(Heard::Line(line));
            }
            if !self.answers.is_open() || self.heard.len() > LONGEST_ANSWER {
                return Ok(Heard::Ended);
            }
            if let Some(number) = signals::take_stop() {
                return Ok(Heard::Stop(number));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Late);
            }
            self.wait(left.min(TICK));
            let heard = &mut self.heard;
            self.answers.drain(LONGEST_ANSWER, &mut |bytes| heard.extend_from_slice(bytes));
            (meanwhile.tick)();
        }
    }

    /// Ends it: its input closes; after `GRACE` its group is ended. Returns how it ended.
    pub fn end(&mut self) -> anyhow::Result<End> {
        self.input = None;
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if let Some(status) = self.running.child().try_wait().context("cannot wait for a process")? {
                self.running.has_ended();
                return Ok(wait::end_of(status));
            }
            self.log.drain(LOG_AT_ONCE, &mut |_| {});
            self.wait(Duration::from_millis(20));
        }
        self.running.end(Duration::ZERO).map_err(Halt::from)?;
        let status = self.running.child().wait().context("cannot wait for a process")?;
        Ok(wait::end_of(status))
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.heard.iter().position(|b| *b == b'\n')?;
        let line = String::from_utf8_lossy(&self.heard[..end]).into_owned();
        self.heard.drain(..=end);
        Some(line)
    }

    fn wait(&self, timeout: Duration) {
        pipe::wait([&self.answers, &self.log].into_iter(), timeout);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing is left to report to; what matters is that nothing stays behind.
        let _ = self.end();
    }
}
