//! `telec`: what is handed on and how, what is ours, and what it says.
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Run, World, binary};

fn executable(world: &World, relative: &str, script: &str) {
    world.write(relative, script);
    fs::set_permissions(world.path(relative), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A checkout whose own `telec` is this shell script.
fn with_own_telec(script: &str) -> World {
    let world = World::new();
    executable(&world, "checkout/bin/telec", &format!("#!/bin/sh\n{script}\n"));
    world
}

/// The last line of standard error is the sentence; a circle says nothing else.
#[track_caller]
fn one_sentence(run: &Run, part: &str) {
    assert_eq!(run.stdout, "", "{run:#?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    assert!(run.stderr.contains(part), "{run:#?}");
}

// Handing on.

#[test]
fn arguments_arrive_byte_for_byte() {
    let world = with_own_telec("printf '%s\\0' \"$@\" > ../argv");
    let cases: [&[&[u8]]; 9] = [
        &[],
        &[b"--help"],
        &[b"-x", b"version"],
        &[b"--repo", b"/nowhere", b"update"],
        &[b"todo", b"", b" ", b"a b", b"*", b"$HOME", b"`id`", b"'\"\\", b"line\nbreak", b"\t"],
        &[b"--", b"version", b"--json"],
        &[b"not\xff\xfeutf-8", b"\x80", b"caf\xc3\xa9"],
        &[b"Version"],
        &[b"", b"version"],
    ];
    for arguments in cases {
        let mut command = world.program("telec");
        let run: Run = command.args(arguments.iter().map(|a| OsStr::from_bytes(a))).output().unwrap().into();
        run.exits(0);
        // printf prints one empty item where there are no arguments.
        let expected: Vec<u8> = if arguments.is_empty() {
            vec![0]
        } else {
            arguments.iter().flat_map(|argument| [argument, b"\0".as_slice()].concat()).collect()
        };
        assert_eq!(fs::read(world.path("argv")).unwrap(), expected, "{arguments:?}");
    }
}

#[test]
fn exit_code_streams_directory_and_environment_are_left_alone() {
    let mut world = with_own_telec("cat; pwd -P; echo err >&2; env > ../../environment; exit 117");
    world.env("GIT_DIR", "/somewhere/else").env("ODD", "two\nlines");
    let below = world.path("checkout/deep");
    fs::create_dir(&below).unwrap();
    let mut child = world
        .program("telec")
        .arg("anything")
        .current_dir(&below)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let run: Run = child.wait_with_output().unwrap().into();
    assert_eq!(run.stdout, format!("typed\n{}\n", below.display()));
    assert_eq!(run.stderr, "err\n");
    let environment = world.read("environment");
    assert!(environment.contains("GIT_DIR=/somewhere/else\n"), "{environment}");
    assert!(environment.contains("ODD=two\nlines\n"), "{environment}");
    run.exits(117);
}

#[test]
fn an_ignored_hang_up_stays_ignored() {
    let world = with_own_telec("kill -HUP $$; echo survived");
    let run: Run = world
        .command("/bin/sh", &world.checkout())
        .args(["-c", "trap '' HUP; exec \"$0\" job"])
        .arg(binary("telec"))
        .output()
        .unwrap()
        .into();
    assert_eq!(run.exits(0).stdout, "survived\n");
}

#[test]
fn the_checkout_is_the_named_one_or_the_one_around() {
    let mut world = with_own_telec("echo around");
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "around\n");
    executable(&world, "other/bin/telec", "#!/bin/sh\necho other\n");
    fs::create_dir(world.path("other/.git")).unwrap();
    let other = world.path("other/bin");
    world.env("TELECLAUDE_REPO", other.to_str().unwrap());
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "other\n");
    world.env("TELECLAUDE_REPO", "");
    assert_eq!(world.run("telec", &["x"]).exits(0).stdout, "around\n");
}

#[test]
fn a_linked_worktree_has_its_own_telec() {
    let world = World::new();
    world.git(&["worktree", "add", "--quiet", "../linked"]);
    executable(&world, "linked/bin/telec", "#!/bin/sh\necho linked\n");
    let run: Run = world.program("telec").arg("x").current_dir(world.path("linked")).output().unwrap().into();
    assert_eq!(run.exits(0).stdout, "linked\n");
}

#[test]
fn outside_a_checkout_is_wrong_usage() {
    let world = World::empty();
    for arguments in [&[][..], &["--help"], &["todo", "list"]] {
        let run = world.run("telec", arguments).exits(2);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("no git checkout here"), "{run:#?}");
    }
}

#[test]
fn where_there_is_no_other_telec_our_help_answers() {
    let world = World::new();
    for arguments in [&[][..], &["--help"], &["-h"]] {
        let run = world.run("telec", arguments).exits(0);
        assert!(run.stdout.starts_with("Usage: telec <command>"), "{run:#?}");
    }
    assert!(world.run("telec", &["--version"]).exits(0).stdout.starts_with("telec 1."));
    let run = world.run("telec", &["todo"]).exits(2);
    assert!(run.stderr.contains("'todo' is no command of ours"), "{run:#?}");
    assert!(run.stderr.contains("Usage: telec"), "{run:#?}");
}

#[test]
fn a_telec_that_cannot_be_started_is_said() {
    let world = with_own_telec("true");
    fs::set_permissions(world.path("checkout/bin/telec"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = world.run("telec", &["x"]).exits(1);
    one_sentence(&run, "checkout/bin/telec: ");
}

// Never to itself.

#[test]
fn a_link_to_this_program_is_not_another_telec() {
    let world = World::new();
    fs::create_dir(world.path("checkout/bin")).unwrap();
    symlink(binary("telec"), world.path("checkout/bin/telec")).unwrap();
    assert!(world.run("telec", &["todo"]).exits(2).stderr.contains("'todo' is no command of ours"));
    assert!(world.run("telec", &[]).exits(0).stdout.starts_with("Usage: telec"));
}

#[test]
fn a_copy_of_this_program_ends_in_help() {
    let world = World::new();
    fs::create_dir(world.path("checkout/bin")).unwrap();
    fs::copy(binary("telec"), world.path("checkout/bin/telec")).unwrap();
    assert!(world.run("telec", &["todo"]).exits(2).stderr.contains("'todo' is no command of ours"));
}

#[test]
fn wrappers_that_lead_back_are_noticed() {
    for script in ["exec .venv/bin/telec \"$@\"", ".venv/bin/telec \"$@\"", ".venv/bin/telec changed \"$@\""]
    {
        let world = with_own_telec(script);
        fs::create_dir_all(world.path("checkout/.venv/bin")).unwrap();
        fs::copy(binary("telec"), world.path("checkout/.venv/bin/telec")).unwrap();
        for start in [binary("telec"), world.path("checkout/.venv/bin/telec")] {
            let mut command = world.command(start.to_str().unwrap(), &world.checkout());
            let run: Run = command.arg("todo").output().unwrap().into();
            let run = run.exits(2);
            one_sentence(&run, "checkout/bin/telec leads back to this program");
        }
    }
}

#[test]
fn telec_inside_the_checkouts_telec_is_no_circle() {
    let script = format!(
        "case $1 in *..........) echo bottom;; *) {telec} \"$1.\"; {telec} \"$1.\" > /dev/null || echo no;; esac",
        telec = binary("telec").display()
    );
    let world = with_own_telec(&script);
    assert_eq!(world.run("telec", &["x......."]).exits(0).stdout, "bottom\n");
}

// Our words.

#[test]
fn workers_take_the_remaining_words() {
    let world = World::new();
    for (words, worker, flags) in [
        (&["migrate", "--nonsense"][..], "run-migrations", &["--nonsense"][..]),
        (&["update", "--nonsense"], "apply-update", &["--nonsense"]),
        (&["update", "plan", "--nonsense"], "apply-update", &["--plan", "--nonsense"]),
        (&["update", "check", "--nonsense"], "version-watch", &["--nonsense"]),
        (&["update", "--json", "check"], "version-watch", &["--json"]),
        (&["migrate", "status", "--json"], "run-migrations", &["status", "--json"]),
    ] {
        let (ours, theirs) = (world.run("telec", words), world.run(worker, flags));
        assert_eq!((ours.code, &ours.stderr), (theirs.code, &theirs.stderr), "{words:?}");
    }
}

#[test]
fn deploy_is_gone() {
    let world = with_own_telec("echo handed on");
    let run = world.run("telec", &["deploy", "--all"]).exits(2);
    one_sentence(&run, "telec deploy is gone, deployment is automatic: use 'telec update'");
    let json = world.run("telec", &["deploy", "--json"]).exits(2).tells("invalid", Some("gone"));
    assert_eq!(json.stderr, "");
    let nowhere = World::empty();
    nowhere.run("telec", &["deploy"]).exits(2);
}

#[test]
fn wrong_words_and_flags_of_update_are_wrong_usage() {
    let world = World::new();
    for (words, part) in [
        (&["update", "statsu"][..], "did you mean 'status'?"),
        (&["update", "frobnicate"], "has no command 'frobnicate'"),
        (&["update", "status", "--nonsense"], "'--nonsense'"),
        (&["update", "status", "now"], "unexpected word 'now'"),
        (&["update", "history", "-n"], "-n"),
        (&["update", "history", "-n", "few"], "few"),
        (&["update", "history", "-n", "-1"], "-1"),
        (&["update", "hold", "--until"], "--until"),
        (&["update", "hold", "--until", "2001-01-01T00:00:00Z"], "is not in the future"),
        (&["update", "hold", "--until", "some day"], "is not a time"),
        (&["update", "resume", "-x"], "'-x'"),
        (&["update", "resume", "--json=yes"], "--json"),
        (&["version", "1.0.0"], "unexpected word '1.0.0'"),
    ] {
        let run = world.run("telec", words).exits(2);
        assert_eq!(run.stdout, "", "{words:?}");
        assert!(run.stderr.contains(part), "{words:?}: {run:#?}");
    }
    assert!(!world.state().join("hold.json").exists());
}

#[test]
fn every_word_has_help() {
    let world = World::empty();
    for word in ["status", "history", "hold", "resume"] {
        let run = world.run("telec", &["update", word, "--help"]).exits(0);
        assert!(run.stdout.starts_with(&format!("Usage: telec update {word}")), "{run:#?}");
    }
    assert!(world.run("telec", &["version", "--help"]).exits(0).stdout.starts_with("Usage: telec version"));
    assert!(world.run("telec", &["update", "--help"]).exits(0).stdout.contains("history [-n N]"));
}

// Version.

#[test]
fn the_version_line_of_each_channel() {
    let world = World::new();
    let commit = world.head();
    let tiny = &commit[..7];
    for (channel, config, follows, pin) in [
        ("alpha", "", "alpha", Value::Null),
        ("beta", "deployment: {channel: beta}\n", "beta", Value::Null),
        ("stable", "deployment: {channel: stable, pinned_minor: 1.10}\n", "stable (1.10)", json!("1.10")),
    ] {
        world.config(config);
        let run = world.run("telec", &["version"]).exits(0);
        assert_eq!(run.stdout, format!("TeleClaude v1.0.0 (channel: {follows}, commit: {tiny})\n"));
        let json = world.run("telec", &["version", "--json"]).exits(0).tells("ok", None).json();
        assert_eq!(json["name"], "TeleClaude");
        assert_eq!(json["version"], "1.0.0");
        assert_eq!(json["channel"], channel);
        assert_eq!(json["pinned_minor"], pin);
        assert_eq!(json["commit"], commit);
    }
}

#[test]
fn the_version_of_a_release_is_its_tag_and_of_alpha_the_project_files() {
    let world = World::new();
    world.git(&["tag", "v1.2.0"]);
    world.git(&["tag", "v1.10.0"]);
    world.git(&["tag", "nightly"]);
    for (config, version) in [
        ("", "1.0.0"),
        ("deployment: {channel: beta}", "1.10.0"),
        ("deployment: {channel: stable, pinned_minor: '1.10'}", "1.10.0"),
    ] {
        world.config(config);
        let json = world.run("telec", &["version", "--json"]).exits(0).json();
        assert_eq!(json["version"], version, "{config}");
    }
}

#[test]
fn a_project_without_a_file_is_called_by_its_folder() {
    let world = World::new();
    fs::remove_file(world.path("checkout/pyproject.toml")).unwrap();
    let run = world.run("telec", &["version"]).exits(0);
    assert!(run.stdout.starts_with("checkout (no version) (channel: alpha, commit: "), "{run:#?}");
    assert_eq!(world.run("telec", &["version", "--json"]).json()["version"], Value::Null);
}

#[test]
fn version_needs_a_checkout_and_a_valid_configuration() {
    World::empty().run("telec", &["version", "--json"]).exits(2).tells("invalid", Some("no_checkout"));
    let world = World::new();
    world.config("deployment: {channel: gamma}\n");
    world.run("telec", &["version", "--json"]).exits(2).tells("invalid", Some("invalid_config"));
    assert!(!world.state().exists(), "telling the version creates nothing");
}
