"""{TITLE}."""

from __future__ import annotations

import os
from pathlib import Path

# The working directory is the top of the checkout.
CONFIG = Path(os.environ.get("TELECLAUDE_CONFIG_PATH", "config.yml"))


def check() -> bool:
    """Whether there is nothing (left) to do. Changes nothing, and is quick."""
    raise NotImplementedError("say how one can tell that this is done")


def migrate() -> bool:
    """Does it. May be called again after it was interrupted anywhere."""
    raise NotImplementedError("do it, with write_atomically(CONFIG, text) for example")


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file so that a reader, or a power loss, finds the old or the new one, whole."""
    path = path.resolve()
    temp = path.with_name(f".{path.name}.migration")
    with temp.open("w", encoding="utf-8") as file:
        if path.exists():
            os.chmod(temp, path.stat().st_mode & 0o7777)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
