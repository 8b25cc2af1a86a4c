"""The daemon: reads version and configuration once, then answers on a unix socket until TERM."""

import fcntl
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from greeter import tree
from greeter.greeting import greeting

SOCKET = "var/greeter.sock"  # relative: macOS allows about 100 bytes
PID_FILE = Path("var/greeter.pid")
LONGEST_LIFE = 15 * 60  # seconds; nothing of a killed demo stays for ever


def main(ready):
    """Serves; `ready` is the descriptor that is told when callers can connect."""
    pid_file = PID_FILE.open("a+")
    fcntl.flock(pid_file, fcntl.LOCK_EX)  # held as long as this process lives
    pid_file.truncate(0)
    pid_file.write(f"{os.getpid()}\n")
    pid_file.flush()
    listener = listen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    version, settings = tree.version(), tree.settings()
    say(f"version {version} runs, pid {os.getpid()}")
    try:
        os.write(ready, b"ready")
        os.close(ready)
        serve(listener, version, settings)
    finally:
        say(f"version {version} ends, pid {os.getpid()}")


def listen():
    """A fresh listening socket; a left-over one of a killed daemon is replaced."""
    Path(SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen()
    return listener


def serve(listener, version, settings):
    """One JSON line for each caller."""
    end = time.monotonic() + LONGEST_LIFE
    while (left := end - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            caller, _ = listener.accept()
        except socket.timeout:
            return
        with caller:
            caller.sendall(json.dumps(answer(version, settings)).encode() + b"\n")


def answer(version, settings):
    """Version, process and greeting; a greeting that fails is told, not hidden."""
    about = {"version": version, "pid": os.getpid()}
    try:
        return {**about, "greeting": greeting(settings)}
    except Exception as error:  # whatever is wrong with a release shows in its status
        return {**about, "error": repr(error)}


def say(text):
    """A line for the daemon's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
