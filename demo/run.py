"""`make demo`: a release is found, applied and verified, in a scratch world, as a timeline.

Each act asserts what it shows: the demo fails, and says why, when a promise is not kept.
"""

import argparse
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from timeline import Timeline  # noqa: E402
from world import World, release  # noqa: E402


class Broken(Exception):
    """Something is not as promised."""


def expect(what, found, wanted):
    """Ends the demo unless what was found is what was promised."""
    if found != wanted:
        raise Broken(f"{what}: expected {wanted!r}, found {found!r}")


def begin(world):
    """A computer runs 1.0.0 from its checkout."""
    world.timeline.heading("A computer runs greeter 1.0.0 from a git checkout")
    expect("exit code of make", world.run("make", "install", "restart", "status")[0], 0)
    healthy(world, "1.0.0")


def apply(world):
    """A release is found and applied."""
    world.timeline.heading("The maintainers release 1.1.0, with two migrations")
    passed_over = release("9.0.0", draft=True), release("1.2.0-rc.1", prerelease=True)
    commit = world.publish("1.1.0", *passed_over)
    found(world, "1.1.0", commit)
    applied(world, "1.1.0", commit, ["1.1.0/001_rename_salutation.py", "1.1.0/002_add_language.py"])
    up_to_date(world)


def undo(world):
    """A release that is not healthy is undone."""
    before = (world.checkout / "config.yml").read_bytes()
    head = world.git(world.checkout, "rev-parse", "HEAD")
    world.timeline.heading("The maintainers release 1.2.0, which has a fault")
    found(world, "1.2.0", world.publish("1.2.0"))
    world.timeline.heading("It is applied, its daemon is not healthy, and everything goes back")
    expect("exit code of apply-update", world.apply()[0], 1)
    expect("deploy_status.json", world.state_file("deploy_status.json").get("status"), "rolled_back")
    expect("HEAD of the checkout", world.git(world.checkout, "rev-parse", "HEAD"), head)
    expect("config.yml", (world.checkout / "config.yml").read_bytes(), before)
    expect("1.2.0 among the migrations", [i for i in migrations(world) if i.startswith("1.2.0/")], [])
    healthy(world, "1.1.0")
    expect("exit code of telec update status", world.run("telec", "update", "status")[0], 0)


def following(world):
    """The next good release is applied."""
    world.timeline.heading("The maintainers release 1.2.1, which is good")
    commit = world.publish("1.2.1")
    found(world, "1.2.1", commit)
    applied(world, "1.2.1", commit, ["1.2.0/001_language_to_locale.py"])
    up_to_date(world)


ACTS = {"apply": apply, "undo": undo, "next": following}


def found(world, version, commit):
    """version-watch finds exactly this version and commit."""
    world.timeline.heading("The watcher looks")
    expect("exit code of version-watch", world.run("version-watch", "--exit-code")[0], 10)
    signal_file = world.state_file("update_available.json")
    expect("the version found", signal_file.get("available"), version)
    expect("the commit found", signal_file.get("available_commit"), commit)


def applied(world, version, commit, ids):
    """apply-update brings the daemon to this version, in the promised order."""
    before = len(world.events())
    world.timeline.heading(f"{version} is applied")
    expect("exit code of apply-update", world.apply()[0], 42)
    expect("HEAD of the checkout", world.git(world.checkout, "rev-parse", "HEAD"), commit)
    expect("deploy_status.json", world.state_file("deploy_status.json").get("status"), "deployed")
    expect("the signal", world.state_file("update_available.json"), {})
    expect("the last migrations", migrations(world)[-len(ids):], ids)
    events = [event.split(":")[0] for event in world.events()[before:]]
    expect("the steps", events, [f"install {version}", "stop", f"start {version}"])
    healthy(world, version)


def healthy(world, version):
    """The daemon that answers is this version."""
    world.timeline.heading(f"The daemon that runs is {version}")
    code, told = world.run("make", "status")
    expect("exit code of make status", code, 0)
    expect("the version that answers", told.split()[:2], ["greeter", version])
    world.run("tail", "-n", "5", "var/events.log")
    world.run("tail", "-n", "3", "config.yml")
    code, told = world.run("telec", "version")
    expect("telec version", told.startswith(f"Greeter v{version} (channel: beta, commit: "), True)


def up_to_date(world):
    """Nothing is left to do, and status and history say so."""
    world.timeline.heading("Afterwards")
    expect("exit code of version-watch", world.run("version-watch", "--exit-code")[0], 0)
    expect("exit code of apply-update", world.run("apply-update")[0], 0)
    expect("exit code of telec update status", world.run("telec", "update", "status")[0], 0)
    expect("exit code of telec update history", world.run("telec", "update", "history")[0], 0)


def migrations(world):
    """What is on record as applied."""
    return world.state_file("migration_state.json").get("applied", [])


def perform(programs, acts):
    """The whole play; returns the exit code."""
    timeline = Timeline()
    try:
        with World(programs, timeline) as world:
            timeline.say(f"everything happens in {world.folder}")
            begin(world)
            for act in acts:
                ACTS[act](world)
    except Broken as broken:
        return failed(timeline, str(broken))
    except subprocess.CalledProcessError as error:
        return failed(timeline, f"{error}: {error.stderr}")
    timeline.heading(f"All as promised ({', '.join(acts)}).")
    return 0


def failed(timeline, why):
    """Says what went wrong."""
    timeline.heading(f"FAILED: {why}")
    print(f"demo: {why}. DEMO_KEEP=1 keeps its folder to look into.", file=sys.stderr)
    return 1


def main():
    """Arguments and signals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="folder of the programs, target/release")
    options = parser.parse_args()
    acts = os.environ.get("DEMO_ACTS", "apply undo next").split()
    unknown = [act for act in acts if act not in ACTS]
    if unknown:
        parser.error(f"DEMO_ACTS: no act {unknown[0]!r}; there are: {' '.join(ACTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return perform(options.programs, acts)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
