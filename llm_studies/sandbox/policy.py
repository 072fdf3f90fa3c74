"""Which programmes may start at all: an allow-list over the syntax tree, read before a line of them runs.

Only the standard library is imported: ``child.py`` loads this file in an interpreter without any package. Parsing
happens there too, because the parser itself can be made to use much time and memory.

The list keeps honest programmes deterministic and errors early; the process around it is what contains the others.
"""

import ast
import builtins
from collections.abc import Iterator
from string import Formatter

VERSION = 1
"""Of the sandbox as a whole. Raise it when a programme may come to something else: what is kept is then run again."""


def words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


MODULES = words("math fractions decimal datetime itertools statistics collections sympy")

BUILTINS = words(
    "abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash",
    "hex int isinstance issubclass iter len list map max min next oct ord pow print range repr reversed round set",
    "slice sorted str sum tuple zip",
    "ArithmeticError AssertionError AttributeError Exception IndexError KeyError LookupError NameError",
    "NotImplementedError OverflowError RecursionError RuntimeError StopIteration TypeError ValueError",
    "ZeroDivisionError",
)

NODES = words(
    "Module Expr Assign AugAssign AnnAssign NamedExpr Delete Pass Global Nonlocal Import ImportFrom alias",
    "FunctionDef Lambda arguments arg Return ClassDef Call keyword Starred Yield YieldFrom",
    "If IfExp For While Break Continue With withitem Try ExceptHandler Raise Assert",
    "Match match_case MatchValue MatchSingleton MatchSequence MatchMapping MatchClass MatchStar MatchAs MatchOr",
    "ListComp SetComp DictComp GeneratorExp comprehension",
    "Constant JoinedStr FormattedValue Name Attribute Subscript Slice Tuple List Set Dict Load Store Del",
    "BoolOp BinOp UnaryOp Compare And Or Not Add Sub Mult Div FloorDiv Mod Pow MatMult LShift RShift BitOr BitXor",
    "BitAnd Invert UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn",
)
"""No ``async``, no ``except*``, no ``type`` statement."""

INNARDS = ("gi_", "cr_", "ag_", "tb_", "f_", "co_", "func_")
"""Attributes of generators, coroutines, tracebacks, frames, code and functions: ways out of the programme's names."""
REFLECTIVE = frozenset({"format", "format_map", "mro", "with_traceback"})


class Forbidden(Exception):
    """The programme uses what is not on the list; ``str(error)`` tells its author what."""


def check(tree: ast.Module) -> frozenset[str]:
    """The modules that the programme imports. Raises Forbidden."""
    modules: set[str] = set()
    bound = {name for node in ast.walk(tree) for name in _bound(node)}
    literal_formats = {function for node in ast.walk(tree) for function in _plain_format(node)}
    for node in ast.walk(tree):
        kind = type(node).__name__
        if kind not in NODES:
            _refuse(node, f"{kind} statements or expressions")
        for name in _identifiers(node):
            if "__" in name:
                _refuse(node, f"the name {name!r}")
        match node:
            case ast.Import(names=names):
                modules.update(_allowed(node, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                modules.add(_allowed(node, "." * level + (module or "")))
                for alias in names:
                    _attribute(node, alias.name)
            case ast.Attribute(attr=name) if node not in literal_formats:
                _attribute(node, name)
            case ast.MatchClass(kwd_attrs=names):  # `case T(name=x)` reads T's attribute
                for name in names:
                    _attribute(node, name)
            case ast.ClassDef(keywords=[_, *_]):
                _refuse(node, "a class with a metaclass or keywords")
            case ast.Name(id=name) if hasattr(builtins, name) and name not in BUILTINS and name not in bound:
                _refuse(node, f"{name!r}")
    return frozenset(modules)


def _refuse(node: ast.AST, what: str) -> None:
    raise Forbidden(f"line {getattr(node, 'lineno', 1)}: {what} may not be used")


def _identifiers(node: ast.AST) -> Iterator[str]:
    """Every name that a node holds, in whichever field: arguments, aliases, keywords, captures ..."""
    if isinstance(node, ast.Constant):
        return
    for _, value in ast.iter_fields(node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield one


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that the programme gives a meaning of its own, e.g. a variable called ``input``."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
            yield name


def _allowed(node: ast.AST, module: str) -> str:
    if module not in MODULES:
        _refuse(node, f"the module {module!r}")
    return module


def _attribute(node: ast.AST, name: str) -> None:
    if name.startswith(("_", *INNARDS)) or name in REFLECTIVE:
        _refuse(node, f"the attribute {name!r}")


def _plain_format(node: ast.AST) -> Iterator[ast.expr]:
    """``"{:.2f}".format`` of a call: the text is there to be read, and no field in it wants an attribute or an item."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format") as function):
            if _plain_fields(text):
                yield function


def _plain_fields(text: str) -> bool:
    try:
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None]
    except ValueError:  # a malformed text fails when it is used, too
        return False
    return all("." not in name and "[" not in name and _plain_fields(spec or "") for name, spec in fields)
