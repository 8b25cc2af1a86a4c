//! Faults in scripts, found without running them: by their syntax trees (see `lint.py`) and by
//! what was released already. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::driver::Interpreter;
use super::tree::{FOLDER, Script, Tree};
use super::{MigrationId, interpreter};
use crate::outcome::Halt;
use crate::sys::git::Git;
use crate::sys::process::{Heard, Redactor, StepLog};
use crate::version::Version;

const READER: &str = include_str!("lint.py");
/// Parsing one file takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `error`: it cannot run; `warning`: it should not be like this.
    pub level: Level,
    /// The file, relative to the checkout.
    pub path: String,
    /// Its line, where one is to blame.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot run.
    Error,
    /// It should not be like this.
    Warning,
}

/// What the reader tells of one script.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Reading {
    /// The first line of its docstring.
    #[serde(default)]
    pub doc: Option<String>,
    #[serde(default)]
    allowed: Vec<String>,
    findings: Vec<Told>,
}

#[derive(Clone, Debug, Deserialize)]
struct Told {
    level: Level,
    line: Option<u32>,
    message: String,
}

/// Reads scripts; Python is started only when there are any.
pub fn read(checkout: &Path, python: Option<&Path>, scripts: &[Script]) -> Result<Vec<Reading>, Halt> {
    if scripts.is_empty() {
        return Ok(Vec::new());
    }
    let python = interpreter::choose(checkout, python);
    let mut reader = Interpreter::start(&python, checkout, READER, None)?;
    let mut said = StepLog::in_memory(&Redactor::default());
    let mut readings = Vec::with_capacity(scripts.len());
    for script in scripts {
        reader.send(&script.path.to_string_lossy());
        readings.push(hear(&mut reader, &mut said, script)?);
    }
    Ok(readings)
}

fn hear(reader: &mut Interpreter, said: &mut StepLog, script: &Script) -> anyhow::Result<Reading> {
    match reader.answer(PATIENCE, &mut |bytes| said.push(bytes))? {
        Heard::Line(line) => Ok(serde_json::from_str(&line)?),
        Heard::Stop(number) => bail!("stopped by signal {number}"),
        Heard::Ended | Heard::Late => {
            said.finish();
            bail!("{} cannot be read: {}", script.path.display(), said.last_line())
        }
    }
}

/// All faults of a checkout's migrations, in order.
pub fn findings(checkout: &Path, git: &Git, python: Option<&Path>) -> Result<(usize, Vec<Finding>), Halt> {
    let tree = Tree::read(checkout)?;
    let mut findings: Vec<Finding> =
        tree.faults.iter().map(|fault| error(&fault.path, None, &fault.problem)).collect();
    let readings = read(checkout, python, &tree.scripts)?;
    let released = released(git, &tree.scripts)?;
    for (script, reading) in tree.scripts.iter().zip(&readings) {
        let path = path_of(&script.id);
        findings.extend(reading.findings.iter().map(|told| Finding {
            level: told.level,
            path: path.clone(),
            line: told.line,
            message: told.message.clone(),
        }));
        if let Some(release) = released.get(script.id.version())
            && !reading.allowed.iter().any(|word| word == "late")
        {
            findings.extend(release.complain(&path));
        }
    }
    for release in released.values() {
        findings.extend(release.gone(&tree.scripts));
    }
    Ok((tree.scripts.len(), findings))
}

/// The scripts that a version was released with.
struct Release {
    tag: String,
    files: BTreeSet<String>,
    changed: BTreeSet<String>,
}

impl Release {
    fn complain(&self, path: &str) -> Option<Finding> {
        if !self.files.contains(path) {
            let text = format!(
                "it is new in a version that is released already ({}): computers there run it late",
                self.tag
            );
            return Some(warning(path, &text));
        }
        let text =
            format!("it was changed after its release ({}): computers that ran it have drift", self.tag);
        self.changed.contains(path).then(|| warning(path, &text))
    }

    fn gone(&self, scripts: &[Script]) -> Vec<Finding> {
        let there: BTreeSet<String> = scripts.iter().map(|script| path_of(&script.id)).collect();
        let ours = self.files.iter().filter(|path| path.ends_with(".py") && !path.contains("/_"));
        ours.filter(|path| !there.contains(*path))
            .map(|path| warning(path, &format!("it is gone since its release ({})", self.tag)))
            .collect()
    }
}

/// Versions of the tree that have a tag, with the files at that tag and those changed since.
fn released(git: &Git, scripts: &[Script]) -> anyhow::Result<BTreeMap<Version, Release>> {
    let versions: BTreeSet<&Version> = scripts.iter().map(|script| script.id.version()).collect();
    let tags = git.text(&["tag", "--list"])?;
    let mut releases = BTreeMap::new();
    for tag in tags.lines() {
        let Some(version) = Version::parse(tag).filter(|version| versions.contains(version)) else {
            continue;
        };
        let folder = format!("{FOLDER}/v{version}");
        let refname = format!("refs/tags/{tag}");
        let names = |arguments: &[&str]| -> anyhow::Result<BTreeSet<String>> {
            Ok(git.text(arguments)?.lines().map(str::to_owned).collect())
        };
        let files = names(&["ls-tree", "-r", "--full-tree", "--name-only", &refname, "--", &folder])?;
        let changed = names(&["diff", "--name-only", "--no-renames", &refname, "--", &folder])?;
        releases.insert(version, Release { tag: tag.to_owned(), files, changed });
    }
    Ok(releases)
}

fn path_of(id: &MigrationId) -> String {
    format!("{FOLDER}/v{id}")
}

fn error(path: &str, line: Option<u32>, message: &str) -> Finding {
    Finding { level: Level::Error, path: path.to_owned(), line, message: message.to_owned() }
}

fn warning(path: &str, message: &str) -> Finding {
    Finding { level: Level::Warning, path: path.to_owned(), line: None, message: message.to_owned() }
}
