//! What people see while an update runs: on a terminal one live line for the current step with its
//! elapsed time and last output; elsewhere, with `--verbose`, one line as each step begins.

use std::io::Write;
use std::time::{Duration, Instant};

/// How often the live line is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// Width of the live line; narrower terminals cut it themselves.
const WIDTH: usize = 78;

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nowhere.
    Silent,
    /// A line for each step.
    Lines,
    /// A live line.
    Live,
}

/// The progress of one run.
#[derive(Debug)]
pub struct Progress {
    mode: Mode,
    step: String,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Progress in this mode.
    pub fn new(mode: Mode) -> Self {
        Self { mode, step: String::new(), began: Instant::now(), drawn: None }
    }

    /// A step begins.
    pub fn phase(&mut self, step: &str) {
        self.close();
        step.clone_into(&mut self.step);
        self.began = Instant::now();
        if self.mode == Mode::Lines {
            put(&format!("{step} …\n"));
        }
    }

    /// The step goes on.
    pub fn tick(&mut self, elapsed: Duration, line: &str) {
        let due = self.drawn.is_none_or(|at| at.elapsed() >= REDRAW);
        if self.mode != Mode::Live || !due {
            return;
        }
        self.drawn = Some(Instant::now());
        let plain: String = line.chars().filter(|c| !c.is_control()).collect();
        let text = format!("{}  {:.1} s  {plain}", self.step, elapsed.as_secs_f64());
        put(&format!("\r\x1b[K{}", text.chars().take(WIDTH).collect::<String>()));
    }

    /// The last step is over.
    pub fn close(&mut self) {
        if self.mode == Mode::Live && !self.step.is_empty() {
            put(&format!("\r\x1b[K{}  {:.1} s\n", self.step, self.began.elapsed().as_secs_f64()));
        }
        self.step.clear();
        self.drawn = None;
    }
}

fn put(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal that went away must not stop an update.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
