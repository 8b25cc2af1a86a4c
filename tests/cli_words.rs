//! What is typed and what the environment holds: odd words, odd bytes and full disks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use support::{Run, World, binary};

const PROGRAMS: [&str; 4] = ["version-watch", "apply-update", "run-migrations", "telec"];

/// Runs a program with one variable that is no text.
fn with_odd_variable(world: &World, program: &str, words: &[&str], name: &str) -> Run {
    let odd = OsStr::from_bytes(b"/nope\xff");
    world.program(program).args(words).env(name, odd).output().unwrap().into()
}

#[test]
fn a_variable_that_is_no_text_never_counts_as_unset() {
    let world = World::new();
    let head = world.head();
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    for name in ["TELECLAUDE_REPO", "TELECLAUDE_CONFIG_PATH", "TELECLAUDE_ENV_PATH", "TELECLAUDE_HOME"] {
        for program in ["version-watch", "apply-update", "run-migrations"] {
            let run = with_odd_variable(&world, program, &["--json"], name).exits(2);
            let json = run.json();
            assert_eq!(json["outcome"], "invalid", "{program} {name}");
            let message = json["message"].as_str().unwrap();
            assert!(message.contains(name) && message.contains("UTF-8"), "{program}: {message}");
        }
    }
    assert_eq!(world.head(), head);
    assert!(world.steps().is_empty());
}

#[test]
fn a_variable_that_is_no_text_is_an_error_where_a_value_uses_it() {
    let world = World::new();
    world.config("other: ${ODD}\ndeployment:\n  branch: ${ODD}\n");
    let run = with_odd_variable(&world, "version-watch", &["--check-config"], "ODD").exits(2);
    assert!(run.stderr.starts_with("config.yml:3: deployment.branch: ${ODD} is not UTF-8 text"), "{run:#?}");
    world.config("other: ${ODD}\n");
    with_odd_variable(&world, "version-watch", &["--check-config"], "ODD").exits(0);
    world.config("deployment: {channel: beta, github_repo: o/n}\n");
    for name in ["GITHUB_TOKEN", "GH_TOKEN", "GITHUB_API_URL"] {
        let run = with_odd_variable(&world, "version-watch", &["--check-config"], name).exits(2);
        assert!(run.stderr.contains(&format!("{name}: is not UTF-8 text")), "{run:#?}");
    }
}

/// Two tags of the same precedence on two commits, the checkout at `at`.
fn with_build_metadata(at: &str) -> World {
    let world = World::new();
    world.release("1.10.1");
    world.release("1.10.2");
    world.release("1.10.2+build.5");
    world.config("deployment: {channel: beta, source: tags}\n");
    world.git(&["fetch", "--quiet", "--tags"]);
    world.git(&["checkout", "--quiet", "--detach", at]);
    world
}

#[test]
fn build_metadata_makes_no_update() {
    for (at, installed) in [("v1.10.2", "1.10.2"), ("v1.10.2+build.5", "1.10.2+build.5")] {
        let world = with_build_metadata(at);
        let json = world.run("version-watch", &["--json"]).exits(0).tells("up_to_date", Some("up_to_date"));
        let told = json.json();
        assert_eq!(told["message"], format!("{installed} is installed, the newest version"));
        assert_eq!(told["current"], installed);
    }
    // The installed tag is no longer on offer: what is said is still true.
    let world = with_build_metadata("v1.10.2");
    world.git_in(&world.path("work"), &["push", "--quiet", "origin", ":refs/tags/v1.10.2"]);
    let told = world.run("version-watch", &["--json"]).exits(0).json();
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("1.10.2 is installed, and 1.10.2+build.5 on offer is no newer"), "{message}");
}

