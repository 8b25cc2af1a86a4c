"""The key greeter.salutation of config.yml is now greeter.greeting."""

import shutil
from pathlib import Path

CONFIG = Path("config.yml")


def check():
    return "\n  salutation: " not in CONFIG.read_text(encoding="utf-8")


def migrate():
    text = CONFIG.read_text(encoding="utf-8")
    fresh = CONFIG.with_name("config.yml.new")
    fresh.write_text(text.replace("\n  salutation: ", "\n  greeting: "), encoding="utf-8")
    shutil.copymode(CONFIG, fresh)
    fresh.replace(CONFIG)
    return True
