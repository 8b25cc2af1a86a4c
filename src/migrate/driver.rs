//! The prepared Python interpreter: started once, it forks a process for each script. Owns the
//! conversation with `driver.py`; records nothing and chooses nothing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use super::result::Stage;
use super::tree::Script;
use crate::outcome::{Halt, Reason};
use crate::sys::process::{
    Announce, GRACE, Heard, Invocation, Meanwhile, ProcessMark, Redactor, Session, StepLog, end_group,
    end_leftover,
};

/// The program that stays, and forks.
pub const DRIVER: &str = include_str!("driver.py");

/// Says its version, then takes the real program from standard input. It runs under any Python,
/// and does nothing until that input comes.
const BOOT: &str = r#"
import os, sys
if sys.path and not sys.path[0]: del sys.path[0]
os.write(1, ("%d.%d.%d\n" % tuple(sys.version_info[:3])).encode("ascii"))
def take(size):
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part: os._exit(0)
        data += part
    return data
exec(compile(take(int(take(8))), "<migrations>", "exec"), {"__name__": "__migrations__", "__file__": "<migrations>"})
"#;

/// Isolated from the environment (`-E`): a module on `PYTHONPATH` that is named like one of the
/// standard library must not take the driver's place. The script's own process gets that path.
const FLAGS: &[&str] = &["-E", "-B", "-u", "-X", "utf8", "-c", BOOT];

/// The oldest Python that can run the driver.
const OLDEST: (u32, u32) = (3, 8);
/// An interpreter on a cold network disk takes its time.
const START: Duration = Duration::from_secs(60);
/// No script takes longer, whatever its timeout.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// More than the driver needs for TERM, grace and KILL; after that it is ended itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Python program that is fed through a pipe.
#[derive(Debug)]
pub struct Interpreter {
    session: Session,
    checkout: PathBuf,
    stopped: Option<i32>,
}

/// How a script is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which one.
    pub script: &'a Script,
    /// All its stages together.
    pub timeout: Duration,
    /// Only ask `check()`.
    pub only_check: bool,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `check()` was true before anything was done.
    Held,
    /// It was run (or, where only `check()` was asked, that was false).
    Done,
    /// It failed.
    Failed(Stage, String),
    /// We were asked to stop, and stopped it.
    Interrupted(Stage, i32),
}

/// Whom the driver asks before it goes on, and tells what is printed.
pub struct Hooks<'a> {
    /// The script's process is there and does nothing yet.
    pub ready: &'a mut dyn FnMut(&ProcessMark) -> Result<(), Halt>,
    /// `migrate()` is next.
    pub intend: &'a mut dyn FnMut(&ProcessMark) -> Result<(), Halt>,
    /// What the script prints.
    pub log: &'a mut dyn FnMut(&[u8]),
    /// About ten times a second.
    pub tick: &'a mut dyn FnMut(),
}

/// An answer of the driver.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Ready { ready: u32 },
    Stage { stage: Stage, ask: bool },
    End { end: End },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum End {
    Failed {
        failed: Stage,
        error: String,
        #[serde(default)]
        stopped: bool,
    },
    Done {
        held: bool,
    },
}

impl Interpreter {
    /// Starts `python` with `program`. The one start of Python in a run, and its probe: an
    /// interpreter that is absent, too old, or no Python at all is one clear error.
    pub fn start(
        python: &Path,
        checkout: &Path,
        program: &str,
        announce: Option<Announce<'_>>,
    ) -> Result<Self, Halt> {
        let argv: Vec<&OsStr> =
            [python.as_os_str()].into_iter().chain(FLAGS.iter().map(OsStr::new)).collect();
        let mut command = Invocation::new(&argv, checkout);
        // For a Python that a script starts.
        for name in ["PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"] {
            command = command.env(name, "1");
        }
        for name in ["PYTHONINSPECT", "PYTHONIOENCODING", "PYTHONSTARTUP"] {
            command = command.without_env(name);
        }
        let session = Session::start(&command, announce).map_err(|error| {
            // What the announcement could not do says nothing about the interpreter.
            let ours = error.downcast_ref::<Halt>().is_some();
            if ours { Halt::from(error) } else { no_python(python, &format!("{error:#}")) }
        })?;
        let mut interpreter = Self { session, checkout: checkout.to_owned(), stopped: None };
        interpreter.probe(python)?;
        interpreter.session.send(format!("{:08}{program}", program.len()).as_bytes());
        Ok(interpreter)
    }

    /// The signal that asked us to stop, where the script it was meant for was quicker.
    pub fn stopped(&self) -> Option<i32> {
        self.stopped
    }

    /// Sends a request and a line end.
    pub fn send(&mut self, request: &str) {
        self.session.send(format!("{request}\n").as_bytes());
    }

    /// The next answer, within `patience`; what is printed goes to `log`.
    pub fn answer(&mut self, patience: Duration, log: &mut dyn FnMut(&[u8])) -> anyhow::Result<Heard> {
        self.session.hear(Instant::now() + patience, &mut Meanwhile { log, tick: &mut || {} })
    }

