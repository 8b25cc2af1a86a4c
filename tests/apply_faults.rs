//! A kill and a full disk at each place that an update passes: the next ordinary runs end in the
//! new version or the old one, healthy. Needs the feature `failpoints`.
//!
//! `SOAK_EVERY=k` takes every k-th fault; by default few are taken, `make soak` takes all.

#[path = "support/soak.rs"]
mod soak;
mod support;

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use soak::{Ended, Make, Release, Template};

const FILES: usize = 60;

/// The places an undisturbed update passes, in order.
fn places(template: &Template) -> Vec<String> {
    let mut scene = template.scene();
    let log = scene.world.path("places");
    scene.world.env("TELECLAUDE_FAILPOINT_LOG", log.to_str().unwrap());
    let mut child = scene.start();
    scene.wait(&mut child);
    let text = fs::read_to_string(log).unwrap();
    let root = scene.world.path("");
    text.lines().map(|line| line.replace(root.to_str().unwrap(), "")).collect()
}

/// One scene, disturbed at one place. Returns where it ended and what went wrong.
fn trial(template: &Template, action: &str, number: usize, place: &str) -> Result<Ended, String> {
    let mut scene = template.scene();
    scene.world.env("TELECLAUDE_FAILPOINT", &format!("{action}@{number}"));
    let mut child = scene.start();
    let code = scene.wait(&mut child);
    scene.world.env("TELECLAUDE_FAILPOINT", "");
    let runs = scene.until_at_rest();
    scene
        .converged(&runs)
        .and_then(|ended| match template.make.release {
            Release::Good if ended == Ended::New || action != "kill" => Ok(ended),
            Release::Good => Err("a good release was undone for one kill".to_owned()),
            _ if ended == Ended::Old => Ok(ended),
            _ => Err("a release that is not good was kept".to_owned()),
        })
        .map_err(|problem| format!("== {action} at {place} (exit {code:?})\n{problem}"))
}

/// Odd, so that both actions are taken.
const EVERY: usize = 41;

fn sweep(make: Make) {
    let every = std::env::var("SOAK_EVERY").ok().and_then(|text| text.parse().ok()).unwrap_or(EVERY);
    let template = Template::new(make);
    let places = places(&template);
    assert!(places.len() > 100, "{places:#?}");
    let todo: Vec<(usize, &str)> = (0..places.len())
        .flat_map(|n| [(n, "kill"), (n, "error")])
        .enumerate()
        .filter(|(at, _)| at % every == 0)
        .map(|(_, one)| one)
        .collect();
    let (next, new, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    // A trial mostly waits.
    let workers = std::thread::available_parallelism().map_or(4, |n| 2 * n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((n, action)) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match trial(&template, action, n + 1, &places[*n]) {
                        Ok(ended) => {
                            new.fetch_add(usize::from(ended == Ended::New), Ordering::Relaxed);
                        }
                        Err(problem) => wrong.lock().unwrap().push(problem),
                    }
                }
            });
        }
    });
    let (new, wrong) = (new.into_inner(), wrong.into_inner().unwrap());
    println!(
        "{:?} on {}: {} places, {} of {} faults converged, {new} on the new version",
        make.release,
        make.channel,
        places.len(),
        todo.len() - wrong.len(),
        todo.len()
    );
    assert!(wrong.is_empty(), "{} did not converge:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_good_release_on_alpha() {
    sweep(Make { release: Release::Good, channel: "alpha", files: FILES, settings: "" });
}

#[test]
fn a_good_release_on_beta() {
    sweep(Make { release: Release::Good, channel: "beta", files: FILES, settings: "" });
}

#[test]
fn a_release_that_is_not_healthy() {
    sweep(Make { release: Release::Unhealthy, channel: "alpha", files: FILES, settings: "" });
}

#[test]
fn a_release_whose_migration_fails() {
    sweep(Make { release: Release::BadMigration, channel: "beta", files: FILES, settings: "" });
}

/// From the verdict to the last thing of a run.
#[test]
fn a_failure_is_counted_once_wherever_its_end_is_cut_off() {
    let template =
        Template::new(Make { release: Release::Unhealthy, channel: "beta", files: FILES, settings: "" });
    let places = places(&template);
    let counted = places.iter().position(|at| at.contains("failed_versions.json")).expect("it is counted");
    assert!(places.len() - counted > 10, "{places:#?}");
    for (number, place) in places.iter().enumerate().skip(counted) {
        let mut scene = template.scene();
        scene.world.env("TELECLAUDE_FAILPOINT", &format!("kill@{}", number + 1));
        let mut child = scene.start();
        scene.wait(&mut child);
        scene.world.env("TELECLAUDE_FAILPOINT", "");
        let runs = scene.until_at_rest();
        let failed = scene.world.state_file("failed_versions.json");
        let counts: Vec<_> =
            failed["targets"].as_object().unwrap().values().map(|t| t["attempts"].as_u64()).collect();
        assert_eq!(counts, [Some(1)], "{place}: {runs:#?}");
        assert_eq!(scene.history().len(), 1, "{place}: {runs:#?}");
    }
}

/// Seen at once, before a step that runs on could have ended by itself.
#[test]
fn a_step_whose_watching_fails_does_not_run_on() {
    let template =
        Template::new(Make { release: Release::Good, channel: "beta", files: FILES, settings: "" });
    let running = places(&template).into_iter().enumerate().filter(|(_, at)| at.contains("process.running"));
    let mut seen = 0;
    for (number, place) in running {
        let mut scene = template.scene();
        scene.world.env("TELECLAUDE_FAILPOINT", &format!("error@{}", number + 1));
        let mut child = scene.start();
        scene.wait(&mut child);
        let left = scene.processes_but_the_daemon();
        assert!(left.is_empty(), "{place} left {left:?}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen} steps were met");
}

/// Whether it is on the disk only a power loss would show; here it is killed right before.
#[test]
fn the_journal_says_checked_out_only_after_the_files_are_on_the_disk() {
    let template =
        Template::new(Make { release: Release::Unhealthy, channel: "alpha", files: FILES, settings: "" });
    let places = places(&template);
    let at = places.iter().enumerate().filter(|(_, place)| place.contains("durable.flush"));
    let numbers: Vec<usize> = at.map(|(n, _)| n + 1).collect();
    let mut stood = Vec::new();
    for number in numbers {
        let mut scene = template.scene();
        scene.world.env("TELECLAUDE_FAILPOINT", &format!("kill@{number}"));
        let mut child = scene.start();
        scene.wait(&mut child);
        let journal = scene.world.state_file("apply_journal.json");
        stood.push((journal["phase"].clone(), journal["undo"].clone()));
        scene.world.env("TELECLAUDE_FAILPOINT", "");
        let runs = scene.until_at_rest();
        assert_eq!(scene.assert_converged(&runs), Ended::Old);
    }
    assert_eq!(stood.len(), 2, "forward and back: {places:#?}");
    assert_eq!(stood[0], ("checking_out".into(), serde_json::Value::Null));
    assert_eq!(stood[1], ("verifying".into(), "checkout".into()));
}
