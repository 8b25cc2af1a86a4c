"""Reads migrations without importing them: what they say they do, and what is wrong with them.

One path a line comes in, one JSON object a line goes out.
"""

import ast
import json
import os
import sys
import tokenize

NETWORK = {
    "aiohttp", "boto3", "ftplib", "grpc", "http", "httpx", "imaplib", "nntplib", "paramiko", "poplib", "pycurl",
    "redis", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib3", "websocket",
    "websockets", "xmlrpc",
}
NETWORK_PARTS = {"urllib.request", "asyncio.streams"}


def look_at(path):
    try:
        with tokenize.open(path) as file:
            source = file.read()
        tree = ast.parse(source, path)
    except SyntaxError as error:
        return {"findings": [finding("error", error.lineno, "it cannot be parsed: %s" % error.msg)]}
    except (OSError, ValueError, UnicodeError, RecursionError, MemoryError) as error:
        return {"findings": [finding("error", None, "it cannot be read: %s" % error)]}
    doc = (ast.get_docstring(tree) or "").strip().partition("\n")[0].strip()
    doc = doc.encode("utf-8", "backslashreplace").decode("utf-8")  # half a character is no text for others
    allowed = {word for line in source.splitlines() for word in allowances(line)}
    findings = faults(tree) + ([] if "network" in allowed else network(tree))
    return {"findings": findings, "doc": doc or None, "allowed": sorted(allowed)}


def allowances(line):
    """`# migration: allow network` at the end of a line, or alone on one."""
    _, mark, words = line.partition("# migration: allow ")
    return words.replace(",", " ").split() if mark else []


def finding(level, line, message):
    return {"level": level, "line": line, "message": message}


def faults(tree):
    found = {}
    for node in top_level(tree.body):
        for name in names_bound(node):
            found[name] = node
    faults = []
    for name in ("check", "migrate"):
        node = found.get(name)
        if node is None:
            faults.append(finding("error", None, "it has no %s()" % name))
        else:
            faults.extend(function_faults(name, node))
    return faults


def top_level(body):
    """What is bound at import, in conditions too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from top_level(getattr(node, part, []) or [])
        for handler in getattr(node, "handlers", []):
            yield from top_level(handler.body)


def names_bound(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def function_faults(name, node):
    if isinstance(node, ast.AsyncFunctionDef):
        return [finding("error", node.lineno, "%s() is async; it must be a plain function" % name)]
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        return [finding("error", node.lineno, "its %s is no function" % name)]
    if not isinstance(node, ast.FunctionDef):
        return []  # whatever it is, it is known only when it is imported
    faults = []
    wanted = arguments_wanted(node.args)
    if wanted and not node.decorator_list:
        faults.append(finding("error", node.lineno, "%s() wants arguments (%s)" % (name, ", ".join(wanted))))
    inside = list(own_nodes(node))
    if any(isinstance(part, (ast.Yield, ast.YieldFrom)) for part in inside):
        faults.append(finding("error", node.lineno, "%s() is a generator; it must return True or False" % name))
    elif not any(isinstance(part, ast.Raise) or (isinstance(part, ast.Return) and part.value) for part in inside):
        faults.append(finding("error", node.lineno, "%s() never returns True or False" % name))
    return faults


def arguments_wanted(arguments):
    positional = getattr(arguments, "posonlyargs", []) + arguments.args
    wanted = positional[: len(positional) - len(arguments.defaults)]
    named = [a for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None]
    return [argument.arg for argument in wanted + named]


def own_nodes(function):
    """The nodes of a function, without those of functions inside it."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def network(tree):
    findings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            names = [module] + ["%s.%s" % (module, alias.name) for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in NETWORK or any((name + ".").startswith(part + ".") for part in NETWORK_PARTS):
                text = "it imports %s: a migration must not need the network" % name
                findings.append(finding("warning", node.lineno, text))
                break
    return findings


sys.setrecursionlimit(10000)
for path in os.fdopen(0, encoding="utf-8", errors="surrogateescape"):
    print(json.dumps(look_at(path.rstrip("\n"))), flush=True)
os._exit(0)
