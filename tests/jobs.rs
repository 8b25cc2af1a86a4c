//! The job module under python3, with a runner that follows the rules of the host's.
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{World, binary};

/// A checkout with the job module, and our programs played by scripts in `PATH`: what is said and
/// with which exit code is in files beside them, and each call is logged.
struct Cron {
    world: World,
}

impl Cron {
    fn new() -> Self {
        let cron = Self::without_programs();
        for name in ["version-watch", "apply-update"] {
            cron.program("bin", name);
            cron.says(name, 0, &json!({"message": format!("{name} has nothing to do")}).to_string());
        }
        cron
    }

    fn without_programs() -> Self {
        let mut world = World::empty();
        Self::modules(&world, "checkout");
        let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
        world.env("PATH", &path);
        Self { world }
    }

    /// A git checkout that has the job module, and the real programs in `PATH`.
    fn real() -> Self {
        let mut world = World::new();
        Self::modules(&world, "work");
        world.commit("wire the cron runner");
        world.git(&["pull", "--quiet"]);
        let programs = binary("version-watch");
        let path = std::env::var("PATH").unwrap_or_default();
        world.env("PATH", &format!("{}:{path}", programs.parent().unwrap().display()));
        Self { world }
    }

    fn modules(world: &World, checkout: &str) {
        for (name, content) in [
            ("jobs/__init__.py", ""),
            ("jobs/base.py", include_str!("fixtures/cron/base.py")),
            ("jobs/version_watcher.py", include_str!("../jobs/version_watcher.py")),
        ] {
            world.write(&format!("{checkout}/{name}"), content);
        }
        world.write("runner.py", include_str!("fixtures/cron/runner.py"));
    }

