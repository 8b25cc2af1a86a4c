"""A small daemon that runs from its checkout and greets whoever asks."""
