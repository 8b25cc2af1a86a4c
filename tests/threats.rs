//! Ways to lead an update astray from outside: names, configuration and hooks that git would obey,
//! offers that poison the future, and remotes that never end.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::api::{Api, Reply};
use support::{Run, World};

fn watch(world: &World) -> Run {
    world.run("version-watch", &["--json"])
}

fn apply(world: &World) -> Run {
    watch(world).exits(0).tells("available", None);
    world.run("apply-update", &["--json"])
}

/// A program in the world that leaves a mark when it is run, and then does `more`.
fn trap(world: &World, name: &str, more: &str) -> String {
    let mark = world.path("sprung").display().to_string();
    world.write(name, &format!("#!/bin/sh\necho {name} >> {mark}\n{more}\n"));
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    world.path(name).display().to_string()
}

#[track_caller]
fn nothing_sprung(world: &World) {
    let mark = world.path("sprung");
    assert!(!mark.exists(), "run: {}", fs::read_to_string(mark).unwrap());
}

const HOOKS: &[&str] = &[
    "post-checkout",
    "post-index-change",
    "post-merge",
    "pre-auto-gc",
    "reference-transaction",
    "fsmonitor-watchman",
];

#[test]
fn hooks_in_the_checkout_or_where_it_points_are_not_run() {
    for path in [None, Some(".githooks")] {
        let world = World::new();
        // A folder of hooks that the tree itself brings along is the usual way to share them.
        let folder = if path.is_some() { "work/.githooks" } else { "checkout/.git/hooks" };
        for hook in HOOKS {
            trap(&world, &format!("{folder}/{hook}"), "");
        }
        world.commit("second");
        if let Some(path) = path {
            world.git(&["config", "core.hooksPath", path]);
            world.git(&["-c", "core.hooksPath=/dev/null", "pull", "--quiet"]);
            world.commit("third");
        }
        apply(&world).exits(42);
        nothing_sprung(&world);
    }
}

#[test]
fn a_file_system_monitor_of_the_checkout_is_not_run() {
    let world = World::new();
    let monitor = trap(&world, "monitor", "printf '1\\0/\\0'");
    world.git(&["config", "core.fsmonitor", &monitor]);
    world.write("work/a.txt", "a\n");
    world.commit("second");
    apply(&world).exits(42);
    nothing_sprung(&world);
}

#[test]
fn pagers_editors_and_askers_are_not_run() {
    let mut world = World::new();
    let program = trap(&world, "program", "cat");
    for key in [
        "core.pager",
        "core.editor",
        "core.askPass",
        "pager.log",
        "pager.tag",
        "pager.config",
        "sequence.editor",
    ] {
        world.git(&["config", key, &program]);
    }
    for name in ["GIT_PAGER", "PAGER", "GIT_EDITOR", "EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_EXTERNAL_DIFF"] {
        world.env(name, &program);
    }
    world.write("work/a.txt", "a\n");
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    world.run("apply-update", &["--plan"]).exits(0);
    world.run("apply-update", &["--json"]).exits(42);
    nothing_sprung(&world);
}

