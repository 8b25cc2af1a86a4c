"""Remove the temporary files that the daemon's earlier deployment left in the state home.

It wrote its migration record by way of `.migration_state.json.<pid>.tmp` and, where it was killed
in between, left that file behind. Nothing else there is known to be its; see migrations/README.md.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

# The earlier tool knew no other place.
HOME = Path.home() / ".teleclaude"
NAME = re.compile(r"\.migration_state\.json\.([1-9][0-9]{0,9})\.tmp")
DAY = 24 * 3600.0


def check() -> bool:
    return not leftovers()


def migrate() -> bool:
    for path in leftovers():
        path.unlink(missing_ok=True)
    return True


def leftovers() -> list[Path]:
    """Files of that name whose writer is gone."""
    found = []
    for path in HOME.glob(".migration_state.json.*.tmp"):
        match = NAME.fullmatch(path.name)
        if not match:
            continue
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        # A number can belong to another process by now, but nobody takes a day to write this file.
        if stat.S_ISREG(facts.st_mode) and (time.time() - facts.st_mtime > DAY or not alive(int(match[1]))):
            found.append(path)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
