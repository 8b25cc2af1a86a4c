"""Runs one migration after the other, each in a process of its own.

Standard input brings requests, standard output takes answers, both one JSON object or word a
line; standard error is the log. What a script does, prints, closes or forks stays in its process:
it has a result only when that very process says so, with a word that was made for it, and then
ends with exit code 0.
"""

import atexit
import gc
import inspect
import json
import os
import select
import signal
import stat
import sys
import time
import traceback
import types

NO_RESULT = 70
CHANNEL_LOST = 71
AFTER_KILL = 2.0
SHOWN = 600


# ---- the script's own process -------------------------------------------------------------


def script_process(request, word, go, report):
    """Never returns. Everything it needs is held here: the script can replace modules' names."""
    own, getpid, leave, fstat, write, read = os.getpid(), os.getpid, os._exit, os.fstat, os.write, os.read
    encode, kind, pipe_file = json.dumps, type, _identity(fstat(report))
    path, shown = request["path"], request["name"]

    def leave_if_forked():
        # A child that fell out of the script is not the script, and has nothing to say.
        if getpid() != own:
            leave(NO_RESULT)

    def say(**message):
        leave_if_forked()
        data = (word + " " + encode(message) + "\n").encode("utf-8", "replace")
        try:
            # The script may have closed the pipe and opened a file of its own in its place.
            if _identity(fstat(report)) != pipe_file:
                leave(CHANNEL_LOST)
            while data:
                data = data[write(report, data):]
        except OSError:
            leave(CHANNEL_LOST)

    def wait_for_go():
        try:
            if read(go, 1) == b"g":
                return
        except OSError:
            pass
        leave(CHANNEL_LOST)

    def fail(stage, error):
        say(failed={"stage": stage, "error": error[:SHOWN * 2]})
        leave(1)

    def attempt(stage, function):
        say(stage=stage)
        try:
            return function()
        except BaseException as error:
            leave_if_forked()
            text = _describe(error, path, shown)
            _print_traceback(error)
            _finish()
            return fail(stage, text)

    def ask(stage, name):
        answer = attempt(stage, functions[name])
        leave_if_forked()
        if kind(answer) is not bool:
            _finish()
            fail(stage, "%s() returned %s; it must return True or False" % (name, _shorten(answer)))
        return answer

    say(ready=True)
    wait_for_go()
    module = types.ModuleType("migration_" + os.path.basename(path)[:-3])
    module.__file__ = path
    functions = attempt("import", lambda: _load(module, path))
    held = ask("check", "check")
    if held or request["only_check"]:
        _finish()
        say(done={"held": held})
        leave(0)
    say(stage="migrate", ask=True)
    wait_for_go()
    if not ask("migrate", "migrate"):
        _finish()
        fail("migrate", "migrate() returned False")
    attempt("migrate", _join_threads)
    if not ask("verify", "check"):
        _finish()
        fail("verify", "check() is still False after migrate()")
    _finish()
    say(done={"held": False})
    leave(0)


def _identity(facts):
    return (facts.st_dev, facts.st_ino, stat.S_IFMT(facts.st_mode))


def _load(module, path):
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path, "exec", dont_inherit=True)
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
    return {name: _function(module, name) for name in ("check", "migrate")}


class Unfit(Exception):
    """The script is not what a migration must be."""


def _function(module, name):
    function = getattr(module, name, None)
    if function is None:
        raise Unfit("it has no %s()" % name)
    if not callable(function):
        raise Unfit("its %s is no function" % name)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Unfit("%s() is async; it must be a plain function" % name)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function
    wanted = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if wanted:
        raise Unfit("%s() wants arguments (%s); it is called without any" % (name, ", ".join(wanted)))
    return function


