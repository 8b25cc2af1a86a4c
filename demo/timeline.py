"""Runs commands and tells what they say as a timeline; knows nothing of what they do."""

import shlex
import subprocess
import sys
import threading
import time


class Timeline:
    """Lines on standard output, each with the seconds since the start."""

    def __init__(self):
        self.start = time.monotonic()
        self.one_line_at_a_time = threading.Lock()

    def say(self, text, mark=" "):
        """One line."""
        elapsed = time.monotonic() - self.start
        with self.one_line_at_a_time:
            sys.stdout.write(f"{elapsed:6.2f}s {mark} {text}".rstrip() + "\n")
            sys.stdout.flush()

    def heading(self, text):
        """The start of a scene."""
        with self.one_line_at_a_time:
            sys.stdout.write("\n")
        self.say(text, "#")

    def run(self, command, **where):
        """Runs a command, shows it and every line it prints; returns its exit code and output."""
        self.say(shlex.join(command), "$")
        lines = []
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **where,
        ) as process:
            try:
                for line in process.stdout:
                    lines.append(line)
                    self.say("  " + line.rstrip("\n"))
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            self.say(f"  (exit code {process.returncode})")
        return process.returncode, "".join(lines)
