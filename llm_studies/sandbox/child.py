"""The programme's process: ``python -I -S -B child.py DESCRIPTOR CPU MEMORY DIGITS ROOT CHECKED [PACKAGES]``.

Reads a nonce and the source from standard input, makes itself harmless, runs the source, and writes one JSON line with
the nonce to the descriptor. Imports nothing of this project but ``policy``, which it finds beside itself.

Order matters: whatever needs a file (the allow-listed modules) is loaded first; then no descriptor can be opened any
more (no file, no socket, no pipe), no process started, no byte written to a file; only then does the source run.
"""

import ast
import json
import os
import resource
import signal
import sys
from types import ModuleType
from typing import Any

NO_SUCH_USER = 0x40000000
"""First of the user ids that a root process takes, one for each child, so that children cannot signal one another."""
LAZY = {
    "collections": ("heapq",),
    "datetime": ("_strptime", "time"),
    "sympy": (
        "sympy.assumptions.wrapper", "sympy.integrals.manualintegrate", "sympy.sets.handlers.functions",
        "sympy.sets.handlers.issubset", "sympy.tensor.tensor",
    ),
}  # fmt: skip
"""What a module loads only when it is used, which would then be too late."""


def main() -> None:
    descriptor, cpu, memory, digits = map(int, sys.argv[1:5])
    root, checked, packages = sys.argv[5], sys.argv[6] == "1", sys.argv[7:]
    nonce, _, source = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").partition("\n")
    os.close(0)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    result = evaluate(source, digits, root, checked, packages)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os.write(descriptor, (json.dumps({"nonce": nonce, **result}) + "\n").encode())
        os._exit(0)  # the source's exit handlers and finalisers do not run


def evaluate(source: str, digits: int, root: str, checked: bool, packages: list[str]) -> dict[str, str]:
    """Status, and kind and text of the answer or a detail."""
    try:
        tree = ast.parse(source, "<programme>")
        modules = policy.check(tree) if checked else policy.MODULES - {"sympy"}
        programme = compile(tree, "<programme>", "exec", dont_inherit=True)
    except policy.Forbidden as error:
        return failed("forbidden", str(error))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return failed("syntax", describe(error))
    try:
        proxies = {name: proxy(name, packages) for name in sorted(modules)}
    except ImportError as error:
        return failed("exception", describe(error))
    names = {"__name__": "__main__", "__builtins__": guarded(proxies) if checked else __builtins__}
    lock(root)
    try:
        exec(programme, names)
        return answer(names, digits)
    except MemoryError:
        return failed("memory", "it needs more memory than it may have")
    except BaseException as error:
        return failed("exception", describe(error))


def proxy(name: str, packages: list[str]) -> ModuleType:
    """The module's public names, without the modules among them (``statistics.sys``, ``collections.abc``)."""
    sys.path.extend(packages)
    module = __import__(name)
    for lazy in LAZY.get(name, ()):
        __import__(lazy)
    if name == "sympy":
        disarm()
    public = getattr(module, "__all__", None) or [each for each in vars(module) if not each.startswith("_")]
    stand_in = ModuleType(name)
    vars(stand_in).update({each: vars(module)[each] for each in public if each in vars(module)})
    for each in [each for each, value in vars(stand_in).items() if isinstance(value, ModuleType)]:
        delattr(stand_in, each)
    return stand_in


def disarm() -> None:
    """sympy gives every text that it takes for an expression to ``eval``; here it refuses."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("sympy may not evaluate text here; build the expression from symbols")

    loaded = [module for name, module in sys.modules.items() if name.partition(".")[0] == "sympy"]
    for module in loaded:
        for name in ("parse_expr", "eval_expr", "lambdify"):
            if callable(getattr(module, name, None)):
                setattr(module, name, refuse)


def guarded(proxies: dict[str, ModuleType]) -> dict[str, object]:
    """The builtins on the list, and an import that knows the proxies only."""
    every = vars(sys.modules["builtins"])

    def load(name: str, *_: object) -> ModuleType:
        if name in proxies:
            return proxies[name]
        if any(name in LAZY.get(each, ()) for each in proxies):  # C code imports with its caller's builtins
            return sys.modules[name]
        raise ImportError(f"the module {name!r} may not be used")

    allowed = {name: every[name] for name in policy.BUILTINS}
    return allowed | {"__import__": load, "__build_class__": every["__build_class__"]}


def lock(root: str) -> None:
    """From here on the process can only compute and use the descriptors that it has."""
    os.chdir(root)
    if os.geteuid() == 0:  # never under bubblewrap, which gives another user
        os.chroot(root)
        os.setgroups([])
        user = NO_SUCH_USER + os.getpid()
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    # NPROC does not bind root, which is why root is left first.
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))


def answer(names: dict[str, Any], digits: int) -> dict[str, str]:
    """``answer`` as a kind and an exact text. Types are compared, not asked: a subclass could answer anything."""
    if "answer" not in names:
        return failed("no-answer", "the programme does not assign `answer`")
    value = plain(names["answer"])
    kind = type(value).__name__
    if kind not in {"int", "float", "str", "Fraction", "Decimal"}:
        return failed("non-number", f"`answer` is a {kind}, not a number or a text")
    if kind == "float" and (value != value or value in (float("inf"), -float("inf"))):
        return failed("non-finite", f"`answer` is {value}")
    if kind == "Decimal" and not value.is_finite():
        return failed("non-finite", f"`answer` is {value}")
    if too_long(kind, value, digits):
        return failed("non-number", f"`answer` has more than {digits} digits or characters")
    return {"status": "ok", "kind": kind, "text": repr(value) if kind == "float" else str(value)}


def plain(value: Any) -> Any:
    """A sympy number as a standard one; anything else as it is."""
    if type(value).__module__.partition(".")[0] != "sympy" or not getattr(value, "is_number", False):
        return value
    if value.is_Rational:
        return int(value.p) if value.q == 1 else __import__("fractions").Fraction(int(value.p), int(value.q))
    return float(value)


def too_long(kind: str, value: Any, digits: int) -> bool:
    """Before any conversion to text, which Python itself refuses for large integers."""
    if kind in {"int", "Fraction"}:
        return max(abs(value.numerator), value.denominator) >= 10**digits
    if kind == "Decimal":  # 1E+999999 is short, and fatal to whoever makes an integer of it
        return max(len(value.as_tuple().digits), abs(value.adjusted())) > digits
    return kind == "str" and len(value) > digits


def failed(status: str, detail: str) -> dict[str, str]:
    return {"status": status, "detail": detail[:500]}


def describe(error: BaseException) -> str:
    """``line 3: ZeroDivisionError: division by zero``, with the last line of the programme that was reached."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<programme>" else line
        trace = trace.tb_next
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return (f"line {line}: " if line else "") + f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib costs a start-up)
    import policy

    del sys.path[0]
    main()