    fn probe(&mut self, python: &Path) -> Result<(), Halt> {
        let mut said = StepLog::in_memory(&Redactor::default());
        let heard = self.answer(START, &mut |bytes| said.push(bytes))?;
        said.finish();
        let why = match heard {
            Heard::Line(version) => match parse_version(&version) {
                Some(found) if found >= OLDEST => return Ok(()),
                Some(_) => {
                    format!("it is Python {version}, and {}.{} or newer is needed", OLDEST.0, OLDEST.1)
                }
                None => "it is no Python".to_owned(),
            },
            Heard::Late => format!("it does not start within {} s", START.as_secs()),
            Heard::Stop(number) => return Err(interrupted(number)),
            Heard::Ended => match (self.session.end()?, said.last_line()) {
                (end, "") => format!("it ended with {end} at its start"),
                (end, line) => format!("it ended with {end} at its start: {line}"),
            },
        };
        Err(no_python(python, &why))
    }

    /// Runs one script to its end. An `Err` means that nothing is known about it; its processes
    /// are gone.
    pub fn run(&mut self, job: Job<'_>, hooks: &mut Hooks<'_>) -> Result<Ended, Halt> {
        let timeout = job.timeout.min(LONGEST);
        let name = job.script.path.strip_prefix(&self.checkout).unwrap_or(&job.script.path);
        let request = json!({
            "path": job.script.path, "name": name, "checkout": self.checkout,
            "timeout": timeout.as_secs_f64(), "grace": GRACE.as_secs_f64(), "only_check": job.only_check,
        });
        self.send(&request.to_string());
        let mut talk = Talk {
            group: None,
            stage: Stage::Import,
            until: Instant::now() + timeout + PATIENCE,
            stop: None,
        };
        let result = self.converse(&mut talk, hooks);
        self.stopped = talk.stop;
        if result.is_err() || matches!(result, Ok(None)) {
            // The driver did not end the script, or cannot be believed any more.
            let _ = self.session.end();
        }
        let passed = matches!(result, Ok(Some(Ended::Held | Ended::Done)));
        if let Some(group) = talk.group.filter(|_| !passed) {
            end_leftover(&group).or_else(|still| {
                // The next run looks for it before the script's second try.
                (hooks.intend)(&group)?;
                Err(Halt::from(still))
            })?;
        }
        Ok(match result? {
            Some(ended) => ended,
            None => Ended::Failed(talk.stage, "the interpreter that runs the scripts was ended".to_owned()),
        })
    }

    /// `None`: the driver is gone or does not answer.
    fn converse(&mut self, talk: &mut Talk, hooks: &mut Hooks<'_>) -> Result<Option<Ended>, Halt> {
        loop {
            let mut meanwhile = Meanwhile { log: hooks.log, tick: hooks.tick };
            match self.session.hear(talk.until, &mut meanwhile)? {
                Heard::Line(line) => {
                    let answer: Answer = serde_json::from_str(&line)
                        .with_context(|| format!("the migration driver said {line:?}"))?;
                    if let Some(ended) = self.react(answer, talk, hooks)? {
                        return Ok(Some(ended));
                    }
                }
                Heard::Stop(number) if talk.stop.is_none() => {
                    talk.stop = Some(number);
                    talk.until = Instant::now() + PATIENCE;
                    self.send("stop");
                }
                Heard::Stop(_) => talk.kill(),
                Heard::Ended | Heard::Late => return Ok(None),
            }
        }
    }

    fn react(
        &mut self,
        answer: Answer,
        talk: &mut Talk,
        hooks: &mut Hooks<'_>,
    ) -> Result<Option<Ended>, Halt> {
        match answer {
            Answer::Ready { ready } => {
                let mark = ProcessMark::of(ready);
                talk.group = Some(mark.clone());
                (hooks.ready)(&mark)?;
                self.send("go");
            }
            Answer::Stage { stage, ask } => {
                talk.stage = stage;
                if let (true, Some(group)) = (ask, &talk.group) {
                    (hooks.intend)(group)?;
                    self.send("go");
                }
            }
            Answer::End { end: End::Done { held } } => {
                return Ok(Some(if held { Ended::Held } else { Ended::Done }));
            }
            Answer::End { end: End::Failed { failed, error, stopped } } => {
                return Ok(Some(match talk.stop {
                    Some(number) if stopped => Ended::Interrupted(failed, number),
                    _ => Ended::Failed(failed, error),
                }));
            }
        }
        Ok(None)
    }
}

/// What is known while a script runs.
struct Talk {
    group: Option<ProcessMark>,
    stage: Stage,
    until: Instant,
    stop: Option<i32>,
}

impl Talk {
    /// A second Ctrl-C: no more grace.
    fn kill(&self) {
        if let Some(group) = self.group.as_ref().filter(|group| group.is_alive()) {
            // How that went shows when the script's end is looked at.
            let _ = end_group(group.pid, None, Duration::ZERO);
        }
    }
}

fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.split('.').map(str::parse);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
        (Ok(major), Ok(minor), Ok(_), None) => Some((major, minor)),
        _ => None,
    }
}

fn no_python(python: &Path, why: &str) -> Halt {
    let message = format!(
        "no Python for migrations: {} cannot be used: {why}; set deployment.python in config.yml or use --python",
        python.display()
    );
    Halt::blocked(Reason::NoPython, message)
}

/// We were asked to stop before anything was run.
fn interrupted(number: i32) -> Halt {
    Halt::failed(
        Reason::Interrupted,
        format!("stopped by signal {number} before anything was run; run it again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_is_a_version() {
        for (line, version) in [
            ("3.11.7", Some((3, 11))),
            ("2.7.18", Some((2, 7))),
            ("3.11", None),
            ("3.11.7.1", None),
            ("Python 3.11.7", None),
            ("", None),
        ] {
            assert_eq!(parse_version(line), version, "{line}");
        }
    }
}
