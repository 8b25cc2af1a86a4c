//! What a person does in the checkout while an update runs: no commit of theirs is dropped, no branch
//! is taken from under them, and "updated" means that the new version is what runs.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Run, World};

const BAD: &str = "exit 3";
const GOOD: &str = "true";

/// A world whose next version runs `meanwhile` in its install step, as if somebody typed it then.
fn world(settings: &str, health: &str, meanwhile: &str) -> World {
    let world = World::new();
    world.config(&format!("deployment: {{{settings}, timeouts: {{health: 1s}}}}\n"));
    world.git(&["branch", "side"]);
    if settings.contains("beta") {
        world.git(&["checkout", "--quiet", "--detach"]);
    }
    world.write("meanwhile.sh", &format!("set -e\n{meanwhile}\n"));
    let script = world.path("meanwhile.sh").display().to_string();
    let makefile = world
        .read("work/Makefile")
        .replace("@echo install done", &format!("@sh {script}"))
        .replace("@echo status done", &format!("@{health}"));
    world.write("work/Makefile", &makefile);
    world.write("work/new.txt", "new");
    world.release("1.1.0");
    world.run("version-watch", &[]).exits(0);
    world
}

fn apply(world: &World) -> Run {
    world.run("apply-update", &["--json"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

const COMMIT: &str = "echo mine > mine.txt; git add mine.txt; git commit -qm 'my day of work'";

const AMEND: &str = "echo mine > mine.txt; git add mine.txt; git commit -q --amend -m 'my amendment'";

#[test]
fn commits_upon_a_version_that_is_undone_stay_on_a_branch() {
    for settings in ["channel: alpha", "channel: beta, source: tags"] {
        for (meanwhile, subject) in [(COMMIT, "my day of work"), (AMEND, "my amendment")] {
            let case = format!("{settings}: {subject}");
            let world = world(settings, BAD, meanwhile);
            let (before, place) = (world.head(), world.git(&["rev-parse", "--abbrev-ref", "HEAD"]));
            let run = apply(&world).exits(1).tells("rolled_back", Some("health_failed"));
            let branch = text(&run.json()["kept_branch"]);
            assert!(text(&run.json()["message"]).contains(&format!("on branch {branch}")), "{run:#?}");
            assert_eq!(world.git(&["log", "-1", "--format=%s", &branch]), subject, "{case}");
            assert_eq!(world.head(), before, "{case}");
            assert_eq!(world.git(&["rev-parse", "--abbrev-ref", "HEAD"]), place, "{case}");
            let files = ["status", "--porcelain", "Makefile", "pyproject.toml", "new.txt"];
            assert_eq!(world.git(&files), "", "{case}: what is checked out is the old version");
            assert_eq!(world.read("checkout/mine.txt"), "mine\n");
            assert_eq!(world.state_file("apply_journal.json"), Value::Null);
        }
    }
}

#[test]
fn commits_upon_a_good_version_stay_where_they_are() {
    for (meanwhile, subject) in [(COMMIT, "my day of work"), (AMEND, "my amendment")] {
        let world = world("channel: alpha", GOOD, meanwhile);
        apply(&world).exits(42).tells("updated", None);
        assert_eq!(world.git(&["log", "-1", "--format=%s", "main"]), subject);
        assert_eq!(world.git(&["status", "--porcelain"]), "");
    }
}

/// A git before whose first command of this kind somebody runs git with these words.
fn somebody_comes_before(world: &mut World, command: &str, words: &str) {
    let git = support::real_git().display().to_string();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *{command}*) [ -e $HOME/came ] || {{ touch $HOME/came; {git} {words}; }};; \
         esac\nexec {git} \"$@\"\n"
    );
    world.put_on_path("git", &script);
}

#[test]
fn a_detached_commit_made_just_before_head_moves_is_kept() {
    let mut world = world("channel: beta, source: tags", GOOD, "true");
    let commit = "commit --quiet --allow-empty -m mine";
    somebody_comes_before(&mut world, "update-ref*--no-deref", commit);
    let run = apply(&world).exits(1).tells("failed", Some("local_commits"));
    let mine = world.git(&["log", "-1", "--format=%H %s"]);
    assert!(mine.ends_with("mine"), "{mine}: {run:#?}");
    apply(&world);
    let mine = mine.split(' ').next().unwrap();
    let kept = world.git(&["for-each-ref", "--contains", mine, "--format=%(refname)"]);
    assert!(world.head() == mine || !kept.is_empty());
}

#[test]
fn an_amended_old_version_stays_and_is_not_in_the_way() {
    for settings in ["channel: alpha", "channel: beta, source: tags"] {
        let mut world = world(settings, GOOD, "true");
        let amend = "commit --quiet --allow-empty --amend -m mine";
        somebody_comes_before(&mut world, "read-tree", amend);
        apply(&world).exits(1).tells("rolled_back", Some("local_commits"));
        assert_eq!(world.git(&["log", "-1", "--format=%s"]), "mine", "{settings}");
        assert_eq!(world.git(&["status", "--porcelain"]), "", "{settings}");
        assert_eq!(world.state_file("apply_journal.json"), Value::Null, "{settings}");
    }
}

#[test]
fn a_branch_of_ones_own_keeps_its_commits_when_the_version_is_undone() {
    let world = world("channel: alpha", BAD, &format!("git switch -qc mine; {COMMIT}"));
    let before = world.head();
    let run = apply(&world).exits(1).tells("rolled_back", Some("health_failed"));
    assert_eq!(run.json()["kept_branch"], "mine");
    assert_eq!(world.git(&["log", "-1", "--format=%s", "mine"]), "my day of work");
    assert_eq!(
        (world.head(), world.git(&["rev-parse", "--abbrev-ref", "HEAD"])),
        (before, "main".to_owned())
    );
}

#[test]
fn a_version_that_was_switched_away_from_is_not_called_updated() {
    let world = world("channel: alpha", GOOD, "git switch -q side");
    let run = apply(&world).exits(3).tells("blocked", Some("wrong_branch"));
    assert!(text(&run.json()["message"]).contains("git switch main"), "{run:#?}");
    assert_eq!(world.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "side");
    assert_eq!(world.steps(), ["install"], "nothing is restarted");
    assert_eq!(world.state_file("deploy_status.json")["status"], "blocked");
    world.git(&["switch", "--quiet", "main"]);
    apply(&world).exits(42).tells("updated", None);
    assert_eq!(world.steps(), ["install", "restart", "status"]);
}

#[test]
fn a_rebase_that_was_begun_meanwhile_is_waited_for() {
    let begin =
        "git switch -qc topic HEAD~1; echo x > Makefile; git commit -qam topic; git rebase main || true";
    let world = world("channel: alpha", GOOD, begin);
    let before = world.git(&["rev-parse", "HEAD"]);
    apply(&world).exits(3).tells("blocked", Some("in_progress"));
    let rebase = world.path("checkout/.git/rebase-merge");
    assert!(rebase.exists());
    let files = world.read("checkout/Makefile");
    apply(&world).exits(3).tells("blocked", Some("in_progress"));
    assert_eq!(world.read("checkout/Makefile"), files);
    world.git(&["rebase", "--abort"]);
    world.git(&["switch", "--quiet", "main"]);
    apply(&world).exits(42).tells("updated", None);
    assert_eq!(world.git(&["log", "-1", "--format=%s", "topic"]), "topic");
    assert_ne!(world.head(), before);
}

#[test]
fn a_branch_that_another_worktree_has_is_not_moved() {
    let world = world("channel: alpha", GOOD, "true");
    world.git(&["checkout", "--quiet", "--detach"]);
    let other = world.path("other");
    world.git(&["worktree", "add", "--quiet", other.to_str().unwrap(), "main"]);
    let tip = world.git(&["rev-parse", "main"]);
    let run = apply(&world).exits(3).tells("blocked", Some("wrong_branch"));
    assert!(text(&run.json()["message"]).contains(other.to_str().unwrap()), "{run:#?}");
    assert_eq!(world.git(&["rev-parse", "main"]), tip);
    world.git(&["worktree", "remove", other.to_str().unwrap()]);
    apply(&world).exits(42).tells("updated", None);
}

#[test]
fn what_a_person_is_told_to_do_by_hand_does_go_back() {
    let world = world("channel: alpha", BAD, "true");
    let before = world.head();
    // The install of the old version fails, the checkout of it is put forward again by hand.
    world.write("checkout/.git/info/exclude", "config.yml\n");
    let settings =
        "channel: alpha, install: [sh, -c, 'test ! -e new.txt || exit 0; exit 7'], timeouts: {health: 1s}";
    world.config(&format!("deployment: {{{settings}}}\n"));
    let run = apply(&world).exits(1).tells("failed", Some("rollback_failed"));
    let told = text(&run.json()["message"]);
    let parts: Vec<&str> = told.split(" && ").collect();
    let at = parts.iter().position(|part| part.starts_with("git switch")).unwrap();
    let command = parts[at..=at + 1].join(" && ");
    let target = text(&run.json()["to_commit"]);
    world.git(&["reset", "--quiet", "--keep", &target]);
    let done = world.command("sh", &world.checkout()).args(["-c", &command]).status().unwrap();
    assert!(done.success(), "{command}");
    assert_eq!(world.head(), before);
    assert!(!world.checkout().join("new.txt").exists());
}

#[test]
fn a_checkout_that_was_moved_in_the_middle_is_told_with_a_way_out() {
    let world = world("channel: alpha", BAD, "kill -9 $(cat $HOME/pid); sleep 30");
    let shell = "echo $$ > $HOME/pid; exec \"$0\" --json";
    let program = support::binary("apply-update");
    let mut command = world.command("sh", &world.checkout());
    command.args(["-c", shell]).arg(program).status().unwrap();
    assert!(!world.state_file("apply_journal.json").is_null());
    let (here, there) = (world.checkout(), world.path("moved"));
    fs::rename(&here, &there).unwrap();
    let run: Run = world
        .command(support::binary("apply-update").to_str().unwrap(), &there)
        .arg("--json")
        .output()
        .unwrap()
        .into();
    let run = run.exits(3).tells("blocked", Some("other_checkout"));
    assert!(text(&run.json()["message"]).contains("move it back"), "{run:#?}");
    fs::rename(&there, &here).unwrap();
    world.write("meanwhile.sh", "true");
    let run = apply(&world).exits(1);
    assert_eq!(run.json()["outcome"], json!("rolled_back"), "{run:#?}");
}

/// A migration that kills its update once.
const KILLS: &str = "import os, signal
HOME = os.environ['HOME']
def check():
    return os.path.exists(HOME + '/done')
def migrate():
    pid = int(open(HOME + '/pid').read())
    if not os.path.exists(HOME + '/killed'):
        open(HOME + '/killed', 'w').close()
        os.kill(pid, signal.SIGKILL)
        signal.pause()
    open(HOME + '/done', 'w').close()
    return True
";

/// What a person is at work on: neither their migration nor their install is ready to be run.
const AT_WORK: &str = "mkdir -p migrations/v9.0.0
echo '[project]\nname = \"x\"\nversion = \"9.0.0\"' > pyproject.toml
cat > migrations/v9.0.0/001_mine.py <<'END'
import os
def check(): return os.path.exists(os.environ['HOME'] + '/half-done')
def migrate():
    open(os.environ['HOME'] + '/half-done', 'w').close()
    return True
END
git add -A; git commit -qm 'half done'";

/// Runs a program as a shell's successor, so that its number is in `$HOME/pid`.
fn apply_on_record(world: &World) {
    let mut command = world.command("sh", &world.checkout());
    let shell = "echo $$ > $HOME/pid; exec \"$0\" --json";
    assert!(command.args(["-c", shell]).arg(support::binary("apply-update")).status().is_ok());
}

#[test]
fn what_a_person_is_at_work_on_is_neither_migrated_to_nor_installed() {
    for begin in ["git switch -qc feature HEAD~1", "git switch -qc feature"] {
        let world = world("channel: alpha", GOOD, "true");
        world.write("work/migrations/v1.1.0/001_kills.py", KILLS);
        let target = world.commit("kills");
        world.run("version-watch", &[]).exits(0);
        apply_on_record(&world);
        assert_eq!(world.state_file("apply_journal.json")["phase"], "migrating");
        let script = format!("set -e; {begin}; {AT_WORK}");
        assert!(world.command("sh", &world.checkout()).args(["-c", &script]).status().unwrap().success());
        for _ in 0..6 {
            let run = apply(&world).exits(3).tells("blocked", Some("wrong_branch"));
            assert!(text(&run.json()["message"]).contains("git switch main"), "{begin}: {run:#?}");
        }
        assert!(!world.path("home/half-done").exists(), "{begin}");
        assert_eq!(world.steps(), Vec::<String>::new(), "{begin}");
        world.git(&["switch", "--quiet", "main"]);
        apply(&world).exits(42).tells("updated", None);
        assert_eq!(world.steps(), ["install", "restart", "status"], "{begin}");
        assert_eq!(world.head(), target);
        assert_eq!(world.git(&["log", "-1", "--format=%s", "feature"]), "half done");
    }
}

#[test]
fn only_the_old_version_is_installed_on_the_way_back() {
    let world = world("channel: alpha", GOOD, BAD);
    let before = world.head();
    world.write("steps.log.fail-install", "");
    apply(&world).exits(1).tells("failed", Some("rollback_failed"));
    fs::remove_file(world.path("steps.log.fail-install")).unwrap();
    let steps = world.steps().len();
    world.git(&["switch", "--quiet", "--orphan", "other"]);
    world.git(&["commit", "--quiet", "--allow-empty", "-m", "other"]);
    apply(&world).exits(3).tells("blocked", Some("wrong_branch"));
    assert_eq!(world.steps().len(), steps);
    world.git(&["switch", "--quiet", "main"]);
    world.git(&["merge", "--quiet", "--ff-only", "origin/main"]);
    apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(world.head(), before);
    assert!(!world.checkout().join("new.txt").exists());
    assert_eq!(world.steps().len(), steps + 1);
}

#[test]
fn a_lock_of_a_persons_git_is_waited_for_and_never_removed() {
    let world = world("channel: alpha", GOOD, &format!(": > .git/index.lock; {BAD}"));
    let (before, lock) = (world.head(), world.path("checkout/.git/index.lock"));
    for _ in 0..2 {
        let run = apply(&world).exits(3).tells("blocked", Some("index_locked"));
        assert!(text(&run.json()["message"]).contains("index.lock"), "{run:#?}");
        assert!(lock.exists());
    }
    fs::remove_file(&lock).unwrap();
    apply(&world).exits(1).tells("rolled_back", Some("install_failed"));
    assert_eq!(world.head(), before);
}

#[test]
fn a_lock_that_a_killed_git_left_goes_whatever_the_clock_says() {
    let world = world("channel: alpha", GOOD, "true");
    // Kills the update, and the git that holds the index.
    let filter = "test -e $HOME/killed || { : > $HOME/killed; kill -9 $(cat $HOME/pid) 0; }; cat";
    world.write("filter.sh", filter);
    world.git(&["config", "filter.kills.smudge", &format!("sh {}", world.path("filter.sh").display())]);
    world.write("checkout/.git/info/attributes", "new.txt filter=kills\n");
    world.write("checkout/.git/refs/heads/long-ago.lock", "");
    apply_on_record(&world);
    let lock = world.path("checkout/.git/index.lock");
    assert!(lock.exists());
    let mut journal = world.state_file("apply_journal.json");
    journal["started_at"] = json!("2099-01-01T00:00:00Z");
    world.write("home/.teleclaude/apply_journal.json", &journal.to_string());
    apply(&world).exits(42).tells("updated", None);
    assert!(!lock.exists());
    assert!(world.path("checkout/.git/refs/heads/long-ago.lock").exists(), "it is not ours");
}
