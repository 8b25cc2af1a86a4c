//! A scratch world for tests through the binaries: a temporary home, a real git origin, a
//! checkout of it, and the four programs run with a hermetic environment.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod api;
pub mod prints;
pub mod shapes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A scratch world; everything in it disappears on drop.
pub struct World {
    dir: TempDir,
    env: BTreeMap<String, String>,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The one JSON object on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not one JSON object ({e}): {self:#?}"))
    }

    /// Asserts the exit code and hands the run on.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts outcome and reason of the JSON result.
    #[track_caller]
    pub fn tells(self, outcome: &str, reason: Option<&str>) -> Self {
        let json = self.json();
        assert_eq!(json["outcome"], outcome, "{self:#?}");
        assert_eq!(json["reason"].as_str(), reason, "{self:#?}");
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl World {
    /// An origin with one commit (version 1.0.0, a Makefile whose targets log their names) and a
    /// checkout of it, with a `config.yml` that git ignores.
    pub fn new() -> Self {
        let world = Self::empty();
        world.git_in(&world.path("origin"), &["init", "--quiet", "--initial-branch=main", "--bare", "."]);
        world.git_in(world.dir.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        world.git_in(
            &world.path("work"),
            &["remote", "add", "origin", world.path("origin").to_str().unwrap()],
        );
        world.write("work/pyproject.toml", "[project]\nname = \"TeleClaude\"\nversion = \"1.0.0\"\n");
        world.write("work/.gitignore", "config.yml\n.env\n.venv/\n__pycache__/\n");
        world.write("work/Makefile", &makefile(&world.path("steps.log")));
        world.commit("first version");
        world.git_in(
            world.dir.path(),
            &["clone", "--quiet", world.path("origin").to_str().unwrap(), "checkout"],
        );
        world
    }

    /// Only a home: no origin, no checkout.
    pub fn empty() -> Self {
        signals_as_on_a_terminal();
        let dir = tempfile::Builder::new().prefix("world-").tempdir().unwrap();
        for sub in ["home", "origin"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let mut env = BTreeMap::new();
        let path = std::env::var("PATH").unwrap_or_default();
        for (name, value) in [
            ("PATH", path.as_str()),
            ("HOME", dir.path().join("home").to_str().unwrap()),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ("TZ", "UTC"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        Self { dir, env }
    }

    /// A path in the world.
    pub fn path(&self, relative: &str) -> PathBuf {
        // macOS hands out a temporary folder behind a link; git resolves it, so do we.
        self.dir.path().canonicalize().unwrap().join(relative)
    }

    /// The checkout the daemon runs from.
    pub fn checkout(&self) -> PathBuf {
        self.path("checkout")
    }

    /// The state home.
    pub fn state(&self) -> PathBuf {
        self.path("home/.teleclaude")
    }

    /// Sets a variable for every program started from now on.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file, with its folders.
    pub fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a file that can be run.
    pub fn program_file(&self, relative: &str, content: &str) {
        self.write(relative, content);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.path(relative), mode).unwrap();
    }

    /// Has this script run in place of a program, for every program started from now on.
    pub fn put_on_path(&mut self, name: &str, script: &str) {
        self.program_file(&format!("bin/{name}"), script);
        let path = format!("{}:{}", self.path("bin").display(), self.env["PATH"]);
        self.env("PATH", &path);
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
    }

    /// A state file as JSON; null when it is not there.
    #[track_caller]
    pub fn state_file(&self, name: &str) -> Value {
        match fs::read(self.state().join(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{name}: {e}")),
            Err(_) => Value::Null,
        }
    }

    /// Writes the checkout's `config.yml`.
    pub fn config(&self, yaml: &str) {
        self.write("checkout/config.yml", yaml);
    }

    /// The steps the fake `make` has logged so far.
    pub fn steps(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("steps.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Commits everything in `work` and pushes the branch. Returns the commit id.
    pub fn commit(&self, subject: &str) -> String {
        let work = self.path("work");
        self.git_in(&work, &["add", "--all"]);
        self.git_in(&work, &["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git_in(&work, &["push", "--quiet", "--force", "origin", "HEAD:refs/heads/main"]);
        self.git_in(&work, &["rev-parse", "HEAD"])
    }

    /// Sets the project file's version, commits, tags and pushes. Returns the commit id.
    pub fn release(&self, version: &str) -> String {
        self.write(
            "work/pyproject.toml",
            &format!("[project]\nname = \"TeleClaude\"\nversion = \"{version}\"\n"),
        );
        let commit = self.commit(&format!("release {version}"));
        self.tag(&format!("v{version}"));
        commit
    }

    /// Tags HEAD of `work` (annotated) and pushes the tag.
    pub fn tag(&self, name: &str) {
        let work = self.path("work");
        self.git_in(&work, &["tag", "-a", "-m", name, name]);
        self.git_in(&work, &["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    }

    /// Runs git and returns its trimmed output.
    #[track_caller]
    pub fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        let output = self.command("git", dir).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// git in the checkout.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.checkout(), arguments)
    }

    /// HEAD of the checkout.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs one of our programs in the checkout.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Run {
        self.program(program).args(arguments).output().unwrap().into()
    }

    /// One of our programs, ready to be started in the checkout.
    pub fn program(&self, name: &str) -> Command {
        let dir = if self.checkout().is_dir() { self.checkout() } else { self.path("home") };
        self.command(binary(name).to_str().unwrap(), &dir)
    }

    /// Any program with the hermetic environment.
    pub fn command(&self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env).current_dir(dir).stdin(Stdio::null());
        command
    }
}

/// Tests that run in the background of a shell, or by nohup, have inherited that INT or HUP is ignored,
/// and so would our programs. What a process handles itself is at its default in its children.
fn signals_as_on_a_terminal() {
    use signal_hook::consts::{SIGHUP, SIGINT};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        for signal in [SIGHUP, SIGINT] {
            signal_hook::flag::register_conditional_default(signal, always.clone()).unwrap();
        }
    });
}

/// The git of this machine.
pub fn real_git() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|dir| dir.join("git")).find(|git| git.is_file()).unwrap()
}

/// Where cargo put one of our programs.
pub fn binary(name: &str) -> PathBuf {
    match name {
        "version-watch" => env!("CARGO_BIN_EXE_version-watch").into(),
        "apply-update" => env!("CARGO_BIN_EXE_apply-update").into(),
        "run-migrations" => env!("CARGO_BIN_EXE_run-migrations").into(),
        "telec" => env!("CARGO_BIN_EXE_telec").into(),
        other => panic!("no program {other}"),
    }
}

/// Targets that log their names, and fail where a file `fail-TARGET` lies beside the log.
fn makefile(log: &Path) -> String {
    let log = log.display();
    let target = |name: &str| {
        format!("{name}:\n\t@echo {name} >> {log}\n\t@test ! -e {log}.fail-{name}\n\t@echo {name} done\n\n")
    };
    format!(
        ".PHONY: install restart status\n\n{}{}{}",
        target("install"),
        target("restart"),
        target("status")
    )
}
