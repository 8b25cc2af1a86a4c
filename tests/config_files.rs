//! Where the configuration and `.env` are looked for, and what is said about files that cannot be
//! used.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::os::unix::fs::symlink;

use support::World;
use teleclaude_deployment::checkout::Checkout;
use teleclaude_deployment::config::{Channel, Settings, check};
use teleclaude_deployment::outcome::{Halt, Reason};
use teleclaude_deployment::sys::env::Environment;

fn load(world: &World, env: &[(&str, &str)]) -> Result<Settings, Halt> {
    let checkout = Checkout::open(&world.checkout()).unwrap();
    Settings::load(&checkout, &Environment::from_pairs(env.iter().copied()))
}

#[track_caller]
fn refused(world: &World, env: &[(&str, &str)]) -> String {
    let halt = load(world, env).unwrap_err();
    assert_eq!(halt.reason, Reason::InvalidConfig);
    halt.message
}

#[test]
fn the_file_is_config_yml_unless_a_variable_names_another() {
    let world = World::new();
    assert_eq!(load(&world, &[]).unwrap().channel, Channel::Alpha);
    world.config("deployment: {branch: in-checkout}");
    assert_eq!(load(&world, &[]).unwrap().branch, "in-checkout");
    world.write("checkout/other/c.yml", "deployment: {branch: relative}");
    assert_eq!(load(&world, &[("TELECLAUDE_CONFIG_PATH", "other/c.yml")]).unwrap().branch, "relative");
    world.write("elsewhere/c.yml", "deployment: {branch: absolute}");
    let absolute = world.path("elsewhere/c.yml");
    let settings = load(&world, &[("TELECLAUDE_CONFIG_PATH", absolute.to_str().unwrap())]).unwrap();
    assert_eq!(settings.branch, "absolute");
    let home = world.path("elsewhere");
    let env = [("TELECLAUDE_CONFIG_PATH", "~/c.yml"), ("HOME", home.to_str().unwrap())];
    assert_eq!(load(&world, &env).unwrap().branch, "absolute");
}

#[test]
fn a_file_outside_the_checkout_is_named_in_full() {
    let world = World::new();
    world.write("elsewhere/c.yml", "\ndeployment: {chanel: x}");
    let path = world.path("elsewhere/c.yml");
    let message = refused(&world, &[("TELECLAUDE_CONFIG_PATH", path.to_str().unwrap())]);
    assert!(message.starts_with(&format!("{}:2: deployment.chanel: ", path.display())), "{message}");
}

#[test]
fn what_a_variable_names_must_exist() {
    let world = World::new();
    let message = refused(&world, &[("TELECLAUDE_CONFIG_PATH", "nope.yml")]);
    assert!(
        message.starts_with("nope.yml: does not exist, and TELECLAUDE_CONFIG_PATH names it"),
        "{message}"
    );
    let message = refused(&world, &[("TELECLAUDE_ENV_PATH", "nope.env")]);
    assert!(message.starts_with("nope.env: does not exist, and TELECLAUDE_ENV_PATH names it"), "{message}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let world = World::new();
    let config = world.path("checkout/config.yml");
    std::fs::create_dir(&config).unwrap();
    assert!(refused(&world, &[]).starts_with("config.yml: is not a file"));
    std::fs::remove_dir(&config).unwrap();
    symlink("nowhere", &config).unwrap();
    assert!(refused(&world, &[]).starts_with("config.yml: is a link to nothing"));
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, b"a: 1\nb: \xff\xfe\n").unwrap();
    assert!(refused(&world, &[]).starts_with("config.yml:2: not UTF-8 text"));
    std::fs::write(&config, vec![b'#'; 5 << 20]).unwrap();
    assert!(refused(&world, &[]).starts_with("config.yml: is larger than"));
    std::fs::remove_file(&config).unwrap();
    std::fs::create_dir(world.path("checkout/.env")).unwrap();
    assert!(refused(&world, &[]).starts_with(".env: is not a file"));
}

