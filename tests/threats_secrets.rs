//! Secrets in every place where one can be, commands that print them all and fail: none of them is in
//! a file of ours, in what is said, or on a command line.

mod support;

use std::fs;
use std::path::Path;

use support::api::{Api, Reply};
use support::{Run, World};

/// Each from its own place, so that a leak names its source.
const SECRETS: &[(&str, &str)] = &[
    ("GITHUB_TOKEN of the environment", "gho-tokenofenv-7f3a9c"),
    ("a token of .env", "tokenofdotenv-51be20"),
    ("the password in the remote's URL", "passofurl-93dd41"),
    ("the password in redis.url", "passofredisurl-0b66fe"),
    ("redis.password", "redispassword-c81d77"),
    ("a token on a configured command line", "tokenofcommand-2a94e5"),
];

const PRINT_ALL: &str = "env; cat .env config.yml; git config remote.origin.url; git config --list; echo \"$0 $*\"; \
     git config remote.origin.url | cut -d: -f3 | cut -d@ -f1";

/// Everything that was said, by command.
struct Said(Vec<(String, Run)>);

impl Said {
    fn run(&mut self, world: &World, program: &str, arguments: &[&str]) -> i32 {
        let run = world.run(program, arguments);
        let code = run.code;
        self.0.push((format!("{program} {}", arguments.join(" ")), run));
        code
    }
}

fn secret(place: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| name.contains(place)).expect("a place").1
}

/// A checkout with every secret in its place; `install`, `restart` and `health` are shell lines.
fn world(install: &str, health: &str) -> World {
    let mut world = World::new();
    world.env("GITHUB_TOKEN", secret("GITHUB_TOKEN"));
    let origin = world.path("origin").display().to_string();
    let url = format!("https://me:{}@git.example.org/acme/app.git", secret("remote's URL"));
    world.git(&["remote", "set-url", "origin", &url]);
    world.git(&["config", &format!("url.{origin}.insteadOf"), &url]);
    world.write(
        "checkout/.env",
        &format!(
            "SERVICE_TOKEN={}\nREDIS_PASSWORD={}\nDEPLOY_TOKEN={}\n",
            secret("of .env"),
            secret("redis.password"),
            secret("command line")
        ),
    );
    world.config(&format!(
        "deployment:\n  channel: alpha\n  install: [sh, -c, '{install}', 'token ${{DEPLOY_TOKEN}}']\n  \
         restart: [sh, -c, '{PRINT_ALL}', '${{DEPLOY_TOKEN}}']\n  health: [sh, -c, '{health}', '${{DEPLOY_TOKEN}}']\n  \
         timeouts: {{health: 1s}}\n\
         redis: {{enabled: true, url: 'redis://:{}@127.0.0.1:1/0', password: '${{REDIS_PASSWORD}}'}}\n",
        secret("redis.url")
    ));
    world
}

/// Keeps what is in the state home while a step runs, and every command line of the machine.
fn spy(world: &World) -> String {
    let (home, spied) = (world.state().display().to_string(), world.path("spied").display().to_string());
    format!("mkdir -p {spied}; cp -R {home} {spied}/$$; ps -eo args > {spied}/$$.ps")
}

