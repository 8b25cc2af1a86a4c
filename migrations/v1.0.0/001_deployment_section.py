"""Put a `deployment:` section with the channel alpha into config.yml if it has none.

The manual deploy took every commit of main, and so does alpha: nothing changes but that it is said.
Only lines are added; comments, order, line ends and mode of the file stay as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# The working directory is the top of the checkout.
CONFIG = Path(os.environ.get("TELECLAUDE_CONFIG_PATH") or "config.yml")

SECTION = """
# Which versions this computer takes by itself; 'telec update status' says where it stands.
deployment:
  channel: alpha # alpha: every commit of main | beta: every release | stable: patches of one minor version
  # pinned_minor: "1.3" # needed for stable
"""

KEY = re.compile(r"""(?P<name>[^\s#'"{}\[\],&*!|>%@`?:-][^:#]*?|"[^"]*"|'[^']*'|-[^\s:]+)\s*:(?:\s|$)""")

# Keys that one line does not tell: `? key`, `&anchor key:`, `!tag key:`, `"k\u0065y":`.
RIDDLE = re.compile(r"""[?&!]|"[^"]*\\""")
# YAML's line ends; Python's own splitlines() knows more.
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def check() -> bool:
    """True as well where there is no file, or one that lines cannot be added to: alpha is the default."""
    lines = read()
    at = place(lines)
    return at is None or "deployment" in keys(lines, at)


def migrate() -> bool:
    lines = read()
    at = place(lines)
    if at is None or "deployment" in keys(lines, at):
        return True
    indent, end = at
    newline = re.search(r"[\r\n]*$", lines[0])[0] if lines else ""
    newline = newline or "\n"
    if end and not lines[end - 1].endswith(("\r", "\n")):
        lines[end - 1] += newline
    section = SECTION if end else SECTION.lstrip("\n")
    lines[end:end] = [" " * indent * bool(line) + line + newline for line in section.splitlines()]
    write_atomically(CONFIG, "".join(lines))
    return True


def read() -> list[str]:
    try:
        # Bytes, so that no line end is translated.
        return LINE.findall(CONFIG.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return []


def place(lines: list[str]) -> tuple[int, int] | None:
    """How far the top-level keys are indented, and before which line a new one goes.

    None: there is no file, or it is no list of keys, one a line.
    """
    if not CONFIG.exists():
        return None
    indent = None
    for number, line in enumerate(lines):
        text = line.lstrip("\ufeff").rstrip()
        if number and (text == "..." or (text.startswith("---") and indent is not None)):
            return (indent or 0, number)
        if indent is None and text.strip() and not text.lstrip().startswith("#") and not text.startswith(("%", "---")):
            if not KEY.match(text.lstrip(" ")) or RIDDLE.match(text.lstrip(" ")):
                return None
            indent = len(text) - len(text.lstrip(" "))
        elif indent is None and text.startswith("--- "):
            return None
        elif indent is not None and not text[:indent].strip() and RIDDLE.match(text[indent:]):
            return None
    return (indent or 0, len(lines))


def keys(lines: list[str], at: tuple[int, int]) -> set[str]:
    """The top-level keys: what lies deeper, block texts too, is indented further."""
    indent, end = at
    found = set()
    for line in lines[:end]:
        text = line.lstrip("\ufeff")
        match = KEY.match(text[indent:]) if not text[:indent].strip() else None
        if match:
            found.add(match["name"].strip("'\""))
    return found


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file so that a reader, or a power loss, finds the old or the new one, whole."""
    path = path.resolve()
    temp = path.with_name(f".{path.name}.migration")
    mode = path.stat().st_mode & 0o7777
    temp.unlink(missing_ok=True)
    with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
