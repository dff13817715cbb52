"""The mutants of a module: small changes of its code, each of which a test should notice.

Annotations, docstrings, decorators, imports and the words of an f-string stay as they are.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

SHORT, LONGEST = 60, 120
SWAPS: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.FloorDiv],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.LShift: [ast.RShift],
    ast.BitOr: [ast.BitAnd],
    ast.BitAnd: [ast.BitOr],
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "startswith": "endswith", "endswith": "startswith"}
HARMLESS = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.Assert, ast.Delete)  # may go without a NameError
Change = tuple[ast.AST, str, object]  # a node, its field, and what stands there instead


class Mutant(NamedTuple):
    """One change: where it is, what it reads before and after, and the whole module with it made."""

    path: str
    line: int
    scope: str
    old: str
    new: str
    source: str

    @property
    def name(self) -> str:
        """What identifies it as long as the code around it stays: no line number."""
        return f"{self.path} {self.scope}: {self.old} → {self.new}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines. Two that read alike are numbered."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for scope, shown, (node, field, value) in _changes(tree, "module", tree):
        old, before = _text(shown), getattr(node, field)
        setattr(node, field, value)
        new = _text(shown) if _text(shown) != old else _gone(shown)
        made = Mutant(path, getattr(shown, "lineno", 0), scope, old, new, ast.unparse(tree))
        setattr(node, field, before)
        seen[made.name] += 1
        yield made if seen[made.name] == 1 else made._replace(new=f"{made.new} #{seen[made.name]}")


def _text(node: ast.AST) -> str:
    """A node in one line, a statement with a body by its first line."""
    text = ast.unparse(node)
    text = text.split("\n")[0].rstrip(":") if getattr(node, "body", None) and isinstance(node, ast.stmt) else text
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _gone(node: ast.AST) -> str:
    """What stands in the place of a part that has left the tree."""
    return {ast.Break: "continue", ast.Continue: "break"}.get(type(node), "nothing")


def _changes(node: ast.AST, scope: str, shown: ast.AST) -> Iterator[tuple[str, ast.AST, Change]]:
    """Each change below a node with its scope, and the smallest part of the code that is worth showing for it."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = node.name if scope == "module" else f"{scope}.{node.name}"
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "keywords") and not isinstance(node, ast.Call):
            continue
        if isinstance(value, list):
            yield from ((scope, _shown(part, shown), change) for part, change in _list_changes(node, field, value))
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, ast.AST) or _is_left_alone(node, part):
                continue
            around = _shown(part, shown)
            if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Not) and not isinstance(value, list):
                yield scope, shown, (node, field, part.operand)
            yield from ((scope, around, change) for change in _inside(part))
            yield from _changes(part, scope, around)


def _shown(part: ast.AST, shown: ast.AST) -> ast.AST:
    """A change is shown in the largest expression or assignment around it that is short."""
    is_short = isinstance(shown, ast.expr | ast.Assign | ast.AnnAssign) and len(_text(shown)) < SHORT
    return part if isinstance(part, ast.stmt | ast.expr) and not is_short else shown


def _is_left_alone(node: ast.AST, part: ast.AST) -> bool:
    if isinstance(part, ast.Import | ast.ImportFrom):
        return True
    if isinstance(part, ast.FunctionDef):
        return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in part.body)
    if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
        return part.value.id in ("Literal", "Callable", "Iterable", "Mapping", "Sequence")
    if isinstance(node, ast.JoinedStr | ast.FormattedValue):
        return isinstance(part, ast.Constant | ast.JoinedStr)
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)


def _inside(part: ast.AST) -> Iterator[Change]:
    """The changes of a node's own fields."""
    match part:
        case ast.Constant(value=value):
            yield from ((part, "value", other) for other in _other_values(value))
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            yield from ((part, "op", new()) for new in SWAPS.get(type(op), []))
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                yield from ((part, "ops", [*ops[:at], new(), *ops[at + 1 :]]) for new in SWAPS[type(op)])
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
                yield part, "test", ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield part, "value", ast.Constant(None)
        case ast.Call(func=ast.Name(id=name) as func) if name in NAMES:
            yield func, "id", NAMES[name]
        case ast.Call(func=ast.Attribute(attr=name) as func) if name in NAMES:
            yield func, "attr", NAMES[name]
        case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="suppress")) as call)]):
            yield call, "args", []


def _other_values(value: object) -> list[object]:
    """What a constant may be instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1] if value else [1]
    if isinstance(value, str):
        return ["" if value else "x"]
    return [b"" if value else b"x"] if isinstance(value, bytes) else []


def _list_changes(node: ast.AST, field: str, value: list[ast.AST]) -> Iterator[tuple[ast.AST, Change]]:
    """A statement less, a keyword argument less, a condition of a comprehension less, continue and break swapped."""
    for at, part in enumerate(value):
        without = [*value[:at], *value[at + 1 :]]
        if isinstance(node, ast.Call) and field == "keywords":
            yield node, (node, field, without)
        elif isinstance(node, ast.comprehension) and field == "ifs":
            yield part, (node, field, without)
        elif isinstance(part, ast.Break | ast.Continue):
            other = ast.Continue() if isinstance(part, ast.Break) else ast.Break()
            yield part, (node, field, [*value[:at], other, *value[at + 1 :]])
        elif isinstance(part, HARMLESS) and not _binds(part) and not _is_left_alone(node, part):
            yield part, (node, field, [*value[:at], ast.Pass(), *value[at + 1 :]])


def _binds(part: ast.AST) -> bool:
    """Whether a name would be missing without the statement."""
    return isinstance(part, ast.Assign) and not all(
        isinstance(target, ast.Attribute | ast.Subscript) for target in part.targets
    )
