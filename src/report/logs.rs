//! The folder of step logs: where a run's logs go, and how old ones go away. Owns the names in
//! `logs/deployment`; a file there that is not named this way is never touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;

use crate::home::{Home, make_private_dir};

/// Runs whose logs are kept.
const KEPT_RUNS: usize = 20;
/// Bytes kept in all.
const KEPT_BYTES: u64 = 5 << 20;
/// Room a new run finds; a run that writes more makes room itself with [`RunLogs::prune`].
const RESERVE: u64 = 2 << 20;

/// Where one run puts its logs: `<stamp>-<pid>-<program>-<step>.log`.
#[derive(Clone, Debug)]
pub struct RunLogs {
    dir: PathBuf,
    run: String,
    program: String,
}

impl RunLogs {
    /// Makes the folder where it is missing, and room for a new run of `program`.
    pub fn create(home: &Home, now: Timestamp, program: &str) -> anyhow::Result<Self> {
        let logs = Self::plan(home, now, program);
        logs.prepare()?;
        Ok(logs)
    }

    /// Makes the folder where it is missing, and room for this run.
    pub fn prepare(&self) -> anyhow::Result<()> {
        make_private_dir(&self.dir)?;
        prune(&self.dir, KEPT_RUNS - 1, KEPT_BYTES - RESERVE, Some(&self.run))
    }

    /// The same names, with nothing made or removed yet; for a run that may turn out to have no
    /// logs.
    pub fn plan(home: &Home, now: Timestamp, program: &str) -> Self {
        let run = format!("{}-{}", now.strftime("%Y%m%dT%H%M%SZ"), std::process::id());
        Self { dir: home.logs(), run, program: program.to_owned() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log of one step. Characters that do not belong into a file name become `_`.
    pub fn step(&self, step: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let step: String = step.chars().map(plain).take(100).collect();
        self.dir.join(format!("{}-{}-{step}.log", self.run, self.program))
    }

    /// Brings the folder within its limits; logs of this run go last. For the end of a run, and
    /// for a run with very many steps.
    pub fn prune(&self) -> anyhow::Result<()> {
        prune(&self.dir, KEPT_RUNS, KEPT_BYTES, Some(&self.run))
    }
}

/// One run's files, oldest first, with their sizes.
type Files = Vec<(PathBuf, u64)>;

/// Removes the oldest runs until at most `runs` and `bytes` are left; `own` goes last and keeps
/// its newest file.
fn prune(dir: &Path, runs: usize, bytes: u64, own: Option<&str>) -> anyhow::Result<()> {
    let mut kept = by_run(dir)?;
    let mine = own.and_then(|name| kept.remove(name));
    let runs = runs.saturating_sub(usize::from(mine.is_some()));
    while kept.len() > runs {
        kept.pop_first().iter().for_each(|(_, files)| files.iter().for_each(remove));
    }
    let mut total: u64 = kept.values().flatten().chain(mine.iter().flatten()).map(|(_, size)| size).sum();
    let newest = mine.as_ref().and_then(|files| files.last()).map(|(path, _)| path.clone());
    for file in kept.into_values().flatten().chain(mine.into_iter().flatten()) {
        if total <= bytes || newest.as_ref() == Some(&file.0) {
            break;
        }
        remove(&file);
        total -= file.1;
    }
    Ok(())
}

fn remove(file: &(PathBuf, u64)) {
    // Another run may have removed it already, and a log that stays harms nobody.
    let _ = std::fs::remove_file(&file.0);
}

/// The files that are ours, by run (oldest first), each run's oldest file first.
fn by_run(dir: &Path) -> anyhow::Result<BTreeMap<String, Files>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut runs: BTreeMap<String, Vec<(std::time::SystemTime, PathBuf, u64)>> = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(run_of) else { continue };
        let Ok(facts) = entry.metadata() else { continue };
        let written = facts.modified().unwrap_or(std::time::UNIX_EPOCH);
        runs.entry(run.to_owned()).or_default().push((written, entry.path(), facts.len()));
    }
    let oldest_first = |mut files: Vec<(_, PathBuf, u64)>| {
        files.sort();
        files.into_iter().map(|(_, path, size)| (path, size)).collect()
    };
    Ok(runs.into_iter().map(|(run, files)| (run, oldest_first(files))).collect())
}

/// `20261122T130000Z-4711` of `20261122T130000Z-4711-apply-update-install.log`.
fn run_of(name: &str) -> Option<&str> {
    let (stamp, rest) = name.strip_suffix(".log")?.split_once('-')?;
    let (pid, _) = rest.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_stamp = stamp.len() == 16 && stamp.as_bytes()[8] == b'T' && stamp.ends_with('Z');
    let plain = stamp.replace(['T', 'Z'], "");
    (is_stamp && digits(&plain) && digits(pid)).then(|| &name[..stamp.len() + 1 + pid.len()])
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use super::*;
    use crate::sys::env::Environment;

    fn home(dir: &Path) -> Home {
        Home::open(&Environment::from_pairs([("TELECLAUDE_HOME", dir)])).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_last_twenty_runs_are_kept_and_strangers_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        make_private_dir(&home.logs()).unwrap();
        for n in 10..40 {
            std::fs::write(home.logs().join(format!("202611{n}T000000Z-7-apply-update-install.log")), "x")
                .unwrap();
        }
        std::fs::write(home.logs().join("notes.log"), "mine").unwrap();
        std::fs::write(home.logs().join("2026-7-x.log"), "mine").unwrap();
        RunLogs::create(&home, Timestamp::UNIX_EPOCH, "x").unwrap();
        let left = names(&home.logs());
        assert_eq!(left.len(), 19 + 2, "{left:?}");
        assert_eq!(left[1], "20261121T000000Z-7-apply-update-install.log");
    }

    #[test]
    fn the_whole_folder_stays_within_its_bytes_and_the_newest_log_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        let logs = RunLogs::create(&home, Timestamp::UNIX_EPOCH, "migrate").unwrap();
        for n in 0..30 {
            std::fs::write(logs.step(&format!("{n:03}")), vec![b'x'; 256 << 10]).unwrap();
            logs.prune().unwrap();
        }
        let left = names(&home.logs());
        let total: u64 = left.iter().map(|n| std::fs::metadata(home.logs().join(n)).unwrap().len()).sum();
        assert!(total <= KEPT_BYTES, "{total}");
        assert!(left.last().unwrap().ends_with("-migrate-029.log"), "{left:?}");
        RunLogs::create(&home, Timestamp::now(), "migrate").unwrap();
        assert!(names(&home.logs()).len() <= 12);
    }

    #[test]
    fn names_are_safe_and_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let logs = RunLogs::plan(&home(dir.path()), Timestamp::UNIX_EPOCH, "migrate");
        let path = logs.step("1.3.0/001 a.py");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with("-migrate-1.3.0_001_a.py.log"), "{name}");
        assert_eq!(run_of(name), Some(&*format!("19700101T000000Z-{}", std::process::id())));
        for strange in ["x.log", "a-b-c.log", "20261122T130000Z-12.log", "20261122T130000Z--x.log"] {
            assert_eq!(run_of(strange), None, "{strange}");
        }
    }
}