def _join_threads():
    threading = sys.modules.get("threading")
    if threading is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _finish():
    """What the interpreter does at its end, without the end."""
    try:
        atexit._run_exitfuncs()
    except BaseException as error:
        _print_traceback(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def _describe(error, path, shown):
    if isinstance(error, Unfit):
        return "%s (%s)" % (error, shown)
    if isinstance(error, SystemExit):
        text = "it called sys.exit(%s) instead of returning True or False" % _shorten(error.code)
    else:
        text = "%s: %s" % (type(error).__name__, _text(error))
    line = _line(error, path)
    return "%s (%s:%d)" % (text, shown, line) if line else "%s (%s)" % (text, shown)


def _line(error, path):
    """The script's line that the error came through last."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            line = step.tb_lineno
        step = step.tb_next
    return line


def _text(error):
    try:
        return str(error)[:SHOWN]
    except BaseException:
        return "(its text cannot be shown)"


def _shorten(value):
    try:
        text = repr(value)
    except BaseException:
        text = "a " + type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def _print_traceback(error):
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    try:
        lines = traceback.format_exception(type(error), error, step)
        os.write(2, "".join(lines).encode("utf-8", "replace"))
    except BaseException:
        pass


# ---- the process that stays ---------------------------------------------------------------


class Requests:
    """Standard input, line by line, without ever blocking on half a line."""

    def __init__(self):
        self.rest = b""
        self.open = True

    def read(self):
        data = os.read(0, 65536)
        self.open = bool(data)
        self.rest += data

    def take(self):
        line, end, rest = self.rest.partition(b"\n")
        if not end:
            return None
        self.rest = rest
        return line.decode("utf-8")

    def wait(self):
        while self.open:
            line = self.take()
            if line is not None:
                return line
            self.read()
        return None


def one_line(text):
    """One sentence, in characters that every reader can take: an exception's text may be anything."""
    text = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def answer(**message):
    data = (json.dumps(message) + "\n").encode()
    try:
        while data:
            data = data[os.write(1, data):]
    except OSError:
        pass  # nobody reads any more; the end of the requests says so too


def own_path():
    """What PYTHONPATH says. This process does without, so that nothing there can stand in for its modules."""
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


class Script:
    """One script's process, seen from outside."""

    def __init__(self, request, requests, woken):
        self.requests, self.woken = requests, woken
        self.timeout, self.grace = request["timeout"], request["grace"]
        self.word = os.urandom(16).hex()
        self.stage, self.result, self.status = "import", None, None
        self.deadline, self.stopped, self.late = None, False, False
        self.heard = b""
        self.pid, self.go, self.report = self.fork(request)

    def fork(self, request):
        go, let_go = os.pipe()
        report, say = os.pipe()
        pid = os.fork()
        if pid:
            os.close(go)
            os.close(say)
            os.set_blocking(report, False)
            return pid, let_go, report
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for fd in (let_go, report) + self.woken:
                os.close(fd)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            os.dup2(2, 1)
            sys.argv = [request["path"]]
            sys.path[:0] = [request["checkout"]] + own_path()
            os.chdir(request["checkout"])
            script_process(request, self.word, go, say)
        finally:
            os._exit(NO_RESULT)

    def run(self):
        try:
            self.watch()
        except BaseException:
            self.end_group()
            raise

    def watch(self):
        while not self.reap():
            now = time.monotonic()
            if self.deadline is not None and now >= self.deadline:
                self.late = True
            if self.late or self.stopped:
                break
            self.listen(None if self.deadline is None else self.deadline - now)
        self.hear()
        if not self.succeeded():
            self.end_group()
        os.close(self.go)
        os.close(self.report)
        answer(end=self.verdict())

    def listen(self, timeout):
        readers = [self.report, self.woken[0]] + ([0] if self.requests.open else [])
        ready = select.select(readers, [], [], timeout)[0]
        if self.woken[0] in ready:
            os.read(self.woken[0], 4096)
        if self.report in ready:
            self.hear()
        if 0 in ready:
            self.requests.read()
            self.obey()

    def obey(self):
        line = self.requests.take()
        while line is not None:
            if line == "go":
                self.let_go()
            else:
                self.stopped = True
            line = self.requests.take()
        # At the end of requests nobody is there any more who could put the result on record.
        self.stopped = self.stopped or not self.requests.open

    def let_go(self):
        if self.deadline is None:
            self.deadline = time.monotonic() + self.timeout
        try:
            os.write(self.go, b"g")
        except OSError:
            pass  # it is gone; that shows when it is waited for

    def hear(self):
        while True:
            try:
                data = os.read(self.report, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            self.heard += data
        while b"\n" in self.heard:
            line, _, self.heard = self.heard.partition(b"\n")
            word, _, message = line.partition(b" ")
            if word == self.word.encode():
                self.take(json.loads(message.decode("utf-8")))
        self.heard = self.heard[-65536:]

    def take(self, message):
        if "ready" in message:
            answer(ready=self.pid)
        if "stage" in message:
            self.stage = message["stage"]
            answer(stage=self.stage, ask="ask" in message)
        if "failed" in message or "done" in message:
            self.result = message

    def reap(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def succeeded(self):
        return self.status == 0 and self.result is not None and "done" in self.result

    def end_group(self):
        for number, patience in ((signal.SIGTERM, self.grace), (signal.SIGKILL, AFTER_KILL)):
            self.signal(number)
            until, pause = time.monotonic() + patience, 0.001
            while time.monotonic() < until:
                if self.reap() and not self.signal(0):
                    return
                self.hear()  # its pipe must not fill up while it cleans up
                time.sleep(pause)
                pause = min(pause * 2, 0.02)

    def signal(self, number):
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def verdict(self):
        if self.succeeded():
            return self.result["done"]
        if self.stopped:
            return {"failed": self.stage, "error": "it was stopped in this stage", "stopped": True}
        if self.late:
            return {"failed": "timeout", "error": "not done after %g s (stage %s)" % (self.timeout, self.stage)}
        if self.result is not None and "failed" in self.result:
            return {"failed": self.result["failed"]["stage"], "error": one_line(self.result["failed"]["error"])}
        return {"failed": self.stage, "error": self.how_it_ended()}

    def how_it_ended(self):
        if self.status is None:
            return "its process cannot be ended"
        if os.WIFSIGNALED(self.status):
            return "its process was ended by signal %d" % os.WTERMSIG(self.status)
        code = os.WEXITSTATUS(self.status)
        if code == CHANNEL_LOST:
            return "it closed a file descriptor that is not its own, so it could not report a result"
        return "its process ended with exit code %d before it had a result" % code


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A stop is passed on by the program that started us; a hang-up of a terminal is not for us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    woken = os.pipe()
    for fd in woken:
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken[1], warn_on_full_buffer=False)
    gc.freeze()
    requests = Requests()
    line = requests.wait()
    while line is not None:
        if line.startswith("{"):
            Script(json.loads(line), requests, woken).run()
        line = requests.wait()


main()
os._exit(0)
