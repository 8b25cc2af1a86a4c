"""The scratch world: an origin with releases, a checkout with its daemon, the release API.

Everything lies in one temporary folder; nothing outside of it is read or changed.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

RELEASES = Path(__file__).resolve().parent / "releases"
REPOSITORY = "demo/greeter"

CONFIG = """\
# This computer's own settings; git ignores this file.
computer:
  name: demo
deployment:
  channel: beta
  github_repo: {repository}
  api_url: {api}
  timeouts: {{health: 4s}}
greeter:
  salutation: Good morning
"""


class World:
    """Origin, maintainers' clone, checkout, home and API. Use as a context manager."""

    def __init__(self, programs, timeline):
        self.programs = Path(programs).resolve()
        self.timeline = timeline
        self.folder = Path(tempfile.mkdtemp(prefix="teleclaude-demo-")).resolve()
        self.checkout = self.folder / "checkout"
        self.state = self.folder / "home" / ".teleclaude"
        self.offer = self.folder / "releases.json"
        self.api = None
        self.env = self.environment()

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def environment(self):
        """What every program sees: nothing of the caller's settings, tokens and git."""
        names = {role: "Maintainer" for role in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME")}
        mails = {role: "m@example.org" for role in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")}
        return {
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **names,
            **mails,
        }

    def build(self):
        """Origin and checkout at 1.0.0, the API, and the daemon running."""
        for name in ("home", "tmp"):
            (self.folder / name).mkdir()
        self.git(self.folder, "init", "--quiet", "--bare", "origin.git")
        self.git(self.folder / "origin.git", "symbolic-ref", "HEAD", "refs/heads/main")
        self.git(self.folder, "init", "--quiet", "maintainer")
        maintainer = self.folder / "maintainer"
        self.git(maintainer, "symbolic-ref", "HEAD", "refs/heads/main")
        self.git(maintainer, "remote", "add", "origin", str(self.folder / "origin.git"))
        self.commit("1.0.0")
        self.git(maintainer, "push", "--quiet", "origin", "main", "v1.0.0")
        self.offer_releases(release("1.0.0"))
        self.api, address = self.start_api()
        self.git(self.folder, "clone", "--quiet", "origin.git", "checkout")
        config = CONFIG.format(repository=REPOSITORY, api=address)
        (self.checkout / "config.yml").write_text(config, encoding="utf-8")

    def start_api(self):
        """The stand-in for the release API; its first line is its address."""
        program = self.programs / "examples" / "release-api"
        api = subprocess.Popen(
            [str(program), str(self.offer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.env,
        )
        return api, api.stdout.readline().strip()

    def commit(self, version):
        """Lays a release's files over the maintainers' tree, commits and tags it."""
        maintainer = self.folder / "maintainer"
        # copyfile: with the old times kept, git would take a new file of the same size for unchanged.
        shutil.copytree(RELEASES / version, maintainer, dirs_exist_ok=True, copy_function=shutil.copyfile)
        self.git(maintainer, "add", "--all")
        self.git(maintainer, "commit", "--quiet", "-m", f"release {version}")
        self.git(maintainer, "tag", "-a", "-m", version, f"v{version}")
        return self.git(maintainer, "rev-parse", "HEAD")

    def publish(self, version, *others):
        """Releases a version, on the remote and on the API; returns its commit."""
        commit = self.commit(version)
        push = ["git", "push", "--quiet", "origin", "main", f"v{version}"]
        self.timeline.run(push, cwd=self.folder / "maintainer", env=self.env)
        self.offer_releases(*others, release(version))
        return commit

    def offer_releases(self, *fresh):
        """Puts releases on top of what the API offers; a reader sees the old list or the new one."""
        old = json.loads(self.offer.read_text(encoding="utf-8")) if self.offer.exists() else []
        draft = self.offer.with_suffix(".new")
        draft.write_text(json.dumps([*fresh, *old], indent=1), encoding="utf-8")
        draft.replace(self.offer)

    def run(self, *command):
        """Runs a command in the checkout, as the computer's owner would, on the timeline."""
        return self.timeline.run(list(command), cwd=self.checkout, env=self.env)

    def apply(self):
        """Runs apply-update, and tells beside it what the status file says meanwhile."""
        done = threading.Event()
        watcher = threading.Thread(target=self.tell_status, args=(done,), daemon=True)
        watcher.start()
        try:
            return self.run("apply-update")
        finally:
            done.set()
            watcher.join()

    def tell_status(self, done):
        """Any program can read the status at any moment: here one does, until it is told to stop.

        The last look comes after that, so the end is always told."""
        told = self.state_file("deploy_status.json").get("timestamp")
        status = None
        over = False
        while not over:
            over = done.wait(0.005)
            now = self.state_file("deploy_status.json")
            if now.get("timestamp") == told or now.get("status") == status:
                continue
            status = now.get("status")
            self.timeline.say(f"deploy_status.json: {status}, {now.get('from')} to {now.get('to')}", "~")

    def state_file(self, name):
        """A state file; empty when it is not there."""
        try:
            return json.loads((self.state / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def events(self):
        """What the greeter's own commands have done so far."""
        return (self.checkout / "var" / "events.log").read_text(encoding="utf-8").splitlines()

    def git(self, folder, *arguments):
        """git, off the timeline."""
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=self.env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def close(self):
        """Ends the daemon and the API and removes the folder (kept with DEMO_KEEP=1)."""
        if (self.checkout / "greeter").is_dir():
            stop = ["python3", "-B", "-m", "greeter.control", "stop"]
            subprocess.run(stop, cwd=self.checkout, env=self.env, stdout=subprocess.DEVNULL, check=False)
        if self.api:
            self.api.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.api.wait(timeout=5)
            self.api.kill()
            self.api.wait()
            self.api.stdout.close()
        if os.environ.get("DEMO_KEEP") == "1":
            self.timeline.say(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder)


def release(version, **more):
    """A release as the API tells it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "tag_name": f"v{version}",
        "name": version,
        "draft": False,
        "prerelease": False,
        "created_at": now,
        "published_at": now,
        "html_url": f"https://example.org/{REPOSITORY}/releases/tag/v{version}",
        **more,
    }
