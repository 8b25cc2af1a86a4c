//! Waiting for a process: its output is drained, its deadline kept, a stop of ours passed on.

use std::fs::File;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal};

use super::pipe::{self, Pipe};
use super::signals::StopsNoted;
use super::{End, Finished, GRACE, ProcessMark, Progress, Redactor, Running, StepLog, mark, signals};
use crate::outcome::{Halt, Reason};

/// How often progress is told and, where no event says so, the process looked at.
const TICK: Duration = Duration::from_millis(100);
/// Output still read after the process ended; a background child may write for ever.
const AFTERGLOW: usize = 1 << 20;
/// How long a killed group may take to disappear.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// A pipe and what becomes of its bytes.
struct Source<'a> {
    pipe: Pipe,
    sink: &'a mut dyn FnMut(&[u8]),
}

impl Source<'_> {
    fn drain(&mut self, limit: usize) {
        self.pipe.drain(limit, self.sink);
    }
}

/// Follows `running` to its end and keeps standard output whole (up to `limit`) and the end of
/// standard error.
pub(super) fn capture(
    running: Running,
    out: Pipe,
    err: Pipe,
    deadline: Duration,
    limit: usize,
    redactor: &Redactor,
) -> anyhow::Result<Finished> {
    let mut stdout = Vec::new();
    let mut truncated = false;
    let mut tail = StepLog::in_memory(redactor);
    let mut keep = |bytes: &[u8]| {
        let room = limit.saturating_sub(stdout.len()).min(bytes.len());
        truncated |= room < bytes.len();
        stdout.extend_from_slice(&bytes[..room]);
    };
    let mut tell = |bytes: &[u8]| tail.push(bytes);
    let mut sources = [Source { pipe: out, sink: &mut keep }, Source { pipe: err, sink: &mut tell }];
    let (end, elapsed, left_writer) = run(running, &mut sources, deadline, &mut |_| {})?;
    tail.finish();
    Ok(Finished { end, stdout, tail: tail.told(), elapsed, truncated, left_writer })
}

/// Follows `running` to its end with all output going into `log`.
pub(super) fn logged(
    running: Running,
    out: Pipe,
    deadline: Duration,
    log: &mut StepLog,
    progress: Progress<'_>,
) -> anyhow::Result<Finished> {
    let shared = std::cell::RefCell::new(log);
    let mut push = |bytes: &[u8]| shared.borrow_mut().push(bytes);
    let mut sources = [Source { pipe: out, sink: &mut push }];
    let mut tick = |elapsed| progress(elapsed, shared.borrow().last_line());
    let (end, elapsed, left_writer) = run(running, &mut sources, deadline, &mut tick)?;
    let mut log = shared.borrow_mut();
    log.finish();
    Ok(Finished { end, stdout: Vec::new(), tail: log.told(), elapsed, truncated: false, left_writer })
}

fn run(
    mut running: Running,
    sources: &mut [Source<'_>],
    deadline: Duration,
    tick: &mut dyn FnMut(Duration),
) -> anyhow::Result<(End, Duration, Option<Arc<File>>)> {
    let began = Instant::now();
    let end = wait(running.child(), sources, began + deadline, &mut || tick(began.elapsed()));
    if end.as_ref().is_ok_and(|end| end.success()) {
        running.has_ended();
    } else {
        // What a failed command left behind would work against whatever comes next.
        running.end(GRACE).map_err(Halt::from)?;
    }
    let end = end?;
    drop(running);
    sources.iter_mut().for_each(|s| s.drain(AFTERGLOW));
    let left_writer = sources.iter_mut().find_map(|s| s.pipe.take()).map(Arc::new);
    Ok((end, began.elapsed(), left_writer))
}

/// Lets some time pass between two steps. A stop that comes meanwhile is told as if it had come in one.
pub fn pause(span: Duration) -> anyhow::Result<Option<i32>> {
    let _noted = StopsNoted::begin()?;
    let until = Instant::now() + span;
    loop {
        let stop = signals::take_stop();
        let left = until.saturating_duration_since(Instant::now());
        if stop.is_some() || left.is_zero() {
            return Ok(stop);
        }
        pipe::wait(std::iter::empty(), left);
    }
}

fn wait(
    child: &mut Child,
    sources: &mut [Source<'_>],
    deadline: Instant,
    tick: &mut dyn FnMut(),
) -> anyhow::Result<End> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a process")? {
            return Ok(end_of(status));
        }
        if let Some(number) = signals::take_stop() {
            return Ok(End::Interrupted(number));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(End::Deadline);
        }
        pipe::wait(sources.iter().map(|s| &s.pipe), left.min(TICK));
        sources.iter_mut().for_each(|s| s.drain(usize::MAX >> 1));
        tick();
    }
}

