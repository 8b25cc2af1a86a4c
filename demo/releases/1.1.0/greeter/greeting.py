"""What this version says."""

WORLD = {"en": "world", "nl": "wereld"}


def greeting(settings):
    """The answer to everyone who asks."""
    return f"{settings['greeting']}, {WORLD[settings['language']]}!"
