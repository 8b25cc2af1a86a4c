//! The scripts of a release: which version, what the notes and the manifest say, what is packed.
#![allow(clippy::disallowed_methods, reason = "tests start programs")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Run, World, binary};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs one of the project's scripts in a folder of the world.
fn script(world: &World, name: &str, folder: &str, arguments: &[&str]) -> Run {
    let script = root().join("scripts").join(name);
    let mut command = world.command(script.to_str().unwrap(), &world.path(folder));
    command.args(arguments).output().unwrap().into()
}

// Which version.

/// A checkout with these project files.
fn project(files: &[(&str, &str)]) -> World {
    let world = World::empty();
    for (name, text) in files {
        world.write(&format!("project/{name}"), text);
    }
    world
}

const CARGO: (&str, &str) =
    ("Cargo.toml", "[package]\nname = \"c\"\nversion = \"1.2.0\"\n\n[dependencies]\nx = \"9\"\n");

fn changelog(version: &str) -> String {
    format!(
        "# Changelog\n\n## [Unreleased]\n\n## [{version}] - 2026-01-02\n\n- x\n\n## [1.0.0] - 2026-01-01\n"
    )
}

#[test]
fn a_version_that_all_agree_on_is_printed() {
    let (dynamic, static_) = (
        (
            "pyproject.toml",
            "[project]\nname = \"p\"\ndynamic = [\"version\"]\n[tool.x]\nversion = \"7.7.7\"\n",
        ),
        ("pyproject.toml", "[project]\nname = \"p\"\nversion = \"1.2.0\"\n"),
    );
    let log = changelog("1.2.0");
    for files in
        [&[CARGO][..], &[dynamic, CARGO], &[static_, ("Cargo.toml", "[package]\nversion = \"3.0.0\"\n")]]
    {
        let world = project(&[files, &[("CHANGELOG.md", &log)]].concat());
        for asked in [&["v1.2.0"][..], &["1.2.0"], &[]] {
            let run = script(&world, "release-version", "project", asked).exits(0);
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("1.2.0\n", ""), "{files:?} {asked:?}");
        }
    }
}