#[test]
fn a_named_version_is_the_tag_of_exactly_that_name() {
    for (at, to, tag) in [
        ("v1.10.1", "v1.10.2", "v1.10.2"),
        ("v1.10.1", "1.10.2", "v1.10.2"),
        ("v1.10.1", "1.10.2+build.5", "v1.10.2+build.5"),
        ("v1.10.2+build.5", "v1.10.2", "v1.10.2"),
    ] {
        let world = with_build_metadata(at);
        let wanted = world.git(&["rev-parse", &format!("{tag}^{{commit}}")]);
        world.run("apply-update", &["--now", "--to", to, "--json"]).exits(42);
        assert_eq!(world.head(), wanted, "{at} {to}");
    }
    let world = with_build_metadata("v1.10.1");
    let run = world.run("apply-update", &["--now", "--to", "1.10.2+build.6", "--json"]).exits(1);
    run.tells("failed", Some("unknown_version"));
    // Where nobody names one, it is the one without build metadata.
    let told = world.run("version-watch", &["--json"]).exits(0).json();
    assert_eq!(told["tag"], "v1.10.2");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_for_diagnostics_changes_no_exit_code() {
    let world = World::new();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for program in PROGRAMS {
        let words: &[&str] = if program == "telec" { &["update", "--bogus"] } else { &["--bogus"] };
        let run: Run = world.program(program).args(words).stderr(full()).output().unwrap().into();
        run.exits(2);
    }
    // A warning: the project file cannot be read.
    fs::remove_file(world.path("checkout/pyproject.toml")).unwrap();
    fs::create_dir(world.path("checkout/pyproject.toml")).unwrap();
    let run: Run = world.program("telec").arg("version").stderr(full()).output().unwrap().into();
    run.exits(0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_a_failure() {
    let world = World::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run: Run = world.program("telec").args(["version", "--json"]).stdout(full).output().unwrap().into();
    let run = run.exits(1);
    assert!(run.stderr.contains("the result could not be written"), "{run:#?}");
}

#[test]
fn without_a_configuration_file_the_check_says_so() {
    let world = World::new();
    let run = world.run("version-watch", &["--check-config"]).exits(0);
    let path = world.path("checkout/config.yml");
    assert!(
        run.stdout.starts_with(&format!("there is no {}, all defaults hold: ", path.display())),
        "{run:#?}"
    );
}

#[test]
fn flags_take_their_value_behind_an_equals_sign_too() {
    let world = World::new();
    let repo = format!("--repo={}", world.checkout().display());
    world.run("version-watch", &[&repo, "--check-config"]).exits(0);
    world
        .run("apply-update", &[&repo, "--to=12", "--json"])
        .exits(2)
        .tells("invalid", Some("unknown_version"));
    world.run("run-migrations", &["--from=0.9.0", "--to=1.0.0", &repo, "--dry-run"]).exits(0);
    world.run("run-migrations", &["status", &repo]).exits(0);
    let run = world.run("version-watch", &["--json=yes"]).exits(2);
    assert!(run.stderr.contains("--json=yes"), "{run:#?}");
}

#[test]
fn help_is_help_wherever_it_stands() {
    let world = World::empty();
    for program in ["version-watch", "apply-update", "run-migrations"] {
        let help = world.run(program, &["--help"]).exits(0).stdout;
        for words in [&["-h"][..], &["--json", "--help"], &["--help", "--json"], &["--repo", "x", "-h"]] {
            assert_eq!(world.run(program, words).exits(0).stdout, help, "{program} {words:?}");
        }
    }
    let help = world.run("run-migrations", &["lint", "--help"]).exits(0).stdout;
    for words in [&["--json", "lint", "-h"][..], &["lint", "--json", "--help"], &["--help", "lint"]] {
        assert_eq!(world.run("run-migrations", words).exits(0).stdout, help, "{words:?}");
    }
}

#[test]
fn an_unset_variable_matters_only_where_its_value_is_used() {
    let world = World::new();
    let unused = ["pinned_minor", "api_url", "github_repo", "allowed_signers"];
    for key in unused {
        world.config(&format!("deployment:\n  {key}: ${{NOPE}}\n"));
        world.run("version-watch", &["--check-config"]).exits(0);
    }
    for (config, key) in [
        ("channel: stable\n  github_repo: o/n\n  pinned_minor: ${NOPE}", "pinned_minor"),
        ("channel: beta\n  github_repo: o/n\n  api_url: ${NOPE}", "api_url"),
        ("channel: beta\n  github_repo: ${NOPE}", "github_repo"),
        ("verify: commit\n  allowed_signers: ${NOPE}", "allowed_signers"),
    ] {
        world.config(&format!("deployment:\n  {config}\n"));
        let run = world.run("version-watch", &["--check-config"]).exits(2);
        assert!(run.stderr.contains(&format!("deployment.{key}: ${{NOPE}} is not set")), "{run:#?}");
    }
}

#[test]
fn sentences_name_what_is_to_be_mended() {
    let mut world = World::new();
    world.config("deployment: {channel: beta, github_repo: a/b.git}\n");
    assert!(world.run("version-watch", &["--check-config"]).exits(0).stdout.contains("releases of a/b\n"));
    let run: Run = world
        .program("version-watch")
        .arg("--check-config")
        .env("GITHUB_API_URL", "x")
        .output()
        .unwrap()
        .into();
    assert!(run.exits(2).stderr.starts_with("GITHUB_API_URL: "));
    let run = world.run("telec", &["update", "history", "-n", "-1"]).exits(2);
    assert!(run.stderr.contains("-n wants a whole number from 0"), "{run:#?}");
    assert_eq!(
        world.run("telec", &["update", "history", "-n0"]).exits(0).stdout,
        "no attempt was asked for (-n 0)\n"
    );
    let run = world.run("telec", &["update", "hold", "--reason", "a\u{1b}[2Jb"]).exits(0);
    assert!(run.stdout.contains("a\u{fffd}[2Jb"), "{run:#?}");
    let run = world.run("version-watch", &["--repo", ""]).exits(2);
    assert!(run.stderr.contains("--repo is empty"), "{run:#?}");
    world.write("checkout/bin/telec", "#!/bin/sh\n");
    let run = world.run("telec", &["todo"]).exits(1);
    assert!(run.stderr.contains("make it executable: chmod +x "), "{run:#?}");
    world.env("TELECLAUDE_REPO", "/nope");
    let run = world.run("telec", &["todo"]).exits(2);
    assert!(run.stderr.contains("TELECLAUDE_REPO names /nope, which is in no git checkout"), "{run:#?}");
    world.env("TELECLAUDE_REPO", "").env("TELECLAUDE_HOME", "~/other");
    world.run("telec", &["update", "hold"]).exits(0);
    assert!(world.path("home/other/hold.json").exists());
}

#[test]
fn a_repository_of_another_user_is_a_persons_matter() {
    let mut world = World::new();
    world.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let run = world.run("version-watch", &["--json"]).exits(3).tells("blocked", Some("dubious_ownership"));
    assert!(run.stdout.contains("git config --global --add safe.directory"), "{run:#?}");
    // The checkout is trusted, the remote is not.
    let text = format!("[safe]\n\tdirectory = {}\n", world.checkout().display());
    world.write("gitconfig", &text);
    let trusted = world.path("gitconfig");
    world.env("GIT_CONFIG_GLOBAL", trusted.to_str().unwrap());
    let run = world.run("version-watch", &["--json"]).exits(3).tells("blocked", Some("dubious_ownership"));
    assert!(run.stdout.contains("the git remote at "), "{run:#?}");
}

#[test]
fn a_folder_as_configuration_and_a_time_without_end_are_named() {
    let world = World::new();
    let mut command = world.program("version-watch");
    let run: Run = command.arg("--check-config").env("TELECLAUDE_CONFIG_PATH", ".").output().unwrap().into();
    let path = world.checkout();
    assert!(run.exits(2).stderr.starts_with(&format!("{}/.: is not a file", path.display())));
    let run = world.run("run-migrations", &["--timeout", "99999999999999999999"]).exits(2);
    assert!(run.stderr.contains("at most 30 days"), "{run:#?}");
}

#[test]
fn a_beginning_of_a_commit_that_is_not_here_needs_all_its_digits() {
    let world = World::new();
    let run = world.run("apply-update", &["--to", "abcdef1"]).exits(2);
    assert!(run.stderr.contains("no commit here begins with it"), "{run:#?}");
    assert!(run.stderr.contains("all 40 digits"), "{run:#?}");
}

#[test]
fn a_telec_that_calls_telec_twice_comes_to_an_end() {
    let world = World::new();
    let (script, count) = (world.path("checkout/bin/telec"), world.path("count"));
    let telec = binary("telec");
    let text =
        format!("#!/bin/sh\necho x >> {0}\n{1} \"$@\"\n{1} \"$@\"\n", count.display(), telec.display());
    world.write("checkout/bin/telec", &text);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // Bounded from outside too: without the bound inside, this would run for days.
    let run: Run = world
        .command("timeout", &world.checkout())
        .args(["20", telec.to_str().unwrap(), "todo"])
        .output()
        .unwrap()
        .into();
    let run = run.exits(2);
    assert!(run.stderr.contains("leads back to this program"), "{run:#?}");
    assert!(world.read("count").lines().count() <= 15);
}

#[test]
fn a_check_in_one_checkout_leaves_the_signal_of_another_alone() {
    let world = World::new();
    world.commit("second");
    world.run("version-watch", &[]).exits(0);
    let signal = world.state_file("update_available.json");
    assert_eq!(signal["repo"], world.checkout().to_str().unwrap());
    let origin = world.path("origin");
    world.git_in(&world.path(""), &["clone", "--quiet", origin.to_str().unwrap(), "other"]);
    let other = world.path("other");
    world.run("version-watch", &["--repo", other.to_str().unwrap()]).exits(0);
    assert_eq!(world.state_file("update_available.json"), signal);
    // One of its own takes the place, and says so.
    world.commit("third");
    let run = world.run("version-watch", &["--repo", other.to_str().unwrap()]).exits(0);
    assert!(run.stderr.contains("takes the place of the one for"), "{run:#?}");
    assert!(run.stderr.contains(world.checkout().to_str().unwrap()), "{run:#?}");
}