pub(super) fn end_of(status: std::process::ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap_or(0)),
    }
}

/// A process group that does not end: it belongs to another user (`sudo`), or hangs in the system.
/// Nothing may be begun that would work against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillRunning {
    /// Its number.
    pub group: u32,
}

impl From<StillRunning> for Halt {
    fn from(still: StillRunning) -> Self {
        let group = still.group;
        let message = format!(
            "process group {group} was to be ended and still runs: end it with 'kill -9 -{group}' as its user or root; \
             the next run goes on from there"
        );
        Self::blocked(Reason::InProgress, message)
    }
}

/// Ends a process group: TERM, `grace`, KILL. `child` is our own child at its head, where it is
/// one: without being reaped it would keep the group there.
pub fn end_group(group: u32, mut child: Option<&mut Child>, grace: Duration) -> Result<(), StillRunning> {
    let Some(pid) = number_of(group) else { return Ok(()) };
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, AFTER_KILL)] {
        // Whether that did anything is found out below.
        let _ = rustix::process::kill_process_group(pid, signal);
        let until = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        loop {
            let reaped = child.as_deref_mut().is_none_or(is_reaped);
            if !is_there(pid) {
                if reaped {
                    return Ok(());
                }
                // It does not head its group yet.
                child.as_deref_mut().map(Child::kill);
            }
            let late = Instant::now() >= until;
            // Asking is dear where there is no /proc.
            if (late || cfg!(target_os = "linux")) && is_there(pid) && !mark::has_living(group) {
                // One that was born while we looked.
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                return Ok(());
            }
            if late {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
    Err(StillRunning { group })
}

fn is_reaped(child: &mut Child) -> bool {
    // An error says that there is no such child any more.
    !matches!(child.try_wait(), Ok(None))
}

/// The number of a group that can be one of ours. Signals to "group 1" would go to everybody.
fn number_of(group: u32) -> Option<Pid> {
    i32::try_from(group).ok().filter(|number| *number > 1).and_then(Pid::from_raw)
}

/// Whether a group has any process, be it dead or another user's: a signal that is not permitted
/// has found somebody.
fn is_there(group: Pid) -> bool {
    rustix::process::test_kill_process_group(group) != Err(rustix::io::Errno::SRCH)
}

/// Ends what a dead run left of a step. Nothing is ended whose process number now belongs to
/// somebody else.
pub fn end_leftover(mark: &ProcessMark) -> Result<(), StillRunning> {
    if mark.is_of_another_boot() || mark.is_reused() {
        return Ok(());
    }
    end_group(mark.pid, None, GRACE)
}

/// Waits, for at most `patience`, until the dead of a group that was ended are reaped. Until then a
/// `kill -0` takes them for living.
pub fn await_reaped(mark: &ProcessMark, patience: Duration) {
    let Some(pid) = number_of(mark.pid) else { return };
    let until = Instant::now() + patience;
    while !mark.is_of_another_boot() && !mark.is_reused() && is_there(pid) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}