#[test]
fn what_the_tree_says_about_filters_and_submodules_starts_nothing() {
    let world = World::new();
    let program = trap(&world, "program", "cat");
    world.write("work/.gitattributes", "* filter=own diff=own merge=own\n");
    world.write(
        "work/.gitconfig",
        &format!(
            "[filter \"own\"]\n\tsmudge = {program}\n\tclean = {program}\n[core]\n\tfsmonitor = {program}\n"
        ),
    );
    world.write("work/.lfsconfig", &format!("[lfs]\n\turl = ext::{program}\n"));
    world.write(
        "work/.gitmodules",
        &format!("[submodule \"s\"]\n\tpath = s\n\turl = ext::{program}\n\tupdate = !{program}\n"),
    );
    world.write("work/a.txt", "a\n");
    let work = world.path("work");
    world.git_in(&work, &["add", "--all"]);
    let entry = format!("160000,{},s", world.git_in(&work, &["rev-parse", "HEAD"]));
    world.git_in(&work, &["update-index", "--add", "--cacheinfo", &entry]);
    world.git_in(&work, &["commit", "--quiet", "-m", "second"]);
    world.git_in(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    for key in ["submodule.recurse", "fetch.recurseSubmodules"] {
        world.git(&["config", key, "true"]);
    }
    world.git(&["config", "protocol.ext.allow", "always"]);
    apply(&world).exits(42);
    assert_eq!(world.read("checkout/a.txt"), "a\n");
    nothing_sprung(&world);
}

#[test]
fn inherited_settings_of_git_send_it_nowhere_else() {
    let mut world = World::new();
    world.write("work/a.txt", "a\n");
    let commit = world.commit("second");
    world.git_in(
        &world.path(""),
        &["clone", "--quiet", "--bare", world.path("work").to_str().unwrap(), "evil"],
    );
    world.write("work/a.txt", "evil\n");
    world.git_in(&world.path("work"), &["commit", "--quiet", "-am", "evil"]);
    let evil = world.path("evil").display().to_string();
    world.git_in(&world.path("work"), &["push", "--quiet", &evil, "HEAD:main"]);
    let origin = world.path("origin").display().to_string();
    let program = trap(&world, "program", "");
    world.env("GIT_CONFIG_COUNT", "3");
    for (n, (key, value)) in [
        (format!("url.{evil}.insteadOf"), origin.clone()),
        ("remote.origin.uploadpack".to_owned(), program.clone()),
        ("core.fsmonitor".to_owned(), program.clone()),
    ]
    .iter()
    .enumerate()
    {
        world.env(&format!("GIT_CONFIG_KEY_{n}"), key).env(&format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    world.env("GIT_CONFIG_PARAMETERS", &format!("'url.{evil}.insteadof'='{origin}'"));
    for (name, value) in [
        ("GIT_DIR", evil.as_str()),
        ("GIT_WORK_TREE", "/nowhere"),
        ("GIT_INDEX_FILE", "/nowhere"),
        ("GIT_OBJECT_DIRECTORY", "/nowhere"),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/nowhere"),
        ("GIT_NAMESPACE", "other"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_ICASE_PATHSPECS", "1"),
    ] {
        world.env(name, value);
    }
    apply(&world).exits(42);
    assert_eq!(world.read("checkout/.git/refs/heads/main").trim(), commit);
    assert_eq!(world.read("checkout/a.txt"), "a\n");
    nothing_sprung(&world);
}

#[test]
fn an_address_that_would_be_an_option_or_a_command_is_not_obeyed() {
    let world = World::new();
    world.commit("second");
    let program = trap(&world, "program", "");
    for url in [
        format!("--upload-pack={program}"),
        format!("ext::{program}"),
        format!("ssh://-oProxyCommand={program}/x"),
        format!("-oProxyCommand={program}:x"),
    ] {
        world.git(&["config", "remote.origin.url", &url]);
        let run = watch(&world);
        assert!([1, 75].contains(&run.code), "{url}: {run:#?}");
        assert_eq!(run.json()["available"], serde_json::Value::Null, "{url}");
    }
    nothing_sprung(&world);
}

#[test]
fn tags_that_only_look_like_versions_are_never_asked_for() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    let newer = world.commit("second");
    let packed: String = [
        "v9.9.9;touch${IFS}pwned",
        "v9.9.9$(touch${IFS}pwned)",
        "--upload-pack=x",
        "v9.9",
        "x/v9.9.9",
        "v9.9.9+é",
    ]
    .iter()
    .map(|tag| format!("{newer} refs/tags/{tag}\n"))
    .collect();
    world.write("origin/packed-refs", &format!("# pack-refs with: peeled fully-peeled sorted \n{packed}"));
    let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert!(run.json()["skipped_tags"].as_u64().unwrap() >= 4, "{run:#?}");
    assert!(!world.path("checkout/pwned").exists());
}

#[test]
fn a_branch_whose_name_only_ends_in_the_one_that_is_followed_is_not_it() {
    let world = World::new();
    let work = world.path("work");
    world.git_in(&work, &["commit", "--quiet", "--allow-empty", "-m", "decoy"]);
    // Before and behind the real one, in the order of the list.
    for name in ["a/refs/heads/main", "x/refs/heads/main"] {
        world.git_in(&work, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{name}")]);
    }
    watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
}

#[test]
fn an_answer_of_the_api_that_never_ends_is_cut_long_before_the_deadline() {
    let world = World::new();
    let api = Api::start();
    api.order(Reply::Endless);
    world.config(&format!(
        "deployment: {{channel: beta, github_repo: a/b, api_url: \"{}\", timeouts: {{check: 60s}}}}\n",
        api.url()
    ));
    let run = watch(&world).exits(75).tells("unreachable", Some("bad_response"));
    assert!(run.json()["message"].as_str().unwrap().contains("longer than"), "{run:#?}");
}

#[test]
fn a_version_far_ahead_that_is_taken_back_does_not_stop_what_comes() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    world.release("999.0.0");
    watch(&world).exits(0).tells("available", None);
    world.git_in(&world.path("work"), &["push", "--quiet", "origin", ":refs/tags/v999.0.0"]);
    let good = world.release("1.1.0");
    apply(&world).exits(42);
    assert_eq!(world.head(), good);
}

#[test]
fn a_version_far_ahead_that_was_installed_is_left_by_a_person() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    world.release("999.0.0");
    apply(&world).exits(42);
    world.git_in(&world.path("work"), &["push", "--quiet", "origin", ":refs/tags/v999.0.0"]);
    let good = world.release("1.1.0");
    let run = watch(&world).exits(0).tells("up_to_date", Some("up_to_date"));
    assert!(run.json()["message"].as_str().unwrap().contains("999.0.0"), "{run:#?}");
    world.run("apply-update", &["--json", "--to", "1.1.0"]).exits(3).tells("blocked", Some("downgrade"));
    world.run("apply-update", &["--json", "--to", "1.1.0", "--allow-downgrade"]).exits(42);
    assert_eq!(world.head(), good);
}

#[test]
fn version_and_commit_come_from_one_answer() {
    let world = World::new();
    world.config("deployment: {channel: beta, source: tags}\n");
    let one = world.release("1.1.0");
    watch(&world).exits(0).tells("available", None);
    // Between the look and the update everything else moves on.
    world.release("1.2.0");
    world.commit("not released");
    world.run("apply-update", &["--json"]).exits(42);
    assert_eq!(world.head(), one);
    assert_eq!(world.state_file("deploy_status.json")["to"], "1.1.0");
}

#[test]
fn a_fetch_that_never_ends_is_ended() {
    let world = World::new();
    world.config("deployment: {timeouts: {fetch: 1s}}\n");
    world.commit("second");
    watch(&world).exits(0).tells("available", None);
    let program = trap(&world, "slow", "exec sleep 1000");
    world.git(&["config", "remote.origin.uploadpack", &program]);
    let before = world.head();
    world.run("apply-update", &["--json"]).exits(75).tells("unreachable", Some("timeout"));
    assert_eq!(world.head(), before);
}

#[test]
fn a_list_of_references_that_never_ends_is_cut() {
    let mut world = World::new();
    world.commit("second");
    let line = format!("{}\trefs/heads/x", "a".repeat(40));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *ls-remote*) yes '{line}' | head -n 1000000; {0} \"$@\";; *) exec {0} \"$@\";; esac\n",
        support::real_git().display()
    );
    world.put_on_path("git", &script);
    let run = watch(&world).exits(75).tells("unreachable", Some("bad_response"));
    assert!(run.json()["message"].as_str().unwrap().contains("lists more than"), "{run:#?}");
}

