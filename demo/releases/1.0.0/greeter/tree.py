"""What the checkout's files say at this moment: version and configuration."""

import re
from pathlib import Path


def version():
    """The version in pyproject.toml."""
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.+)"$', text, re.MULTILINE).group(1)


def settings():
    """The keys of the section `greeter` in config.yml."""
    text = Path("config.yml").read_text(encoding="utf-8")
    section = text.partition("\ngreeter:\n")[2]
    return dict(re.findall(r"^  (\w+): (.+)$", section, re.MULTILINE))
