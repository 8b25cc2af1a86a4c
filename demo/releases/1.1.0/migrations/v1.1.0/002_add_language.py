"""config.yml has a key greeter.language; English was spoken until now."""

import shutil
from pathlib import Path

CONFIG = Path("config.yml")


def check():
    return "\n  language: " in CONFIG.read_text(encoding="utf-8")


def migrate():
    text = CONFIG.read_text(encoding="utf-8")
    fresh = CONFIG.with_name("config.yml.new")
    fresh.write_text(text.replace("\n  greeting: ", "\n  language: en\n  greeting: "), encoding="utf-8")
    shutil.copymode(CONFIG, fresh)
    fresh.replace(CONFIG)
    return True