#[test]
fn a_project_file_without_an_end_is_passed_over() {
    let world = World::new();
    fs::remove_file(world.path("work/pyproject.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.path("work/pyproject.toml")).unwrap();
    let commit = world.commit("second");
    let run = apply(&world).exits(42);
    assert!(run.stderr.contains("pyproject.toml: it is no plain file"), "{run:#?}");
    assert_eq!(world.head(), commit);
}

// --- the document -----------------------------------------------------------------------------

/// The cells of every row of the tables in the document.
fn rows() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/project/design/threat-model.md");
    let text = fs::read_to_string(path).unwrap();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = text.lines().filter(|l| l.starts_with("| ")).map(cells).collect();
    rows.into_iter().filter(|r| r[0] != "threat" && !r[0].starts_with("---")).collect()
}

#[test]
fn every_row_of_the_threat_model_names_tests_that_there_are() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let rows = rows();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let [threat, stops, proof] = &row[..] else { panic!("{row:?} has three cells") };
        assert!(!threat.is_empty() && !stops.is_empty());
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{threat}: no test is named");
        for name in named {
            let (file, test) =
                name.split_once("::").unwrap_or_else(|| panic!("{threat}: {name} is no file::test"));
            let text = fs::read_to_string(tests.join(format!("{file}.rs")))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(text.contains(&format!("#[test]\nfn {test}()")), "{threat}: there is no test {name}");
        }
    }
}