#[test]
fn dotenv_is_read_from_the_checkout_or_where_the_variable_says() {
    let world = World::new();
    world.config("deployment: {branch: '${BRANCH:-none}'}");
    assert_eq!(load(&world, &[]).unwrap().branch, "none");
    world.write("checkout/.env", "BRANCH=dotenv\n");
    assert_eq!(load(&world, &[]).unwrap().branch, "dotenv");
    assert_eq!(load(&world, &[("BRANCH", "env")]).unwrap().branch, "env");
    world.write("checkout/e/.env", "BRANCH=named\n");
    assert_eq!(load(&world, &[("TELECLAUDE_ENV_PATH", "e/.env")]).unwrap().branch, "named");
}

#[test]
fn signers_behind_a_link_into_the_checkout_are_inside() {
    let world = World::new();
    world.write("checkout/signers", "x");
    symlink(world.path("checkout/signers"), world.path("outside")).unwrap();
    let outside = world.path("outside");
    let config = |path: &str| format!("deployment: {{verify: commit, allowed_signers: {path}}}");
    world.config(&config(outside.to_str().unwrap()));
    assert!(refused(&world, &[]).contains("must lie outside the checkout"));
    world.write("signers", "x");
    world.config(&config("../signers"));
    let found = load(&world, &[]).unwrap().allowed_signers.unwrap();
    assert_eq!(found.canonicalize().unwrap(), world.path("signers"));
}

#[test]
fn a_hosts_whole_configuration_loads() {
    let world = World::new();
    world.config(include_str!("fixtures/host-config.yml"));
    world.write("checkout/.env", "REDIS_PASSWORD='r3dis-pass'\n");
    let settings = load(&world, &[]).unwrap();
    assert_eq!(settings.computer.name, "workstation");
    assert_eq!(settings.computer.zone().iana_name(), Some("Europe/Amsterdam"));
    assert_eq!(settings.redis.unwrap().password.unwrap().expose(), "r3dis-pass");
}

#[test]
fn the_repository_is_read_from_the_configured_url() {
    let world = World::new();
    world.config("deployment: {channel: beta}");
    let checkout = Checkout::open(&world.checkout()).unwrap();
    let halt = check(&checkout, &Environment::default()).unwrap_err();
    assert!(halt.message.starts_with("config.yml: deployment.github_repo: "), "{halt}");
    world.git(&["remote", "set-url", "origin", "https://u:pass-word@example.org/owner/name.git"]);
    world.git(&[
        "config",
        "url.https://mirror.example.org/a/b/.insteadOf",
        "https://u:pass-word@example.org/",
    ]);
    let settings = load(&world, &[]).unwrap();
    assert_eq!(settings.github_repo.as_deref(), Some("owner/name"));
    assert_eq!(settings.redactor.clean("pass-word"), "***");
    let outcome = check(&checkout, &Environment::default()).unwrap();
    assert_eq!(outcome.message, "config.yml is valid: channel beta, releases of owner/name");
}

#[test]
fn check_config_tells_through_the_program() {
    let world = World::new();
    world.run("version-watch", &["--check-config", "--json"]).exits(0).tells("ok", None);
    world.config("deployment:\n  chanel: beta\n  idle: soon\n");
    let run = world
        .run("version-watch", &["--check-config", "--json"])
        .exits(2)
        .tells("invalid", Some("invalid_config"));
    assert_eq!(run.json()["errors"][0]["key"], "deployment.chanel");
    assert_eq!(run.json()["errors"][1]["line"], 3);
    let run = world.run("version-watch", &["--check-config"]).exits(2);
    assert!(run.stderr.starts_with(
        "config.yml:2: deployment.chanel: unknown key; did you mean 'channel'?\nconfig.yml:3: "
    ));
    assert!(!world.state().exists(), "a mere check created the state home");
    // A configuration that does not hold stops every program.
    for program in ["version-watch", "apply-update"] {
        world.run(program, &["--json"]).exits(2).tells("invalid", Some("invalid_config"));
    }
}

#[test]
fn check_config_finds_what_otherwise_shows_only_in_use() {
    let world = World::new();
    world.config("deployment: {channel: beta}");
    let run = world.run("version-watch", &["--check-config"]).exits(2);
    assert!(run.stderr.starts_with("config.yml: deployment.github_repo: not given"), "{}", run.stderr);
    world.config("deployment: {channel: beta, source: tags}");
    world.run("version-watch", &["--check-config"]).exits(0);
}
