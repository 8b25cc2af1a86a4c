//! What a target does with one input: hands it to the plain function that reads such bytes, and
//! checks what must hold of anything that was accepted. The bounded run of the tests includes
//! this file, so both drive the same code.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use teleclaude_deployment::apply::journal::Journal;
use teleclaude_deployment::config::{DotEnv, Settings, Surroundings};
use teleclaude_deployment::detect::cache::WatchCache;
use teleclaude_deployment::detect::{releases, remote, tags};
use teleclaude_deployment::failed::FailedVersions;
use teleclaude_deployment::hold::Hold;
use teleclaude_deployment::migrate::state::State;
use teleclaude_deployment::outcome::Reason;
use teleclaude_deployment::report::status::Status;
use teleclaude_deployment::signal::Signal;
use teleclaude_deployment::sys::env::Environment;
use teleclaude_deployment::sys::store::decode;
use teleclaude_deployment::version::{CommitId, Version};

/// One target: takes any bytes, panics where something does not hold; returns whether the bytes
/// were accepted.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config),
    ("signal", signal),
    ("releases", release_list),
    ("ls_remote", ls_remote),
    ("state", state),
];

/// A configuration; behind a NUL the `.env` file, behind another the remote's URL.
pub fn config(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, '\0');
    let mut part = || parts.next().unwrap_or_default();
    let (yaml, dotenv, url) = (part(), part(), part());
    let env = Environment::from_pairs([("HOME", "/home/me"), ("A", "x")]);
    let read = Settings::from_yaml(
        yaml,
        &Surroundings {
            file: "config.yml",
            checkout: Path::new("/srv/checkout"),
            env: &env,
            dotenv: &DotEnv::parse(dotenv, &|name| (name == "A").then(|| "x".to_owned())),
            remote_url: &|_| Ok(Some(url.to_owned())),
        },
    );
    match read {
        Ok(settings) => {
            for name in [&settings.remote, &settings.branch] {
                assert!(is_harmless(name), "{name:?}");
            }
            assert!(settings.max_attempts > 0 && !settings.timeouts.check.is_zero());
            assert!(settings.database.is_absolute(), "{:?}", settings.database);
            true
        }
        Err(halt) => {
            assert_eq!(halt.reason, Reason::InvalidConfig);
            assert!(!halt.message.is_empty());
            false
        }
    }
}

/// `update_available.json`.
pub fn signal(bytes: &[u8]) -> bool {
    let Ok(signal) = decode::<Signal>(bytes) else { return false };
    assert!(signal.schema <= 1);
    for commit in [&signal.current_commit, &signal.available_commit] {
        assert_full(commit);
    }
    assert!(signal.repo.is_absolute());
    assert!(["releases", "tags", "branch"].contains(&signal.source.as_str()));
    if let Some(tag) = &signal.tag {
        assert!(is_harmless(tag) && Version::parse(tag).is_some(), "{tag:?}");
    }
    for text in [&signal.current, &signal.available] {
        assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
    }
    written_as_read(&signal);
    true
}

/// A page of the releases API.
pub fn release_list(bytes: &[u8]) -> bool {
    // The header that names the next page comes from the same place.
    let _ = releases::next_page(&String::from_utf8_lossy(bytes));
    let Ok(found) = releases::parse_page(bytes) else { return false };
    for candidate in releases::offers(found.iter()).candidates {
        assert!(is_harmless(&candidate.tag), "{:?}", candidate.tag);
        assert_eq!(Version::parse(&candidate.tag).as_ref(), Some(&candidate.version));
        let release = found.iter().find(|r| r.tag == candidate.tag && !r.draft && !r.prerelease);
        assert!(release.is_some(), "{:?} is released", candidate.tag);
        if let Some(url) = candidate.release_url {
            assert!(url.starts_with("http") && !url.contains(char::is_control), "{url:?}");
        }
    }
    true
}

/// What `git ls-remote` prints.
pub fn ls_remote(bytes: &[u8]) -> bool {
    const BRANCH: &str = "refs/heads/main";
    let Ok(refs) = remote::parse_refs(bytes) else { return false };
    refs.iter().for_each(|found| assert_full(&found.object));
    if let Some(commit) = remote::exactly(&refs, BRANCH) {
        let line = format!("{commit}\t{BRANCH}");
        let text = String::from_utf8_lossy(bytes);
        assert!(text.lines().any(|l| l == line), "{line} is in {text:?}");
    }
    for candidate in tags::offers(&refs).candidates {
        assert!(is_harmless(&candidate.tag), "{:?}", candidate.tag);
        let names = [format!("refs/tags/{}", candidate.tag), format!("refs/tags/{}^{{}}", candidate.tag)];
        let from =
            |r: &remote::RemoteRef| names.contains(&r.name) && Some(&r.object) == candidate.commit.as_ref();
        assert!(refs.iter().any(from), "{:?} is listed", candidate.tag);
    }
    true
}

/// A state file: the first byte says which, so that one corpus serves all.
pub fn state(bytes: &[u8]) -> bool {
    let Some((which, rest)) = bytes.split_first() else { return false };
    match which % 6 {
        0 => {
            let Some(mut found) = stored::<State>(rest) else { return false };
            let _ = found.is_virgin();
            found.complete_older();
            written_as_read(&found);
        }
        1 => {
            let Some(found) = stored::<Journal>(rest) else { return false };
            assert!(found.repo.is_absolute());
            assert!(found.tag.iter().all(|tag| is_harmless(tag)), "{:?}", found.tag);
            assert_full(&found.to_commit);
        }
        2 => return stored::<Status>(rest).is_some(),
        3 => return stored::<FailedVersions>(rest).is_some(),
        4 => return stored::<Hold>(rest).is_some(),
        _ => return stored::<WatchCache>(rest).is_some(),
    }
    true
}

/// Reads a state file; what is read is written and read again without loss.
fn stored<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let found = decode::<T>(bytes).ok()?;
    written_as_read(&found);
    Some(found)
}

fn written_as_read<T: DeserializeOwned + Serialize>(value: &T) {
    let text = serde_json::to_vec(value).expect("what was read can be written");
    let again = decode::<T>(&text).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("and written again"), text);
}

fn assert_full(commit: &CommitId) {
    let text = commit.as_str();
    assert!(matches!(text.len(), 40 | 64), "{text:?}");
    assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text:?}");
}

/// A name that git takes for a name: no option, no refspec, no pattern, no blank.
fn is_harmless(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    !name.is_empty() && !name.starts_with('-') && !name.contains("..") && !name.contains(odd)
}
