"""What the Makefile's targets do: `python3 -m greeter.control install|restart|status|stop`."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from greeter import tree
from greeter.daemon import PID_FILE, SOCKET

PATIENCE = 10  # seconds


def install():
    """Stands for whatever an installation does; the running daemon is left alone."""
    keys = ", ".join(tree.settings())
    note(f"install {tree.version()}: config.yml has {keys}")
    Path("var/installed").write_text(tree.version() + "\n", encoding="utf-8")


def restart():
    """Ends the old daemon, then starts the one of this tree, detached."""
    stop()
    inbox, outbox = os.pipe()
    with open("var/greeter.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-B", "-m", "greeter.daemon", str(outbox)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[outbox],
        )
    os.close(outbox)
    if os.read(inbox, 16) != b"ready":  # nothing: it ended before it could answer
        sys.exit(f"greeter {tree.version()} did not start; see var/greeter.log")
    note(f"start {tree.version()}: pid {PID_FILE.read_text().strip()}")


def stop():
    """Asks the running daemon to end and waits until its lock on the pid file is free."""
    with PID_FILE.open("a+") as pid_file:
        try:
            fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return  # none runs
        except BlockingIOError:
            pid_file.seek(0)
            pid = int(pid_file.read())
        os.kill(pid, signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"greeter (pid {pid}) does not end"))
        signal.alarm(PATIENCE)
        fcntl.flock(pid_file, fcntl.LOCK_EX)
        signal.alarm(0)
    note(f"stop: pid {pid}")


def status():
    """Asks the running daemon; fails unless it is this tree's version and can greet."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE)
        try:
            caller.connect(SOCKET)
        except OSError:
            sys.exit("greeter is not running")
        told = json.loads(caller.makefile().readline())
    name = f"greeter {told['version']} (pid {told['pid']})"
    if told["version"] != tree.version():
        sys.exit(f"{name} runs, but the tree is at {tree.version()}")
    if "error" in told:
        sys.exit(f"{name} runs, but cannot greet: {told['error']}")
    print(f"{name} says: {told['greeting']}")


def note(event):
    """Prints what was done and keeps it in var/events.log."""
    print(event)
    with open("var/events.log", "a", encoding="utf-8") as log:
        log.write(event + "\n")


if __name__ == "__main__":
    Path("var").mkdir(exist_ok=True)
    {"install": install, "restart": restart, "status": status, "stop": stop}[sys.argv[1]]()
