//! A scene for sweeps: a checkout whose daemon really runs, an update that changes many files, and
//! what must hold once `apply-update` is at rest, whatever happened on the way.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Run, World};

/// Named in the environment of everything a scene starts, so that nothing of it can hide.
pub const MARK: &str = "SOAK_WORLD";
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Runs until `apply-update` must be at rest.
const RUNS: usize = 12;

/// The most often that one update is disturbed.
pub const MOST_BLOWS: usize = 2;

/// What the new release is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Good,
    Unhealthy,
    BadMigration,
}

/// What a template is made from.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    pub release: Release,
    /// `alpha` or `beta`.
    pub channel: &'static str,
    /// Files that the update changes.
    pub files: usize,
    /// More lines of `deployment`.
    pub settings: &'static str,
}

/// An origin with an old and a new release, and a checkout of the old one; scenes are copies.
pub struct Template {
    world: World,
    pub make: Make,
    old: Side,
    new: Side,
}

/// One of the two states a scene may end in.
#[derive(Debug)]
struct Side {
    commit: String,
    version: &'static str,
    tree: Tree,
}

/// Every file and link with its mode and content.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// One checkout with its daemon, ready to be updated.
pub struct Scene<'a> {
    pub world: World,
    template: &'a Template,
}

/// How a scene ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    New,
    Old,
}

impl Template {
    pub fn new(make: Make) -> Self {
        let world = World::new();
        write_release(&world, "1.0.0", make);
        let old_commit = world.release("1.0.0");
        let old = Side { commit: old_commit, version: "1.0.0", tree: tree(&world.path("work")) };
        world.git(&["pull", "--quiet"]);
        if make.channel == "beta" {
            world.git(&["fetch", "--quiet", "--tags"]);
            world.git(&["checkout", "--quiet", "--detach", "v1.0.0"]);
        }
        world.git(&["branch", "topic"]);
        write_release(&world, "1.1.0", make);
        let new_commit = world.release("1.1.0");
        let new = Side { commit: new_commit, version: "1.1.0", tree: tree(&world.path("work")) };
        Self { world, make, old, new }
    }

    /// A copy, with a daemon that runs the old version, a user's edits, and a signal.
    pub fn scene(&self) -> Scene<'_> {
        let mut world = World::empty();
        copy_tree(&self.world.checkout(), &world.checkout());
        let root = world.path("");
        world.env(MARK, root.to_str().unwrap());
        world.config(&config(self.make));
        world.write("checkout/local.txt", LOCAL_EDIT);
        world.write("checkout/notes.txt", "mine");
        world.write("installed", "1.0.0\n");
        let scene = Scene { world, template: self };
        scene.sh("ops/restart.sh");
        scene.world.run("version-watch", &["--json"]).exits(0).tells("available", None);
        scene
    }
}

const LOCAL: &str = "a line\nanother line\n";
const LOCAL_EDIT: &str = "a line\nmy own line\n";

fn config(make: Make) -> String {
    format!(
        "deployment: {{channel: {}, source: tags, snapshot: [config.yml], timeouts: {{health: 1s}}{}}}\nold: 1\n",
        make.channel, make.settings
    )
}

fn write_release(world: &World, version: &str, make: Make) {
    let new = version == "1.1.0";
    world.write("work/VERSION", &format!("{version}\n"));
    world.write("work/local.txt", LOCAL);
    world.write("work/Makefile", MAKEFILE);
    world.write("work/ops/install.sh", INSTALL);
    world.write("work/ops/restart.sh", RESTART);
    world.write("work/ops/status.sh", STATUS);
    world.write("work/ops/daemon.py", DAEMON);
    for n in 0..make.files {
        write_file(world, n, new);
    }
    write_oddities(world, new);
    if !new {
        return;
    }
    world.write("work/migrations/v1.1.0/001_config.py", MIGRATE_CONFIG);
    world.write("work/migrations/v1.1.0/002_mark.py", MIGRATE_MARK);
    match make.release {
        Release::Good => {}
        Release::Unhealthy => world.write("work/BROKEN", "yes"),
        Release::BadMigration => world.write("work/migrations/v1.1.0/003_bad.py", MIGRATE_BADLY),
    }
}

