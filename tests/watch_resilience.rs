//! `version-watch` under bad conditions: killed, stopped, locked out, damaged files, a hostile
//! environment, remotes that hang: through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests start programs and write files")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fs2::FileExt;
use serde_json::Value;
use support::api::{Api, Reply};
use support::{Run, World};

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn signal(world: &World) -> Value {
    world.state_file("update_available.json")
}

/// An executable shell script in the world.
fn script(world: &World, name: &str, body: &str) -> String {
    world.write(name, &format!("#!/bin/sh\n{body}\n"));
    std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    world.path(name).display().to_string()
}

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(world: &World, pid: &str) -> bool {
    // A zombie that nobody reaps is dead as well.
    let ps = world.command("ps", Path::new("/")).args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
    let state = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

#[test]
fn killed_at_any_moment_every_file_is_whole() {
    let (world, api) = (World::new(), Api::start());
    world.config(&format!(
        "deployment: {{channel: beta, github_repo: acme/app, api_url: \"{}\"}}\n",
        api.url()
    ));
    world.release("1.1.0");
    api.release("v1.1.0");
    let began = Instant::now();
    watch(&world).exits(0);
    let whole = began.elapsed();
    let names = ["version_watch.json", "update_available.json"];
    for n in 0..60_u32 {
        if n % 3 == 0 {
            // Something to write: the signal is made anew as well.
            std::fs::remove_file(world.state().join("update_available.json")).ok();
        }
        let mut child = world.program("version-watch").stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * n / 60);
        child.kill().unwrap();
        child.wait().unwrap();
        for name in names {
            // Reading panics on half a file.
            world.state_file(name);
        }
    }
    watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available"], "1.1.0");
    let left: Vec<_> = std::fs::read_dir(world.state())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| !n.ends_with(".lock") && !names.contains(&n.as_str()))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "no leftovers");
}

#[test]
fn many_at_once_do_no_harm() {
    let world = World::new();
    let commit = world.commit("second");
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = world.program("version-watch");
            command.arg("--json").stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        Run::from(child.wait_with_output().unwrap()).exits(0).tells("available", None);
    }
    assert_eq!(signal(&world)["available_commit"], commit);
}

#[test]
fn a_remote_that_hangs_is_ended_with_everything_it_started() {
    let mut world = World::new();
    let pids = world.path("pids").display().to_string();
    let ssh = script(&world, "slow-ssh", &format!("sleep 1000 &\necho $$ $! >> {pids}\nwait"));
    world.env("GIT_SSH_COMMAND", &ssh);
    world.git(&["remote", "set-url", "origin", "ssh://host.invalid/x"]);
    world.config("deployment: {timeouts: {check: 1s}}\n");
    let began = Instant::now();
    watch(&world).exits(75).tells("unreachable", Some("timeout"));
    assert!(began.elapsed() < Duration::from_secs(10));
    for pid in world.read("pids").split_whitespace() {
        wait_until("the end of the remote's processes", || !is_alive(&world, pid));
    }
}

