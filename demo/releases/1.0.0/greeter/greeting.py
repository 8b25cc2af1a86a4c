"""What this version says."""


def greeting(settings):
    """The answer to everyone who asks."""
    return f"{settings['salutation']}, world"