/// A quarter is removed, a quarter added, the rest modified.
fn write_file(world: &World, n: usize, new: bool) {
    let path = format!("work/data/{:02}/{}/file-{n}.txt", n % 37, n % 5);
    match (n % 4, new) {
        (0, true) => fs::remove_file(world.path(&path)).unwrap(),
        (1, false) => {}
        _ => {
            let lines = if n.is_multiple_of(97) { 6000 } else { 1 + n % 40 };
            let word = if new { "new" } else { "old" };
            world.write(&path, &format!("{word} line of file {n}\n").repeat(lines));
        }
    }
}

/// What makes trees hard: links, modes, a folder that becomes a file and the other way round.
fn write_oddities(world: &World, new: bool) {
    let path = |name: &str| world.path(&format!("work/{name}"));
    let script = path("tool.sh");
    world.write("work/tool.sh", "#!/bin/sh\n");
    let mode = if new { 0o755 } else { 0o644 };
    fs::set_permissions(script, fs::Permissions::from_mode(mode)).unwrap();
    let link = path("link");
    let _ = fs::remove_file(&link);
    symlink(if new { "VERSION" } else { "tool.sh" }, link).unwrap();
    world.write("work/empty.txt", if new { "not any more" } else { "" });
    if new {
        fs::remove_dir_all(path("swap-a")).unwrap();
        fs::remove_file(path("swap-b")).unwrap();
        world.write("work/swap-a", "a file now");
        world.write("work/swap-b/inner.txt", "a folder now");
    } else {
        world.write("work/swap-a/inner.txt", "a folder");
        world.write("work/swap-b", "a file");
    }
}

const MAKEFILE: &str = ".PHONY: install restart status\n\
    install restart status:\n\t@sh ops/$@.sh\n";

const INSTALL: &str = "set -e\nversion=$(cat VERSION)\necho \"install $version\" >> $SOAK_WORLD/steps.log\n\
    sleep 0.05\necho $version > $SOAK_WORLD/installed.tmp\nmv $SOAK_WORLD/installed.tmp $SOAK_WORLD/installed\n";

/// Ends the old daemon, starts the new one in this very process group, and waits until it is up.
const RESTART: &str = r#"set -e
echo "restart $(cat VERSION)" >> $SOAK_WORLD/steps.log
state=$SOAK_WORLD/daemon.state
if [ -e $state ]; then
    read pid version < $state
    kill $pid 2>/dev/null || true
    while kill -0 $pid 2>/dev/null; do sleep 0.01; done
    rm -f $state
fi
python3 -S ops/daemon.py >> $SOAK_WORLD/daemon.log 2>&1 &
while [ ! -e $state ]; do
    kill -0 $! || exit 1
    sleep 0.01
done
echo "restarted $(cat $state)"
"#;

const STATUS: &str = r#"[ ! -e BROKEN ] || { echo broken; exit 1; }
read pid version < $SOAK_WORLD/daemon.state || exit 1
kill -0 $pid || exit 1
[ "$version" = "$(cat VERSION)" ] || { echo "daemon is $version"; exit 1; }
"#;

