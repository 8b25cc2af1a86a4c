//! SIGKILL, SIGTERM and SIGINT at random moments of a large update: the next ordinary runs end in
//! the new version or the old one, healthy. `make soak COUNT=500` is the same with more moments.

#[path = "support/soak.rs"]
mod soak;
mod support;

use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use soak::{Dice, Ended, MOST_BLOWS, Make, Release, Scene, Template};

const FILES: usize = 2000;

/// Who is hit.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Program,
    Group,
    /// The program and all its steps, as when a service's control group is ended.
    Family,
    Terminate,
    Interrupt,
}

const BLOWS: [Blow; 5] = [Blow::Program, Blow::Group, Blow::Family, Blow::Terminate, Blow::Interrupt];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn count(share: u64) -> u64 {
    number("SOAK_COUNT").unwrap_or(share)
}

fn seed() -> u64 {
    number("SOAK_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_secs()
    })
}

fn strike(blow: Blow, scene: &Scene<'_>, child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // It may have ended already.
    let _ = match blow {
        Blow::Program => kill_process(pid, Signal::KILL),
        Blow::Group => kill_process_group(pid, Signal::KILL),
        Blow::Terminate => kill_process(pid, Signal::TERM),
        Blow::Interrupt => kill_process(pid, Signal::INT),
        Blow::Family => {
            let _ = kill_process(pid, Signal::STOP);
            scene.kill_all_but_the_daemon();
            Ok(())
        }
    };
}

/// How long an update takes that nobody disturbs.
fn duration(template: &Template) -> Duration {
    let scene = template.scene();
    let began = Instant::now();
    let mut child = scene.start();
    scene.wait(&mut child);
    let took = began.elapsed();
    let runs = scene.until_at_rest();
    scene.assert_converged(&runs);
    took
}

#[derive(Default)]
struct Tally {
    converged: AtomicUsize,
    new: AtomicUsize,
    resumed: AtomicUsize,
    late: AtomicUsize,
}

/// One scene, one or two blows, and its end.
fn trial(template: &Template, seed: u64, span: Duration, tally: &Tally) {
    let mut dice = Dice::new(seed);
    let scene = template.scene();
    let blows = if dice.below(4) == 0 { MOST_BLOWS } else { 1 };
    let mut told = String::new();
    for _ in 0..blows {
        let blow = BLOWS[usize::try_from(dice.below(BLOWS.len() as u64)).unwrap()];
        let micros = u64::try_from(span.as_micros()).unwrap();
        let moment = Duration::from_micros(dice.below(micros));
        let mut child = scene.start();
        let until = Instant::now() + moment;
        while Instant::now() < until {
            scene.assert_json_is_whole();
            let left = until.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
        if child.try_wait().unwrap().is_some() {
            tally.late.fetch_add(1, Ordering::Relaxed);
        }
        strike(blow, &scene, &child);
        let code = scene.wait(&mut child);
        told += &format!("{blow:?} after {moment:?} ({code:?}); ");
    }
    let taken_up = scene.world.state().join("apply_journal.json").exists();
    let runs = scene.until_at_rest();
    let ended = scene.converged(&runs).unwrap_or_else(|problem| panic!("seed {seed}: {told}\n{problem}"));
    if template.make.release != Release::Good {
        assert_eq!(ended, Ended::Old, "seed {seed}: {told}");
    } else if blows == 1 {
        // Only a restart that is stopped twice may leave the daemon to its health check.
        assert_eq!(ended, Ended::New, "a good release was undone for one blow, seed {seed}: {told}");
    }
    tally.converged.fetch_add(1, Ordering::Relaxed);
    tally.new.fetch_add(usize::from(ended == Ended::New), Ordering::Relaxed);
    tally.resumed.fetch_add(usize::from(taken_up), Ordering::Relaxed);
}

fn sweep(make: Make, count: u64) {
    let template = Template::new(make);
    let span = duration(&template);
    let first = seed();
    println!("{:?} on {}: {count} moments within {span:?}, seed {first}", make.release, make.channel);
    let (tally, next) = (Tally::default(), AtomicUsize::new(0));
    // A trial mostly waits.
    let workers = std::thread::available_parallelism().map_or(4, |n| 2 * n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if n >= count {
                        return;
                    }
                    trial(&template, first.wrapping_add(n), span, &tally);
                }
            });
        }
    });
    let figure = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    println!(
        "{:?} on {}: {} of {count} converged; {} new, {} old; {} taken up by a later run, {} blows came late",
        make.release,
        make.channel,
        figure(&tally.converged),
        figure(&tally.new),
        figure(&tally.converged) - figure(&tally.new),
        figure(&tally.resumed),
        figure(&tally.late),
    );
}

#[test]
fn killed_at_any_moment_it_converges() {
    sweep(Make { release: Release::Good, channel: "alpha", files: FILES, settings: "" }, count(8));
}

#[test]
fn killed_at_any_moment_on_tags_it_converges() {
    sweep(Make { release: Release::Good, channel: "beta", files: FILES, settings: "" }, count(16) / 2);
}

#[test]
fn a_release_that_is_not_healthy_always_ends_on_the_old_version() {
    sweep(Make { release: Release::Unhealthy, channel: "beta", files: FILES, settings: "" }, count(16) / 2);
}
