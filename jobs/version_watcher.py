"""Job for the cron runner: looks for a newer version and applies it, in one run.

Both programs run in this one job, one after the other, so that what is found in a tick is applied
in the same tick, whatever other job modules there are and however they are named. Everything is
decided by the programs: this module finds them, runs them and hands on what they say.

Standard library only. Copy this file into the checkout's ``jobs/`` folder and give it an entry in
``teleclaude.yml``; the procedure "putting it to work" has both.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from jobs.base import Job, JobResult

# Done or deferred, updated, try again later: nothing is wrong with these.
GOOD_EXITS = {0, 42, 75}
UPDATED = 42

# Not resolved: where this file is a link, the checkout is where the link lies.
CHECKOUT = Path(os.path.abspath(__file__)).parents[1]


def find(program: str) -> str:
    """The path of one of our programs; raises FileNotFoundError with what to do."""
    on_path = shutil.which(program)
    if on_path:
        return on_path
    folders = (Path.home() / ".local" / "bin", CHECKOUT / ".venv" / "bin")
    for folder in folders:
        if os.access(folder / program, os.X_OK):
            return str(folder / program)
    places = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"{program} is neither on PATH nor in {places}: install it into one of them")


def run(program: str) -> tuple[int, str]:
    """Runs a program in the checkout. Returns its exit code and its sentence."""
    done = subprocess.run(
        [find(program), "--json", "--repo", str(CHECKOUT)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode, sentence(done)


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The ``message`` of the JSON result, else the last thing said on standard error."""
    try:
        return str(json.loads(done.stdout)["message"])
    except (ValueError, KeyError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"no result, exit code {done.returncode}: {said[-1] if said else 'it said nothing'}"


class VersionWatcherJob(Job):
    """version-watch, then apply-update; the second also where the first could not look."""

    name = "version_watcher"

    def run(self) -> JobResult:
        """Success unless one of the programs says that something is wrong."""
        sentences: list[str] = []
        errors: list[str] = []
        updates = 0
        for program in ("version-watch", "apply-update"):
            try:
                code, said = run(program)
            except OSError as error:
                code, said = 1, str(error)
            sentences.append(said)
            updates += code == UPDATED
            if code not in GOOD_EXITS:
                errors.append(f"{program}: {said}")
        return JobResult(
            success=not errors,
            message="; ".join(dict.fromkeys(sentences)),
            items_processed=updates,
            errors=errors or None,
        )


# Found by the runner under this name.
JOB = VersionWatcherJob()