    /// A stand-in for one of our programs.
    fn program(&self, folder: &str, name: &str) {
        let at = self.world.path(name);
        let script = format!(
            "#!/bin/sh\nprintf '%s ' {name} \"$@\" >> {log}\necho >> {log}\n\
             cat {at}.out; cat {at}.err >&2; exit $(cat {at}.code)\n",
            log = self.world.path("calls").display(),
            at = at.display(),
        );
        let relative = format!("{folder}/{name}");
        self.world.write(&relative, &script);
        fs::set_permissions(self.world.path(&relative), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn says(&self, name: &str, code: i32, stdout: &str) {
        self.world.write(&format!("{name}.code"), &code.to_string());
        self.world.write(&format!("{name}.out"), stdout);
        self.world.write(&format!("{name}.err"), "");
    }

    /// The results of the jobs that ran at these minutes.
    fn ticks(&self, every: u32, seconds: u32, minutes: &[u32]) -> Vec<Value> {
        // The interpreter is the machine's, found with the machine's PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        let python = path
            .split(':')
            .map(|folder| std::path::Path::new(folder).join("python3"))
            .find(|python| python.is_file())
            .expect("python3 is not on PATH");
        let output = self
            .world
            .command(python.to_str().unwrap(), &self.world.path("home"))
            .arg(self.world.path("runner.py"))
            .arg(self.world.checkout())
            .args([every, seconds].iter().chain(minutes).map(ToString::to_string))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tick(&self) -> Value {
        self.ticks(1, 0, &[0]).remove(0)
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.world.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn one_tick_watches_and_then_applies_in_the_checkout() {
    let cron = Cron::new();
    cron.says("version-watch", 0, r#"{"message": "1.1.0 is available"}"#);
    cron.says("apply-update", 42, r#"{"message": "1.1.0 is in place"}"#);
    let result = cron.tick();
    assert_eq!(result["success"], true, "{result}");
    assert_eq!(result["message"], "1.1.0 is available; 1.1.0 is in place");
    assert_eq!(result["items_processed"], 1);
    assert_eq!(result["errors"], Value::Null);
    let flags = format!("--json --repo {} ", cron.world.checkout().display());
    assert_eq!(cron.calls(), [format!("version-watch {flags}"), format!("apply-update {flags}")]);
}

#[test]
fn exit_codes_become_results() {
    for (code, success) in
        [(0, true), (42, true), (75, true), (1, false), (2, false), (3, false), (10, false)]
    {
        let cron = Cron::new();
        cron.says("apply-update", code, r#"{"message": "the sentence"}"#);
        let result = cron.tick();
        assert_eq!(result["success"], success, "exit code {code}: {result}");
        assert!(result["message"].as_str().unwrap().ends_with("; the sentence"), "{result}");
        let errors = if success { Value::Null } else { json!(["apply-update: the sentence"]) };
        assert_eq!(result["errors"], errors, "exit code {code}");
    }
}

#[test]
fn an_update_that_was_found_before_is_applied_when_the_watcher_cannot_look() {
    let cron = Cron::new();
    cron.says("version-watch", 1, r#"{"message": "the token is not accepted"}"#);
    cron.says("apply-update", 42, r#"{"message": "1.1.0 is in place"}"#);
    let result = cron.tick();
    assert_eq!(result["success"], false);
    assert_eq!(result["items_processed"], 1);
    assert_eq!(result["errors"], json!(["version-watch: the token is not accepted"]));
}

#[test]
fn a_program_without_a_result_is_told_by_its_last_words() {
    for stdout in ["", "not json", "[]", "{}", "\u{1}"] {
        let cron = Cron::new();
        cron.says("version-watch", 2, stdout);
        cron.world.write("version-watch.err", "first line\nunknown flag --json\n");
        let result = cron.tick();
        assert_eq!(
            result["errors"],
            json!(["version-watch: no result, exit code 2: unknown flag --json"]),
            "{stdout:?}"
        );
    }
}

#[test]
fn missing_programs_are_named_with_the_places_looked_at() {
    let cron = Cron::without_programs();
    let result = cron.tick();
    assert_eq!(result["success"], false);
    let message = result["message"].as_str().unwrap();
    for part in
        ["version-watch is neither on PATH nor in", "home/.local/bin", "checkout/.venv/bin", "install it"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(result["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn programs_are_found_beside_path() {
    for folder in ["home/.local/bin", "checkout/.venv/bin"] {
        let cron = Cron::without_programs();
        for name in ["version-watch", "apply-update"] {
            cron.program(folder, name);
            cron.says(name, 0, r#"{"message": "fine"}"#);
        }
        let result = cron.tick();
        assert_eq!(result["success"], true, "{folder}: {result}");
        assert_eq!(result["message"], "fine");
        assert_eq!(cron.calls().len(), 2);
    }
}

/// The entry in the procedure must be due in every tick of a runner that ticks every five minutes,
/// though the end of a run is what counts. `every: 5m` is due in every second tick only.
#[test]
fn the_documented_schedule_is_due_in_every_tick() {
    let procedure = include_str!("../docs/project/procedure/putting-it-to-work.md");
    let (_, after) = procedure.split_once("every: ").expect("the entry has a schedule");
    let every: u32 = after.split_once('m').unwrap().0.parse().unwrap();
    let due = |every| -> Vec<u64> {
        let results = Cron::new().ticks(every, 90, &[0, 5, 10, 15]);
        results.iter().map(|result| result["tick"].as_u64().unwrap()).collect()
    };
    assert_eq!(due(every), [0, 5, 10, 15]);
    assert_eq!(due(5), [0, 10]);
}

#[test]
fn a_release_is_found_and_applied_within_one_tick() {
    let cron = Cron::real();
    cron.world.config("deployment: {channel: beta, source: tags}\n");
    let before = cron.tick();
    assert_eq!((&before["success"], &before["items_processed"]), (&json!(true), &json!(0)), "{before}");
    let commit = cron.world.release("1.1.0");
    let result = cron.tick();
    assert_eq!((&result["success"], &result["items_processed"]), (&json!(true), &json!(1)), "{result}");
    assert_eq!(cron.world.head(), commit);
    assert_eq!(cron.world.steps(), ["install", "restart", "status"]);
    assert_eq!(cron.world.state_file("deploy_status.json")["status"], "deployed");
    let after = cron.tick();
    assert_eq!((&after["success"], &after["items_processed"]), (&json!(true), &json!(0)), "{after}");
}
