"""The program ``kithara``.

Each command is one class in ``deploy.commands``; it is imported when it is called, and it imports what it needs when it
runs. So ``kithara --help`` costs nothing, and ``kithara serve`` never meets torch.
"""

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType

from common.errors import KitharaError, OperatorError
from common.system import load
from deploy.commands.base import Command

COMMANDS = MappingProxyType(
    {
        "serve": "deploy.commands.serve:Serve",
        "train": "deploy.commands.train:Train",
        "evaluate": "deploy.commands.verbs:Evaluate",
        "export": "deploy.commands.verbs:Export",
        "claims": "deploy.commands.verbs:Claims",
        "predict": "deploy.commands.verbs:Predict",
        "bench": "deploy.commands.bench:Bench",
        "models list": "deploy.commands.models:List",
        "models show": "deploy.commands.models:Show",
        "models check": "deploy.commands.models:Check",
        "models alias": "deploy.commands.models:Alias",
        "data check": "deploy.commands.data:Check",
        "data render-music": "deploy.commands.render_music:RenderMusic",
        "study bloomwise": "deploy.commands.study:Bloomwise",
        "study priors": "deploy.commands.study:Priors",
        "study merge": "deploy.commands.study_runs:Merge",
        "study report": "deploy.commands.study_runs:Report",
        "llm probe": "deploy.commands.llm:Probe",
        "llm simulate": "deploy.commands.llm:Simulate",
    }
)
"""What may be typed after ``kithara``, and the class behind it."""

FAILED, INTERRUPTED, READER_LEFT = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit status.

    0: the thing asked for was done. 2: it was not, and one line on stderr says who must act and how. 130: interrupted.
    141: nobody reads what is printed. A defect of the suite itself is not caught: its traceback is for us.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    name = next((name for name in (" ".join(args[:2]), *args[:1]) if name in COMMANDS), "")
    try:
        if name:
            _run(name, args[len(name.split()) :])
        else:
            _no_command(args)
    except KitharaError as error:
        return _fail(name, error)
    except BrokenPipeError:  # `kithara ... | head` has enough; Python would complain about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except OSError as error:
        return _fail(name, OperatorError(f"{error}; make the file or the address usable, then run the command again"))
    except KeyboardInterrupt:
        _say(name, "interrupted")
        return INTERRUPTED
    except SystemExit as stop:  # help was printed
        return int(stop.code or 0)
    return 0


def _run(name: str, args: list[str]) -> None:
    kind: type[Command] = load(COMMANDS[name])
    try:
        kind.read(args, prog=f"kithara {name}").run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "contracts", "common", "deploy"):
            raise
        raise OperatorError(
            f"this needs the package {error.name!r}, which is not installed; pip install 'kithara[{kind.extra}]'"
        ) from error


def _no_command(args: list[str]) -> None:
    """Print the version or the list of commands, or refuse a word that is no command."""
    words = [word for word in args if not word.startswith("-")]
    if "--version" in args and not words:
        print(f"kithara {importlib.metadata.version('kithara')}")  # noqa: T201
    elif (args and args[-1] in ("-h", "--help") and len(words) <= 1) or not args:
        _help(words[0] if words else "")
    else:
        raise OperatorError(f"no command {' '.join(args[:2])!r}; the commands are: {', '.join(COMMANDS)}")


def _help(group: str) -> None:
    shown = {name: path for name, path in COMMANDS.items() if name.split()[0] == group or not group}
    if not shown:
        raise OperatorError(f"no command {group!r}; the commands are: {', '.join(COMMANDS)}")
    lines = [f"  {name:<19}{(load(path).__doc__ or '').splitlines()[0]}" for name, path in shown.items()]
    usage = "usage: kithara COMMAND ...      kithara COMMAND --help      kithara --version"
    print("\n".join([usage, "", *lines]))  # noqa: T201


def _fail(name: str, error: KitharaError) -> int:
    fields = [f"{item.field}: {item.message}" for item in error.errors]
    _say(name, "; ".join([error.detail, *fields]))
    return FAILED


def _say(name: str, text: str) -> None:
    """One line on stderr, whatever the text holds."""
    line = " ".join(f"kithara {name}: {text}".replace(" :", ":").split())
    sys.stderr.write(line + os.linesep)


if __name__ == "__main__":
    sys.exit(main())