#[track_caller]
fn sweep(world: &World, said: &Said) {
    let mut found = Vec::new();
    for (name, secret) in SECRETS {
        for (what, run) in &said.0 {
            if run.stdout.contains(secret) || run.stderr.contains(secret) {
                found.push(format!("{name}: said by {what}: {run:#?}"));
            }
        }
        look(&world.state(), name, secret, &mut found);
        look(&world.path("spied"), name, secret, &mut found);
        look(&world.path("git.log"), name, secret, &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn look(path: &Path, name: &str, secret: &str, found: &mut Vec<String>) {
    let Ok(facts) = path.metadata() else { return };
    if facts.is_dir() {
        // The copies of `config.yml` and `.env` that an update puts back are what they are; they go with it.
        let copies = path.ends_with("apply_journal.snapshot") && path.to_string_lossy().contains("spied");
        if !copies {
            fs::read_dir(path).unwrap().for_each(|e| look(&e.unwrap().path(), name, secret, found));
        }
        return;
    }
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    // A command line is what the configuration says; the machine shows it to everybody.
    let own_choice = path.extension().is_some_and(|e| e == "ps") && name.contains("command line");
    if text.contains(secret) && !own_choice {
        let line = text.lines().find(|l| l.contains(secret)).unwrap_or_default();
        found.push(format!("{name}: in {}: {line}", path.display()));
    }
}

/// A git before the real one that writes down its command lines.
fn logging_git(world: &mut World) {
    let (real, log) = (support::real_git(), world.path("git.log"));
    let script = format!("#!/bin/sh\necho \"$*\" >> {}\nexec {} \"$@\"\n", log.display(), real.display());
    world.put_on_path("git", &script);
}

fn everything(world: &World, said: &mut Said) {
    for arguments in [&["--json"][..], &["--verbose"], &["--plan"], &["--plan", "--json"]] {
        said.run(world, "apply-update", arguments);
    }
    for words in
        [&["update", "status"][..], &["update", "status", "--json"], &["update", "history", "--json"]]
    {
        said.run(world, "telec", words);
    }
    said.run(world, "version-watch", &["--json"]);
    said.run(world, "version-watch", &["--check-config"]);
    said.run(world, "run-migrations", &["--json"]);
}

#[test]
fn nothing_is_told_by_an_update_that_succeeds() {
    let mut world = world("true", "true");
    let spying = format!("{}; {PRINT_ALL}", spy(&world));
    world.write("work/spy.sh", &spying);
    world.commit("second");
    world.config(&world.read("checkout/config.yml").replace("'true'", "'. ./spy.sh'"));
    logging_git(&mut world);
    let mut said = Said(Vec::new());
    assert_eq!(said.run(&world, "version-watch", &["--verbose"]), 0);
    assert_eq!(said.run(&world, "apply-update", &["--verbose"]), 42, "{:#?}", said.0);
    everything(&world, &mut said);
    assert!(world.path("spied").read_dir().unwrap().count() >= 2);
    assert!(!world.read("git.log").is_empty());
    sweep(&world, &said);
}

#[test]
fn nothing_is_told_by_steps_that_fail() {
    for (install, health, told) in
        [("test ! -e new", "true", "install_failed"), ("true", "test ! -e new", "health_failed")]
    {
        let world = world(&format!("{PRINT_ALL}; {install}"), &format!("{PRINT_ALL}; {health}"));
        world.write("work/new", "");
        world.commit("second");
        let mut said = Said(Vec::new());
        assert_eq!(said.run(&world, "version-watch", &["--json"]), 0);
        assert_eq!(said.run(&world, "apply-update", &["--json"]), 1);
        assert!(said.0[1].1.stdout.contains(told), "{:#?}", said.0[1]);
        everything(&world, &mut said);
        sweep(&world, &said);
    }
}

#[test]
fn nothing_is_told_by_a_migration_that_fails() {
    let world = world("true", "true");
    let body = "import os\ndef check():\n    return False\n\ndef migrate():\n    text = open('.env').read() + open('config.yml').read() + str(dict(os.environ))\n    print(text)\n    raise RuntimeError(text)\n";
    world.write("work/migrations/v1.1.0/001_tells.py", body);
    world.write("work/pyproject.toml", "[project]\nname = \"TeleClaude\"\nversion = \"1.1.0\"\n");
    world.commit("second");
    let mut said = Said(Vec::new());
    assert_eq!(said.run(&world, "version-watch", &["--json"]), 0);
    assert_eq!(said.run(&world, "apply-update", &["--json"]), 1);
    assert!(said.0[1].1.stdout.contains("migration_failed"), "{:#?}", said.0[1]);
    everything(&world, &mut said);
    world.git(&["checkout", "--quiet", "--detach", "origin/main"]);
    for arguments in [&["--json", "--from", "1.0.0"][..], &["--from", "1.0.0"], &["status"]] {
        said.run(&world, "run-migrations", arguments);
    }
    sweep(&world, &said);
}

#[test]
fn nothing_is_told_by_a_remote_that_fails() {
    let mut world = world("true", "true");
    world.commit("second");
    let mut said = Said(Vec::new());
    assert_eq!(said.run(&world, "version-watch", &["--json"]), 0);
    let url = format!("http://me:{}@127.0.0.1:1/acme/app.git", secret("remote's URL"));
    world.git(&["remote", "set-url", "origin", &url]);
    assert_eq!(said.run(&world, "apply-update", &["--json"]), 75);
    everything(&world, &mut said);
    let helper = format!("!f() {{ echo username=me; echo password={}; }}; f", secret("remote's URL"));
    world.git(&["config", "credential.helper", &helper]);
    logging_git(&mut world);
    everything(&world, &mut said);
    sweep(&world, &said);
}

#[test]
fn nothing_is_told_by_the_api() {
    let world = world("true", "true");
    let api = Api::start();
    api.release("v1.1.0");
    world.release("1.1.0");
    let config = world.read("checkout/config.yml");
    let beta = format!("channel: beta\n  api_url: \"{}\"", api.url());
    world.config(&config.replace("channel: alpha", &beta));
    let echo = SECRETS.iter().map(|(_, secret)| *secret).collect::<Vec<_>>().join(" ");
    let mut said = Said(Vec::new());
    for code in [200, 401, 403, 404, 422, 500] {
        api.order(Reply::Plain(code, Vec::new(), format!("{{\"message\": \"{echo}\"}}")));
        said.run(&world, "version-watch", &["--json"]);
    }
    everything(&world, &mut said);
    assert!(api.requests().iter().any(|r| r.header("authorization").is_some()));
    sweep(&world, &said);
}

#[test]
fn nothing_is_told_by_a_configuration_that_does_not_hold() {
    let world = world("true", "true");
    world.commit("second");
    let mut said = Said(Vec::new());
    said.run(&world, "version-watch", &["--json"]);
    let config = world.read("checkout/config.yml");
    for (key, value) in [
        ("branch", "-${DEPLOY_TOKEN}"),
        ("window", "[\"${DEPLOY_TOKEN}\"]"),
        ("idle", "\"${SERVICE_TOKEN}\""),
        ("github_repo", "\"${DEPLOY_TOKEN}\""),
        ("pinned_minor", "\"${SERVICE_TOKEN}\""),
    ] {
        world.config(&config.replace("  channel: alpha\n", &format!("  {key}: {value}\n")));
        assert_eq!(said.run(&world, "version-watch", &["--check-config"]), 2, "{key}");
        everything(&world, &mut said);
    }
    sweep(&world, &said);
}

#[test]
fn nothing_is_told_by_a_run_that_takes_up_a_dead_one_without_its_configuration() {
    for on_the_command_line in [true, false] {
        let world = world(&format!("{PRINT_ALL}; kill -9 $PPID; sleep 1"), "true");
        let mut config = world.read("checkout/config.yml");
        if !on_the_command_line {
            config = config.replace("'token ${DEPLOY_TOKEN}'", "x").replace("'${DEPLOY_TOKEN}'", "x");
            world.config(&config);
        }
        world.commit("second");
        let mut said = Said(Vec::new());
        assert_eq!(said.run(&world, "version-watch", &["--json"]), 0);
        assert_eq!(said.run(&world, "apply-update", &["--json"]), -1, "it was killed");
        assert!(world.state().join("apply_journal.json").exists());
        look_only_at_files(&world, &said);
        world.config(&config.replace("channel: alpha", "chanel: alpha"));
        for _ in 0..3 {
            said.run(&world, "apply-update", &["--json"]);
        }
        look_only_at_files(&world, &said);
        // The commands are run again as soon as the configuration says what they hold.
        world.config(&config.replace("kill -9", "true"));
        if on_the_command_line {
            let last = world.run("apply-update", &["--json", "--retry"]);
            assert!(!world.state().join("apply_journal.json").exists(), "{last:#?} {:#?}", said.0);
            said.0.push(("the last".to_owned(), last));
            sweep(&world, &said);
        }
    }
}

/// In the middle of an update there are the copies of `config.yml` and `.env`, and nothing else.
#[track_caller]
fn look_only_at_files(world: &World, said: &Said) {
    let copies = world.state().join("apply_journal.snapshot");
    let aside = world.path("copies");
    if copies.exists() {
        fs::rename(&copies, &aside).unwrap();
    }
    sweep(world, said);
    if aside.exists() {
        fs::rename(&aside, &copies).unwrap();
    }
}