#[test]
fn a_disagreement_names_all_three() {
    for (asked, own, newest) in
        [("v1.3.0", "1.2.0", "1.2.0"), ("v1.2.0", "1.3.0", "1.2.0"), ("v1.2.0", "1.2.0", "1.3.0")]
    {
        let cargo = format!("[package]\nversion = \"{own}\"\n");
        let world = project(&[("Cargo.toml", &cargo), ("CHANGELOG.md", &changelog(newest))]);
        let run = script(&world, "release-version", "project", &[asked]).exits(1);
        let (tag, own) = (format!("asked for says {}", &asked[1..]), format!("Cargo.toml says {own}"));
        for told in [tag, own, format!("CHANGELOG.md says {newest}")] {
            assert!(run.stderr.contains(&told), "{told:?} is not in {run:#?}");
        }
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn what_is_no_release_is_refused() {
    let undated = changelog("1.2.0").replace(" - 2026-01-02", "");
    let odd = ("Cargo.toml", "[package]\nversion = \"01.2\"\n");
    for (files, flags, told) in [
        (&[CARGO][..], &[][..], "CHANGELOG.md says no version"),
        (&[CARGO, ("CHANGELOG.md", &undated)], &[], "has no date"),
        (&[("CHANGELOG.md", &undated)], &[], "no project file"),
        (&[odd], &["--no-changelog"], "01.2 is not a version"),
    ] {
        let run = script(&project(files), "release-version", "project", flags).exits(1);
        assert!(run.stderr.contains(told) && run.stderr.lines().count() == 1, "{told:?} is not in {run:#?}");
    }
    script(&project(&[CARGO]), "release-version", "project", &["--no-changelog", "v1.2.0"]).exits(0);
}

#[test]
fn this_project_is_ready_to_release_its_version() {
    let run: Run = World::empty()
        .command(root().join("scripts/release-version").to_str().unwrap(), root())
        .arg(format!("v{}", env!("CARGO_PKG_VERSION")))
        .output()
        .unwrap()
        .into();
    assert_eq!(run.exits(0).stdout.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_program_tells_version_and_commit() {
    let world = World::new();
    let git: Run = world.command("git", root()).args(["rev-parse", "HEAD"]).output().unwrap().into();
    let top: Run =
        world.command("git", root()).args(["rev-parse", "--show-toplevel"]).output().unwrap().into();
    let in_git =
        git.code == 0 && Path::new(top.stdout.trim()).canonicalize().ok() == root().canonicalize().ok();
    let commit = if in_git { format!(" ({})", &git.stdout[..12]) } else { String::new() };
    let (version, telec) = (env!("CARGO_PKG_VERSION"), &["version", "--version"][..]);
    let all = [("version-watch", &["--version"][..]), ("apply-update", &["--version"]), ("telec", telec)];
    for (name, words) in
        all.into_iter().chain([("run-migrations", &["--version"][..]), ("telec", &["--version"])])
    {
        let run = world.run(name, words).exits(0);
        assert_eq!(run.stdout, format!("{name} {version}{commit}\n"), "{words:?}");
    }
}

// Notes and manifest.

const ONE: &str = "\"\"\"Rename the key.\n\nMore.\"\"\"\ndef check():\n    return True\n\n\ndef migrate():\n    return True\n";
const TWO: &str = "def check():\n    return True\n\n\ndef migrate():\n    return True\n";

/// A Python host with releases 1.0.0, 1.1.0 and 1.2.0, of which 1.1.0 brings two migrations.
fn host() -> World {
    let world = World::new();
    world.tag("v1.0.0");
    world.write("work/migrations/v1.0.0/001_older.py", TWO);
    world.write("work/migrations/v1.1.0/001_rename_key.py", ONE);
    world.write("work/migrations/v1.1.0/002_more.py", TWO);
    world.commit("feat(keys): rename the key");
    world.commit("fix: a fault");
    world.release("1.1.0");
    world.commit("feat!: another shape");
    world.release("1.2.0");
    world.commit("fix: not released yet");
    world
}

/// Stands for git-cliff, which comes from the network: tells the range it was given, and its commits.
fn cliff(world: &World) -> String {
    let text = "#!/bin/sh\nfor last; do :; done\ncase $last in *..*) ;; *) last=HEAD ;; esac\n\
                echo \"### Range $last\"\ngit log --format='- %s' \"$last\"\necho \"$*\" >\"$0.log\"\n";
    world.write("cliff", text);
    let path = world.path("cliff");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `release-notes` in the host's `work`; the files go to `out`.
fn notes(world: &World, cliff: &str, version: &str) -> Run {
    let migrations = binary("run-migrations");
    let programs = ["--git-cliff", cliff, "--run-migrations", migrations.to_str().unwrap()];
    script(world, "release-notes", "work", &[&programs[..], &[version, "../out"]].concat())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_release_with_migrations_has_a_manifest_and_lists_them() {
    let world = host();
    let cliff = cliff(&world);
    notes(&world, &cliff, "v1.1.0").exits(0);
    let manifest: Value = serde_json::from_str(&world.read("out/migrations-1.1.0.json")).unwrap();
    assert_eq!(
        manifest,
        json!({"schema": 1, "version": "1.1.0", "migrations": [
            {"id": "1.1.0/001_rename_key.py", "sha256": sha256(ONE), "description": "Rename the key."},
            {"id": "1.1.0/002_more.py", "sha256": sha256(TWO), "description": null},
        ]})
    );
    let text = world.read("out/notes.md");
    let changes = "## Changes\n\n### Range refs/tags/v1.0.0..HEAD\n\
                   - release 1.1.0\n- fix: a fault\n- feat(keys): rename the key\n";
    assert!(text.starts_with(changes), "{text}");
    let (one, two) = (sha256(ONE), sha256(TWO));
    let list = format!(
        "- `1.1.0/001_rename_key.py`: Rename the key.\n  sha256 `{one}`\n\
         - `1.1.0/002_more.py`: no description\n  sha256 `{two}`\n"
    );
    assert!(text.contains("## Migrations\n") && text.ends_with(&list), "{text}");
    assert!(world.read("cliff.log").contains("--tag v1.1.0"), "{}", world.read("cliff.log"));
    assert!(!world.state().exists(), "the home of who makes a release is left alone");
}

#[test]
fn a_manifest_tells_what_is_committed_and_also_from_a_linked_work_tree() {
    let world = host();
    let work = world.path("work");
    world.git_in(&work, &["worktree", "add", "--quiet", "--detach", "../linked"]);
    world.write("linked/migrations/v1.1.0/001_rename_key.py", TWO);
    world.write("linked/migrations/v1.1.0/003_stray.py", TWO);
    let (cliff, migrations) = (cliff(&world), binary("run-migrations"));
    let programs = ["--git-cliff", &cliff, "--run-migrations", migrations.to_str().unwrap()];
    script(&world, "release-notes", "linked", &[&programs[..], &["1.1.0", "../out"]].concat()).exits(0);
    let manifest: Value = serde_json::from_str(&world.read("out/migrations-1.1.0.json")).unwrap();
    assert_eq!(manifest["migrations"].as_array().unwrap().len(), 2, "{manifest}");
    assert_eq!(manifest["migrations"][0]["sha256"], sha256(ONE), "{manifest}");
}

#[test]
fn a_release_without_migrations_has_no_manifest() {
    let world = host();
    let cliff = cliff(&world);
    notes(&world, &cliff, "1.1.0").exits(0);
    notes(&world, &cliff, "1.2.0").exits(0);
    let files: Vec<_> = fs::read_dir(world.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, ["notes.md"], "the manifest of the release before is gone");
    let text = "## Changes\n\n### Range refs/tags/v1.1.0..HEAD\n- release 1.2.0\n- feat!: another shape\n";
    assert_eq!(world.read("out/notes.md"), text);
    let run = script(&world, "release-sums", ".", &["out"]).exits(0);
    assert!(!world.path("out/SHA256SUMS").exists(), "there is nothing to sum: {run:#?}");
}

#[test]
fn notes_go_from_the_version_before_to_the_tag_or_head() {
    let world = host();
    let cliff = cliff(&world);
    world.tag("v9.0.0-rc.1");
    world.tag("nightly");
    for (version, range, newest) in [
        ("1.0.0", "HEAD", "first version"),
        ("1.1.5", "refs/tags/v1.1.0..HEAD", "fix: not released yet"),
        ("1.10.0", "refs/tags/v1.2.0..HEAD", "fix: not released yet"),
        ("9.0.0", "refs/tags/v1.2.0..HEAD", "fix: not released yet"),
        ("9.0.0-rc.1", "refs/tags/v1.2.0..HEAD", "fix: not released yet"),
    ] {
        notes(&world, &cliff, version).exits(0);
        let begins = format!("## Changes\n\n### Range {range}\n- {newest}\n");
        let text = world.read("out/notes.md");
        assert!(text.starts_with(&begins), "{version}: {text}");
    }
}

#[test]
fn notes_are_not_made_from_a_broken_tree_or_without_git_cliff() {
    let world = host();
    let run = notes(&world, "/nowhere/git-cliff", "1.2.0").exits(1);
    assert!(run.stderr.contains("cannot run /nowhere/git-cliff"), "{run:#?}");
    world.write("work/migrations/v1.3.0/001_one.py", TWO);
    world.write("work/migrations/v1.3.0/001_twice.py", TWO);
    world.commit("feat: two with one number");
    let run = notes(&world, &cliff(&world), "1.3.0").exits(1);
    assert!(run.stderr.contains("001_twice.py"), "{run:#?}");
    assert!(!world.path("out").exists());
}

#[test]
#[ignore = "needs git-cliff from PyPI, named by GIT_CLIFF: make release-check runs it"]
fn the_changelog_is_made_from_the_commit_messages() {
    let cliff = std::env::var("GIT_CLIFF").expect("GIT_CLIFF");
    let world = host();
    fs::copy(root().join("cliff.toml"), world.path("work/cliff.toml")).unwrap();
    world.commit("chore: the tools of a release");
    let work = world.path("work");
    world.git_in(&work, &["checkout", "--quiet", "-b", "side"]);
    world.git_in(&work, &["commit", "--quiet", "--allow-empty", "-m", "perf: on the side"]);
    world.git_in(&work, &["checkout", "--quiet", "main"]);
    world.git_in(&work, &["merge", "--quiet", "--no-ff", "-m", "feat: the side comes in", "side"]);
    let id = |subject: &str| {
        let line = world
            .git_in(&world.path("work"), &["log", "--format=%h", "--abbrev=7", &format!("--grep={subject}")]);
        line.lines().next().unwrap().to_owned()
    };
    notes(&world, &cliff, "1.1.0").exits(0);
    let (rename, fault, shape) = (id("rename the key"), id("a fault"), id("another shape"));
    let release = id("release 1.1.0");
    let expected = format!(
        "## Changes\n\n### Features\n\n- **keys**: Rename the key ({rename})\n\n\
         ### Fixes\n\n- A fault ({fault})\n\n### Other\n\n- Release 1.1.0 ({release})\n\n## Migrations\n"
    );
    let text = world.read("out/notes.md");
    assert!(text.starts_with(&expected), "{text}\n--- not ---\n{expected}");
    notes(&world, &cliff, "1.2.0").exits(0);
    let text = world.read("out/notes.md");
    assert!(text.contains(&format!("- **breaking:** Another shape ({shape})\n")), "{text}");
    assert!(!text.contains("A fault") && !text.contains("Not released yet"), "{text}");
    notes(&world, &cliff, "1.3.0").exits(0);
    let text = world.read("out/notes.md");
    assert!(text.contains("Not released yet") && text.contains("On the side"), "{text}");
    assert!(!text.contains("tools of a release") && !text.contains("The side comes in"), "{text}");
    assert!(!text.contains("Features"), "the merge was the only one: {text}");
    notes(&world, &cliff, "1.0.0").exits(0);
    let text = world.read("out/notes.md");
    assert!(text.contains("First version") && !text.contains("Rename the key"), "{text}");
}

// What is packed.

fn pack(world: &World, target: &str, out: &str) -> Run {
    let programs = binary("telec").parent().unwrap().to_owned();
    script(world, "release-archive", ".", &[programs.to_str().unwrap(), target, "1.0.0", out])
}

#[test]
fn an_archive_has_the_four_programs_and_is_the_same_each_time() {
    let world = World::empty();
    let pack = |out: &str| {
        for program in ["version-watch", "apply-update", "run-migrations", "telec"] {
            world.write(&format!("built-for-{out}/{program}"), program);
        }
        let words = [&format!("built-for-{out}"), "some-machine", "1.0.0", out];
        script(&world, "release-archive", ".", &words).exits(0).stdout.trim().to_owned()
    };
    let (one, two) = (pack("a"), pack("b"));
    assert_eq!(one, "a/teleclaude-deployment-1.0.0-some-machine.tar.gz");
    assert!(fs::read(world.path(&one)).unwrap() == fs::read(world.path(&two)).unwrap());
    let tar = |words: &[&str]| -> Run {
        world.command("tar", &world.path(".")).args(words).output().unwrap().into()
    };
    let listed = tar(&["-tvzf", &one]).exits(0).stdout;
    let file =
        |line: &str| line.split(" teleclaude-deployment-1.0.0-some-machine/").nth(1).unwrap().to_owned();
    let mut files: Vec<String> = listed.lines().map(file).collect();
    files.sort();
    let expected =
        ["CHANGELOG.md", "LICENSE", "README.md", "apply-update", "run-migrations", "telec", "version-watch"];
    assert_eq!(files, expected);
    assert_eq!(listed.lines().filter(|line| line.starts_with("-rwxr-xr-x")).count(), 4, "{listed}");
    tar(&["-xzf", &one]).exits(0);
    assert_eq!(world.read("teleclaude-deployment-1.0.0-some-machine/telec"), "telec");
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_program_that_is_not_static_is_not_packed_as_musl() {
    let world = World::empty();
    let run = pack(&world, "x86_64-unknown-linux-musl", "out").exits(1);
    assert!(run.stderr.contains("is not static"), "{run:#?}");
    assert!(!world.path("out").exists());
}

#[test]
fn programs_that_are_not_there_are_named() {
    let world = World::empty();
    world.write("some/telec", "");
    let run = script(&world, "release-archive", ".", &["some", "t", "1.0.0", "out"]).exits(1);
    assert!(run.stderr.contains("some has no version-watch, apply-update, run-migrations"), "{run:#?}");
}

// Workflows.

/// What a workflow runs, one command an entry.
fn commands(workflow: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(workflow)).unwrap();
    text.lines().filter_map(|line| Some(line.split_once("run: ")?.1.to_owned())).collect()
}

#[test]
fn a_workflow_only_calls_what_runs_on_any_machine() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for workflow in ["ci.yml", "release.yml"] {
        let commands = commands(&format!(".github/workflows/{workflow}"));
        assert!(commands.len() >= 5, "{commands:?}");
        for command in commands {
            let words: Vec<&str> = command.trim_start_matches("sudo ").split(' ').collect();
            match words[0] {
                "make" => assert!(makefile.contains(&format!("\n{}:", words[1])), "{command}"),
                script => {
                    assert!(script.starts_with("./scripts/") && root().join(script).is_file(), "{command}");
                }
            }
        }
    }
}

#[test]
fn a_host_is_told_to_copy_every_script_that_its_workflows_call() {
    let guide = fs::read_to_string(root().join("docs/project/procedure/releasing.md")).unwrap();
    let copied = guide.lines().find(|line| line.starts_with("cp scripts/")).unwrap();
    let tool = fs::read_to_string(root().join("scripts/tool")).unwrap();
    let cliff = tool.lines().find_map(|line| line.trim().strip_prefix("git-cliff) version=")).unwrap();
    let templates = "docs/templates/.github/workflows";
    let all =
        [commands(&format!("{templates}/ci.yml")), commands(&format!("{templates}/release.yml"))].concat();
    let scripts: Vec<&str> = all.iter().filter_map(|c| c.strip_prefix("./")?.split(' ').next()).collect();
    assert!(scripts.len() >= 4, "{all:?}");
    for script in scripts {
        assert!(copied.split(' ').any(|word| word == script), "{script} is not copied");
    }
    assert!(
        all.contains(&format!("uv tool install git-cliff=={}", cliff.trim_end_matches(" ;;"))),
        "{all:?}"
    );
    for target in ["make lint", "make test"] {
        assert!(all.iter().any(|command| command == target), "{all:?}");
    }
}