#[test]
fn a_stop_is_passed_on_and_told() {
    let mut world = World::new();
    let pids = world.path("pids").display().to_string();
    let ssh = script(&world, "slow-ssh", &format!("echo $$ >> {pids}\nexec sleep 1000"));
    world.env("GIT_SSH_COMMAND", &ssh);
    world.git(&["remote", "set-url", "origin", "ssh://host.invalid/x"]);
    let child = world
        .program("version-watch")
        .arg("--json")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the remote being asked", || std::fs::read_to_string(&pids).is_ok_and(|t| t.ends_with('\n')));
    let stopped = world.command("kill", Path::new("/")).args(["-TERM", &child.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    Run::from(child.wait_with_output().unwrap()).exits(1).tells("failed", Some("interrupted"));
    wait_until("the end of the remote's process", || !is_alive(&world, &world.read("pids")));
}

#[test]
fn one_deadline_covers_git_and_http() {
    let (mut world, api) = (World::new(), Api::start());
    let ssh = script(&world, "slow-ssh", "exec sleep 1000");
    world.env("GIT_SSH_COMMAND", &ssh);
    world.git(&["remote", "set-url", "origin", "ssh://host.invalid/x"]);
    world.config(&format!(
        "deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\", timeouts: {{check: 2s}}}}\n",
        api.url()
    ));
    api.release("v1.1.0");
    let began = Instant::now();
    watch(&world).exits(75).tells("unreachable", Some("timeout"));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_git_that_dies_or_babbles_is_no_answer() {
    let mut world = World::new();
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    let before = signal(&world);
    let real = world.command("sh", Path::new("/")).args(["-c", "command -v git"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    world.env("PATH", &path);
    for (behaviour, reason) in [
        ("kill -9 $$", "unreachable"),
        ("exit 128", "unreachable"),
        ("echo '<html>'", "bad_response"),
        ("printf 'abc\\trefs/heads/main\\n'", "bad_response"),
        ("head -c 40000000 /dev/zero", "bad_response"),
        ("yes", "bad_response"),
    ] {
        let fake =
            format!("case \"$*\" in *ls-remote*) {behaviour}; exit;; esac\nexec {} \"$@\"", real.trim());
        script(&world, "bin/git", &fake);
        world.config("deployment: {timeouts: {check: 2s}}\n");
        let run = watch(&world).exits(75);
        let told = run.json()["reason"].as_str().unwrap().to_owned();
        assert!(told == reason || (behaviour == "yes" && told == "timeout"), "{behaviour}: {run:#?}");
        assert_eq!(signal(&world), before, "{behaviour}");
    }
}

#[test]
fn an_inherited_repository_is_not_ours() {
    let mut world = World::new();
    let commit = world.commit("second");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"] {
        world.env(name, "/nonexistent");
    }
    world.env("GIT_CONFIG_PARAMETERS", "'remote.origin.url'='/nonexistent'");
    world.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "remote.origin.url");
    world.env("GIT_CONFIG_VALUE_0", "/nonexistent");
    watch(&world).exits(0).tells("available", None);
    assert_eq!(signal(&world)["available_commit"], commit);
}

#[test]
fn ssh_runs_in_batch_mode_unless_the_user_chose_otherwise() {
    let mut world = World::new();
    let log = world.path("ssh.log").display().to_string();
    let ssh = script(&world, "ssh-log", &format!("echo \"$*\" >> {log}\nexit 255"));
    world.git(&["remote", "set-url", "origin", "ssh://host.invalid/x"]);
    world.git(&["config", "core.sshCommand", &ssh]);
    watch(&world).exits(75);
    assert!(world.read("ssh.log").contains("-o BatchMode=yes"), "{}", world.read("ssh.log"));
    std::fs::remove_file(&log).unwrap();
    world.env("GIT_SSH_COMMAND", &ssh);
    watch(&world).exits(75);
    assert!(!world.read("ssh.log").contains("BatchMode"), "{}", world.read("ssh.log"));
}

#[test]
fn names_that_would_be_options_are_refused() {
    let world = World::new();
    for setting in
        ["remote: \"--upload-pack=touch pwned\"", "branch: \"--upload-pack=touch pwned\"", "branch: \"ma*n\""]
    {
        world.config(&format!("deployment: {{{setting}}}\n"));
        watch(&world).exits(2).tells("invalid", Some("invalid_config"));
    }
    assert!(!world.path("checkout/pwned").exists());
}

#[test]
fn a_damaged_or_newer_memory_is_rebuilt_and_the_old_one_kept_aside() {
    for content in
        ["{\"schema\": 1, \"chec", "", "[]", "{\"schema\": 99}", "{\"schema\": 1, \"retry_at\": 7}", "\u{0}"]
    {
        let world = World::new();
        let commit = world.commit("second");
        world.write("home/.teleclaude/version_watch.json", content);
        let run = watch(&world).exits(0).tells("available", None);
        assert!(run.stderr.contains("moved aside"), "{content:?} {run:#?}");
        assert_eq!(world.read("home/.teleclaude/version_watch.json.damaged"), content);
        assert_eq!(world.state_file("version_watch.json")["schema"], 1);
        assert_eq!(signal(&world)["available_commit"], commit);
    }
}

#[test]
fn a_damaged_or_newer_signal_is_refused_unharmed() {
    for (content, reason) in [
        ("{\"schema\": 1, \"avail", "state_damaged"),
        ("{\"schema\": 1}", "state_damaged"),
        ("{\"schema\": 2, \"x\": 1}", "state_newer"),
    ] {
        for newer in [true, false] {
            let world = World::new();
            if newer {
                world.commit("second");
            }
            world.write("home/.teleclaude/update_available.json", content);
            watch(&world).exits(3).tells("blocked", Some(reason));
            assert_eq!(world.read("home/.teleclaude/update_available.json"), content);
        }
    }
}

#[test]
fn foreign_keys_in_the_memory_and_foreign_files_stay() {
    let world = World::new();
    world.write("home/.teleclaude/version_watch.json", "{\"schema\": 1, \"theirs\": {\"a\": [1]}}");
    world.write("home/.teleclaude/teleclaude.db", "theirs");
    watch(&world).exits(0);
    assert_eq!(world.state_file("version_watch.json")["theirs"]["a"][0], 1);
    assert_eq!(world.read("home/.teleclaude/teleclaude.db"), "theirs");
    let mode = std::fs::metadata(world.state().join("version_watch.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn somebody_elses_lock_on_the_signal_is_waited_for_and_then_told() {
    let world = World::new();
    world.commit("second");
    watch(&world).exits(0);
    let lock = std::fs::File::open(world.state().join("update_available.json.lock")).unwrap();
    lock.lock_exclusive().unwrap();
    let child = world
        .program("version-watch")
        .arg("--json")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let run = Run::from(child.wait_with_output().unwrap()).exits(75);
    run.tells("unreachable", Some("locked"));
    drop(lock);
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn a_hold_does_not_stop_looking() {
    let world = World::new();
    world.commit("second");
    world.write("home/.teleclaude/hold.json", "{\"schema\": 1, \"until\": null, \"reason\": \"demo\"}");
    watch(&world).exits(0).tells("available", None);
}

#[test]
fn proxies_of_the_environment_are_used_and_exceptions_honoured() {
    let (mut world, proxy) = (World::new(), Api::start());
    proxy.always(Some(Reply::status(502)));
    world.env("ALL_PROXY", proxy.url());
    world.config("deployment: {channel: beta, github_repo: a/b, api_url: \"http://api.invalid\"}\n");
    watch(&world).exits(75);
    assert!(proxy.requests()[0].path.contains("api.invalid"), "{:?}", proxy.requests());
    let api = Api::start();
    world.env("NO_PROXY", "127.0.0.1");
    world.config(&format!("deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\"}}\n", api.url()));
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
}

#[test]
fn flags_and_configuration_have_their_exit_codes() {
    let world = World::new();
    assert_eq!(world.run("version-watch", &["--nonsense"]).code, 2);
    assert_eq!(world.run("version-watch", &["extra"]).code, 2);
    let help = world.run("version-watch", &["--help"]).exits(0);
    assert!(help.stdout.contains("--check-config"), "{help:#?}");
    let version = world.run("version-watch", &["--version"]).exits(0);
    assert!(version.stdout.starts_with("version-watch "), "{version:#?}");
    world.run("version-watch", &["--check-config"]).exits(0);
    assert!(!world.state().exists(), "checking the configuration writes nothing");
    world.config("deployment:\n  chanel: beta\n");
    let run = world.run("version-watch", &["--check-config", "--json"]).exits(2);
    let run = run.tells("invalid", Some("invalid_config"));
    let message = run.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("config.yml") && message.contains(":2") && message.contains("channel"),
        "{message}"
    );
    assert_eq!(world.run("version-watch", &["--quiet", "--repo", "/"]).code, 2);
}

#[test]
fn quiet_says_nothing_unless_something_is_wrong() {
    let world = World::new();
    let run = world.run("version-watch", &["--quiet"]).exits(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    world.config("deployment: {remote: nowhere}\n");
    let run = world.run("version-watch", &["--quiet"]).exits(3);
    assert!(run.stderr.contains("nowhere"), "{run:#?}");
}
