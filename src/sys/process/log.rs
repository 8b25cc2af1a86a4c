//! A step's log: redacted, bounded (the head and the tail are kept, the middle is counted), and
//! drained for as long as the step writes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Redactor;
use crate::sys::{failpoint, plain};

/// Bytes kept from the beginning of a step's output.
const HEAD: usize = 192 << 10;
/// Bytes kept from its end.
const TAIL: usize = 64 << 10;
/// A line without an end is passed on after this many bytes.
const LINE: usize = 16 << 10;
/// More than any secret is long; kept back at a cut, so that none is cut in two.
const OVERLAP: usize = 1 << 10;
/// Lines told in an error.
const TOLD: usize = 20;

/// The log of one step.
#[derive(Debug)]
pub struct StepLog {
    file: Option<File>,
    path: PathBuf,
    redactor: Redactor,
    pending: Vec<u8>,
    written: usize,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: usize,
    told: VecDeque<String>,
}

impl StepLog {
    /// A log at `path`, which is appended to when it is there.
    pub fn create(path: &Path, redactor: &Redactor) -> anyhow::Result<Self> {
        let file = failpoint::pass(&format!("log.create {}", path.display()))
            .and_then(|()| plain::options().create(true).append(true).mode(0o600).open(path))
            .with_context(|| format!("cannot write the log {}", path.display()))?;
        let mut log = Self::in_memory(redactor);
        log.file = Some(file);
        path.clone_into(&mut log.path);
        Ok(log)
    }

    /// A log that is only told from, never stored.
    pub fn in_memory(redactor: &Redactor) -> Self {
        Self {
            file: None,
            path: PathBuf::new(),
            redactor: redactor.clone(),
            pending: Vec::new(),
            written: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            told: VecDeque::new(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes output as it comes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(end) = self.pending[start..].iter().position(|b| *b == b'\n') {
            let line = self.redactor.clean_bytes(&self.pending[start..=start + end]);
            start += end + 1;
            self.keep(line);
        }
        self.pending.drain(..start);
        if self.pending.len() > LINE + OVERLAP {
            self.cut_long_line();
        }
    }

    /// Writes what was kept back; to be called when the step is over.
    pub fn finish(&mut self) {
        if !self.pending.is_empty() {
            let rest = std::mem::take(&mut self.pending);
            let line = self.redactor.clean_bytes(&rest);
            self.keep(line + "\n");
        }
        if self.left_out > 0 {
            let note = format!("[… {} bytes left out …]\n", self.left_out);
            self.store(note.as_bytes());
        }
        for line in std::mem::take(&mut self.tail) {
            self.store(line.as_bytes());
        }
        self.tail_bytes = 0;
        self.left_out = 0;
    }

    /// The last output line so far.
    pub fn last_line(&self) -> &str {
        self.told.back().map_or("", String::as_str)
    }

    /// The last lines, for an error.
    pub fn told(&self) -> String {
        self.told.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn cut_long_line(&mut self) {
        // Cleaning the whole first makes sure that no secret straddles the cut.
        let cleaned = self.redactor.clean_bytes(&self.pending).into_bytes();
        let cut = cleaned.len().saturating_sub(OVERLAP);
        let head = String::from_utf8_lossy(&cleaned[..cut]).into_owned();
        self.pending = cleaned[cut..].to_vec();
        self.keep(head + "\n");
    }

    fn keep(&mut self, line: String) {
        let shown = line.trim_end();
        if !shown.is_empty() {
            if self.told.len() == TOLD {
                self.told.pop_front();
            }
            self.told.push_back(shown.chars().take(500).collect());
        }
        if self.written + line.len() <= HEAD && self.tail.is_empty() {
            self.written += line.len();
            self.store(line.as_bytes());
            return;
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > TAIL {
            let Some(dropped) = self.tail.pop_front() else { break };
            self.tail_bytes -= dropped.len();
            self.left_out += dropped.len();
        }
    }

    fn store(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            // A full disk must not stop the step whose output this is.
            let _ = file.write_all(bytes);
        }
    }
}

impl Drop for StepLog {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_and_the_middle_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = StepLog::create(&path, &Redactor::default()).unwrap();
        for n in 0..100_000 {
            log.push(format!("line {n}\n").as_bytes());
        }
        log.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < HEAD + TAIL + 100, "{}", text.len());
        assert!(text.starts_with("line 0\nline 1\n"));
        assert!(text.ends_with("line 99998\nline 99999\n"));
        assert!(text.contains("bytes left out"));
        assert_eq!(log.last_line(), "line 99999");
    }

    #[test]
    fn a_secret_is_masked_wherever_the_chunks_are_cut() {
        let secret = "super-secret-token";
        let text = format!("{}{secret}{}", "x".repeat(20_000), "y".repeat(20_000));
        for cut in [19_990, 20_000, 20_005, 20_018] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let mut log = StepLog::create(&path, &Redactor::new([secret.to_owned()])).unwrap();
            log.push(&text.as_bytes()[..cut]);
            log.push(&text.as_bytes()[cut..]);
            log.finish();
            let stored = std::fs::read_to_string(&path).unwrap().replace('\n', "");
            assert!(!stored.contains(secret) && stored.contains("***"), "cut at {cut}");
        }
    }
}
