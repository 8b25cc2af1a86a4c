"""The key greeter.language of config.yml is now greeter.locale, with a country."""

import shutil
from pathlib import Path

CONFIG = Path("config.yml")
COUNTRY = {"en": "en_GB", "nl": "nl_NL"}


def check():
    return "\n  language: " not in CONFIG.read_text(encoding="utf-8")


def migrate():
    text = CONFIG.read_text(encoding="utf-8")
    for language, locale in COUNTRY.items():
        text = text.replace(f"\n  language: {language}\n", f"\n  locale: {locale}\n")
    fresh = CONFIG.with_name("config.yml.new")
    fresh.write_text(text, encoding="utf-8")
    shutil.copymode(CONFIG, fresh)
    fresh.replace(CONFIG)
    return True