/// Only one runs at a time, whatever is killed when.
const DAEMON: &str = r#"import fcntl, os, signal, time
world = os.environ["SOAK_WORLD"]
version = open("VERSION").read().strip()
lock = open(world + "/daemon.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
with open(world + "/daemon.new", "w") as state:
    state.write("%d %s\n" % (os.getpid(), version))
os.rename(world + "/daemon.new", world + "/daemon.state")
while True:
    time.sleep(3600)
"#;

const MIGRATE_CONFIG: &str = r#"import os, time
def check():
    return "new: 2" in open("config.yml").read()
def migrate():
    with open("config.yml") as old, open(os.environ["SOAK_WORLD"] + "/config.new", "w") as new:
        new.write(old.read() + "new: 2\n")
    time.sleep(0.02)
    os.replace(os.environ["SOAK_WORLD"] + "/config.new", "config.yml")
    return True
"#;

const MIGRATE_MARK: &str = r#"import os, time
world = os.environ["SOAK_WORLD"]
def check():
    return os.path.exists(world + "/mark")
def migrate():
    with open(world + "/effects", "a") as effects:
        effects.write("mark\n")
    time.sleep(0.02)
    open(world + "/mark", "w").close()
    return True
"#;

const MIGRATE_BADLY: &str = "def check():\n    return False\ndef migrate():\n    return 1 / 0\n";

impl Scene<'_> {
    /// Runs a script of the checkout as a person would, outside of any update.
    pub fn sh(&self, script: &str) {
        let mut command = self.world.command("sh", &self.world.checkout());
        // Its own group: nothing that ends a group later may take it along.
        let status = command.arg(script).stdout(Stdio::null()).process_group(0).status().unwrap();
        assert!(status.success(), "{script}");
    }

    /// `apply-update --json` in a process group of its own.
    pub fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub fn command(&self) -> Command {
        let mut command = self.world.program("apply-update");
        let said = fs::OpenOptions::new().create(true).append(true).open(self.world.path("said")).unwrap();
        let err = said.try_clone().unwrap();
        command.arg("--json").process_group(0).stdout(said).stderr(err);
        command
    }

    /// Waits for its end, while every JSON file in the state home stays whole. `None`: a signal.
    #[track_caller]
    pub fn wait(&self, child: &mut Child) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.assert_json_is_whole();
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it hangs: {}", self.tell());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub fn assert_json_is_whole(&self) {
        for entry in fs::read_dir(self.world.state()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            // It may be removed in between.
            let Ok(bytes) = fs::read(&path) else { continue };
            let parsed = serde_json::from_slice::<Value>(&bytes);
            assert!(parsed.is_ok(), "{} is torn: {:?}", path.display(), String::from_utf8_lossy(&bytes));
        }
    }

    /// Ordinary runs until nothing is left to do. Returns them.
    #[track_caller]
    pub fn until_at_rest(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        while runs.len() < RUNS && !runs.last().is_some_and(at_rest) {
            runs.push(self.world.run("apply-update", &["--json"]));
            self.assert_json_is_whole();
        }
        runs
    }

    /// What must hold at rest. Returns where it ended.
    #[track_caller]
    pub fn assert_converged(&self, runs: &[Run]) -> Ended {
        self.converged(runs).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The same, with everything worth knowing where something does not hold.
    pub fn converged(&self, runs: &[Run]) -> Result<Ended, String> {
        let rests = if runs.last().is_some_and(at_rest) {
            Ok(())
        } else {
            Err(vec![format!("not at rest after {} runs", runs.len())])
        };
        rests
            .and_then(|()| self.problems())
            .map_err(|found| format!("{}\nruns: {runs:#?}\n{}", found.join("\n"), self.tell()))
    }

    /// Everything that does not hold, or where it ended.
    fn problems(&self) -> Result<Ended, Vec<String>> {
        let mut found = Vec::new();
        let head = self.world.head();
        let (ended, side) = if head == self.template.new.commit {
            (Ended::New, &self.template.new)
        } else {
            (Ended::Old, &self.template.old)
        };
        let mut expect = |what: &str, is: String, shall: String| {
            if is != shall {
                found.push(format!("{what}: is {is}, shall be {shall}"));
            }
        };
        expect("HEAD", head, side.commit.clone());
        let alpha = self.template.make.channel == "alpha";
        let place = self.world.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
        expect("branch", place, if alpha { "main" } else { "HEAD" }.to_owned());
        let topic = self.world.git(&["rev-parse", "topic"]);
        expect("branch topic", topic, self.template.old.commit.clone());
        let git = self.world.git(&["status", "--porcelain"]);
        let git: Vec<&str> = git.lines().filter(|line| !line.starts_with(KEPT_CONFIG)).collect();
        expect("git status", git.join("\n"), " M local.txt\n?? notes.txt".to_owned());
        let config = config(self.template.make);
        let config = if ended == Ended::New { config + "new: 2\n" } else { config };
        expect("config.yml", self.world.read("checkout/config.yml"), config);
        expect("installed", self.world.read("installed"), format!("{}\n", side.version));
        let state = fs::read_to_string(self.world.path("daemon.state")).unwrap_or_default();
        let (pid, version) = state.trim().split_once(' ').unwrap_or_default();
        expect("daemon", version.to_owned(), side.version.to_owned());
        let alive = self.processes();
        expect("processes", alive.join(","), pid.to_owned());
        found.extend(self.files(side));
        found.extend(self.leftovers());
        found.extend(self.records(ended));
        if found.is_empty() { Ok(ended) } else { Err(found) }
    }

    /// The tree, byte for byte as a fresh clone's, but for the user's own.
    fn files(&self, side: &Side) -> Vec<String> {
        let mut is = tree(&self.world.checkout());
        let mut shall = side.tree.clone();
        is.remove(Path::new("config.yml"));
        is.remove(Path::new("notes.txt"));
        // What the migration wrote before it was undone: one copy, whatever the number of attempts.
        let undone = config(self.template.make) + "new: 2\n";
        let copy = is.iter().find(|(path, (_, text))| is_kept_config(path) && *text == undone.as_bytes());
        if let Some(copy) = copy.map(|(path, _)| path.clone()) {
            is.remove(&copy);
        }
        shall.get_mut(Path::new("local.txt")).unwrap().1 = LOCAL_EDIT.into();
        let names: BTreeSet<&PathBuf> = is.keys().chain(shall.keys()).collect();
        let differs = names.into_iter().filter(|name| is.get(*name) != shall.get(*name));
        differs
            .take(10)
            .map(|name| format!("file {} is not as in {}", name.display(), side.version))
            .collect()
    }

    fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for path in paths(&self.world.path("checkout/.git")) {
            if path.extension().is_some_and(|e| e == "lock") {
                found.push(format!("left: {}", path.display()));
            }
        }
        for entry in fs::read_dir(self.world.state()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let lock = Path::new(&name).extension().is_some_and(|e| e == "lock");
            if !lock && (name.starts_with("apply_journal") || name.ends_with(".damaged")) {
                found.push(format!("left: {name}"));
            }
            if name.starts_with('.') && !name.ends_with(".tmp") {
                found.push(format!("left: {name}"));
            }
        }
        found
    }

    /// What status, history and the migrations' record say.
    fn records(&self, ended: Ended) -> Vec<String> {
        let mut found = Vec::new();
        let status = self.world.state_file("deploy_status.json");
        let said = status["status"].as_str().unwrap_or_default().to_owned();
        let history = self.history();
        let last = history.last().cloned().unwrap_or_default();
        let fits = match ended {
            Ended::New => said == "deployed" || said == "idle",
            Ended::Old => ["rolled_back", "deferred", "error", "blocked"].contains(&&*said),
        };
        if !fits {
            found.push(format!("status is {status:#}"));
        }
        let told = match ended {
            Ended::New => last["outcome"] == "updated",
            Ended::Old => last["outcome"] != "updated" && last["reason"].is_string(),
        };
        // Where the disk was full for that one line, the run has said so.
        let said = fs::read_to_string(self.world.path("said")).unwrap_or_default();
        if !told && !said.contains("this attempt is missing in the history") {
            found.push(format!("history ends with {last:#}"));
        }
        if status["pid"].is_number() {
            found.push(format!("the status names a program: {status:#}"));
        }
        let signal = self.world.state_file("update_available.json");
        if signal.is_null() != (ended == Ended::New) {
            found.push(format!("signal: {signal:#}"));
        }
        let state = self.world.state_file("migration_state.json");
        let applied: Vec<&str> =
            state["applied"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mark = self.world.path("mark").exists();
        let shall: Vec<&str> = match (ended, mark) {
            (Ended::New, _) => vec!["1.1.0/001_config.py", "1.1.0/002_mark.py"],
            (Ended::Old, true) if applied.is_empty() => vec![],
            (Ended::Old, true) => vec!["1.1.0/002_mark.py"],
            (Ended::Old, false) => vec![],
        };
        if applied != shall {
            found.push(format!("migrations on record: {applied:?}, shall be {shall:?}"));
        }
        let effects = fs::read_to_string(self.world.path("effects")).unwrap_or_default().lines().count();
        // A script that is stopped between its effect and its mark takes effect once more, each time.
        if effects > 1 + MOST_BLOWS || (ended == Ended::New && effects == 0) {
            found.push(format!("a migration took effect {effects} times"));
        }
        found
    }

    /// The lines of the history.
    pub fn history(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.world.state().join("deploy_history.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The numbers of all processes of this scene.
    pub fn processes(&self) -> Vec<String> {
        let root = self.world.path("");
        processes_with(&format!("{MARK}={}", root.display()))
    }

    /// All processes of this scene but its daemon.
    pub fn processes_but_the_daemon(&self) -> Vec<String> {
        let state = fs::read_to_string(self.world.path("daemon.state")).unwrap_or_default();
        let daemon = state.split(' ').next().unwrap_or_default();
        self.processes().into_iter().filter(|pid| pid != daemon).collect()
    }

    /// Ends everything of this scene but its daemon.
    pub fn kill_all_but_the_daemon(&self) {
        self.processes_but_the_daemon().iter().for_each(|pid| kill(pid));
    }

    /// Everything worth knowing about a scene that went wrong.
    fn tell(&self) -> String {
        let file = |name: &str| fs::read_to_string(self.world.path(name)).unwrap_or_default();
        format!(
            "said: {}\nsteps: {}\nstatus: {:#}\nhistory: {}\njournal: {}\nprocesses: {:?}",
            file("said"),
            file("steps.log"),
            self.world.state_file("deploy_status.json"),
            file("home/.teleclaude/deploy_history.jsonl"),
            file("home/.teleclaude/apply_journal.json"),
            self.processes(),
        )
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        self.processes().iter().for_each(|pid| kill(pid));
    }
}

/// As `git status` tells a copy of the configuration.
const KEPT_CONFIG: &str = "?? config.yml.kept-";

fn is_kept_config(path: &Path) -> bool {
    path.to_string_lossy().starts_with(KEPT_CONFIG.trim_start_matches("?? "))
}

/// Whether the next run would find nothing to do.
fn at_rest(run: &Run) -> bool {
    let json = run.json();
    match json["outcome"].as_str() {
        Some("nothing") => json["reason"] != "verified",
        Some("deferred" | "blocked") => true,
        _ => false,
    }
}

fn kill(pid: &str) {
    if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Processes that have this in their environment.
fn processes_with(assignment: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !cfg!(target_os = "linux") {
        let all = Command::new("ps").args(["-axEww", "-o", "pid=,command="]).output().unwrap();
        let text = String::from_utf8_lossy(&all.stdout).into_owned();
        let ours = text.lines().filter(|line| line.contains(assignment));
        return ours.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Ok(environ) = fs::read(entry.path().join("environ")) else { continue };
        if environ.split(|b| *b == 0).any(|one| one == assignment.as_bytes()) {
            found.push(name);
        }
    }
    found
}

fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(paths(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// All of a checkout but `.git`.
fn tree(top: &Path) -> Tree {
    let mut found = Tree::new();
    for entry in fs::read_dir(top).unwrap().flatten().filter(|e| e.file_name() != ".git") {
        let all = if entry.file_type().unwrap().is_dir() { paths(&entry.path()) } else { vec![entry.path()] };
        for path in all {
            let facts = path.symlink_metadata().unwrap();
            let content = if facts.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            // git knows of executable and not; the rest is the umask's.
            let mode = if facts.is_symlink() { 0 } else { facts.permissions().mode() & 0o100 };
            found.insert(path.strip_prefix(top).unwrap().to_owned(), (mode, content));
        }
    }
    found
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Numbers from a seed (xorshift64*), so that a run can be repeated.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
