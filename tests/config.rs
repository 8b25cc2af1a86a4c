//! The configuration: what good ones mean, and what is said about bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use teleclaude_deployment::config::{Channel, DotEnv, Restart, Settings, Source, Surroundings, Verify};
use teleclaude_deployment::outcome::{Halt, Reason};
use teleclaude_deployment::sys::env::Environment;
use teleclaude_deployment::version::Minor;

const TOP: &str = "/srv/checkout";

/// Reads a text with an environment, a `.env` and a remote URL around it.
fn read(text: &str, env: &[(&str, &str)], dotenv: &str, url: Option<&str>) -> Result<Settings, Halt> {
    Settings::from_yaml(
        text,
        &Surroundings {
            file: "config.yml",
            checkout: Path::new(TOP),
            env: &Environment::from_pairs(env.iter().copied()),
            dotenv: &DotEnv::parse(dotenv, &|_| None),
            remote_url: &|_| Ok(url.map(str::to_owned)),
        },
    )
}

#[track_caller]
fn good(text: &str) -> Settings {
    Settings::from_text(text, Path::new(TOP)).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

#[track_caller]
fn bad(text: &str) -> String {
    match Settings::from_text(text, Path::new(TOP)) {
        Ok(settings) => panic!("{text}\n{settings:?}"),
        Err(halt) => {
            assert_eq!(halt.reason, Reason::InvalidConfig);
            halt.message
        }
    }
}

#[test]
fn nothing_configured_means_the_defaults() {
    for text in
        ["", "\u{feff}", "---\n", "# only a comment\n", "null\n", "other: 1\n", "deployment:\n", "{}\n"]
    {
        let s = good(text);
        assert_eq!(s.channel, Channel::Alpha);
        assert_eq!((s.remote.as_str(), s.branch.as_str()), ("origin", "main"));
        assert_eq!(s.source, Source::Releases);
        assert_eq!(s.github_repo, None);
        assert_eq!(s.api_url, "https://api.github.com");
        assert!(s.token.is_none());
        assert_eq!(s.install, ["make", "install"]);
        assert_eq!(s.restart, Restart::Command(vec!["make".into(), "restart".into()]));
        assert_eq!(s.health, ["make", "status"]);
        assert_eq!(s.python, None);
        assert_eq!(s.snapshot, [Path::new("config.yml"), Path::new(".env")]);
        assert!(s.rollback);
        assert_eq!(s.max_attempts, 5);
        assert!(s.policy.window.is_empty());
        assert_eq!(s.policy.idle, Duration::from_secs(120));
        assert_eq!(s.policy.idle_limit, Duration::from_secs(3600));
        assert_eq!(s.policy.max_defer, Duration::from_secs(86_400));
        assert_eq!(s.policy.minimum_age, Duration::ZERO);
        assert_eq!(s.policy.stagger, Duration::ZERO);
        assert_eq!(s.policy.max_parallel, 0);
        assert_eq!(s.verify, Verify::None);
        assert_eq!(s.allowed_signers, None);
        let t = s.timeouts;
        let seconds = [t.check, t.fetch, t.checkout, t.migrate, t.install, t.restart, t.health];
        assert_eq!(seconds.map(|d| d.as_secs()), [30, 120, 300, 600, 900, 60, 60]);
        assert!(!s.computer.name.is_empty() && !s.computer.name.contains('.'));
        assert_eq!(s.database, Path::new("/srv/checkout/teleclaude.db"));
        assert!(s.redis.is_none());
    }
}

#[test]
fn every_key_is_read() {
    let s = good(
        "deployment:\n  channel: stable\n  pinned_minor: 1.10\n  remote: up/stream\n  branch: release/1\n  source: tags\n  \
         github_repo: o-1/n.x_y\n  api_url: http://127.0.0.1:9/api/v3//\n  install: []\n  restart: exit-code\n  \
         health:\n    - sleep\n    - 5\n  python: py/bin/python\n  snapshot: [a/b, /etc/c]\n  rollback: false\n  \
         max_attempts: 7\n  window: [22:00-03:30, \"12:00-24:00\"]\n  idle: 0\n  idle_limit: 90m\n  max_defer: 2d\n  \
         minimum_age: 1h\n  stagger: 30m\n  max_parallel: 2\n  verify: tag\n  allowed_signers: ../signers\n  \
         timeouts: {check: 1s, health: 2m}\n\
         computer: {name: Mac, timezone: Europe/Amsterdam, role: x}\ndatabase: {path: data/x.db, pool: 3}\n\
         redis: {enabled: yes, url: 'rediss://h:1/0', password: p4ss, socket_timeout: 3}\n"
            .replace("../signers", "/dev/null").replace("verify: tag", "verify: none").as_str(),
    );
    assert_eq!(s.channel, Channel::Stable(Minor { major: 1, minor: 10 }));
    assert_eq!((s.remote.as_str(), s.branch.as_str()), ("up/stream", "release/1"));
    assert_eq!(s.source, Source::Tags);
    assert_eq!(s.github_repo.as_deref(), Some("o-1/n.x_y"));
    assert_eq!(s.api_url, "http://127.0.0.1:9/api/v3");
    assert!(s.install.is_empty());
    assert_eq!(s.restart, Restart::ExitCode);
    assert_eq!(s.health, ["sleep", "5"]);
    assert_eq!(s.python.as_deref(), Some(Path::new("/srv/checkout/py/bin/python")));
    assert_eq!(s.snapshot, [Path::new("a/b"), Path::new("/etc/c")]);
    assert!(!s.rollback);
    assert_eq!(s.max_attempts, 7);
    assert_eq!(s.policy.window.len(), 2);
    assert!(s.policy.window[0].contains(jiff::civil::time(23, 0, 0, 0)));
    assert!(s.policy.window[0].contains(jiff::civil::time(3, 29, 59, 0)));
    assert!(!s.policy.window[0].contains(jiff::civil::time(3, 30, 0, 0)));
    assert!(s.policy.window[1].contains(jiff::civil::time(23, 59, 0, 0)));
    assert!(!s.policy.window[1].contains(jiff::civil::time(0, 0, 0, 0)));
    assert_eq!(s.policy.idle, Duration::ZERO);
    assert_eq!(s.policy.idle_limit, Duration::from_secs(5400));
    assert_eq!(s.policy.max_defer, Duration::from_secs(2 * 86_400));
    assert_eq!(s.policy.minimum_age, Duration::from_secs(3600));
    assert_eq!(s.policy.stagger, Duration::from_secs(1800));
    assert_eq!(s.policy.max_parallel, 2);
    assert_eq!(s.allowed_signers.as_deref(), Some(Path::new("/dev/null")));
    assert_eq!(
        (s.timeouts.check.as_secs(), s.timeouts.health.as_secs(), s.timeouts.fetch.as_secs()),
        (1, 120, 120)
    );
    assert_eq!(s.computer.name, "Mac");
    assert_eq!(s.computer.timezone.iana_name(), Some("Europe/Amsterdam"));
    assert_eq!(s.database, Path::new("/srv/checkout/data/x.db"));
    let redis = s.redis.unwrap();
    assert_eq!((redis.url.expose(), redis.password.unwrap().expose()), ("rediss://h:1/0", "p4ss"));
}
