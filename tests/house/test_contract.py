"""The contract's protocol and its implementation have the same verbs."""

import ast
from pathlib import Path

CONTRACT = Path(__file__).parents[2] / "src" / "looop" / "contract"
_OF_LOCAL_ALONE = {"prepare"}


def verbs(file: str, name: str) -> dict[str, str]:
    """The public methods of a class with their arguments and result as they are written, quotes left out."""
    tree = ast.parse((CONTRACT / file).read_text())
    (kind,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    found = {}
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            returns = ast.unparse(node.returns) if node.returns else "nothing"
            found[node.name] = f"{ast.unparse(node.args)} -> {returns}".replace("'", "")
    return found


def test_local_implements_exactly_the_contract() -> None:
    """Whatever a client may call is in the protocol, with the same arguments, and nothing else. Source: design §2."""
    local, contract = verbs("local.py", "Local"), verbs("verbs.py", "Contract")
    assert {name: local[name] for name in local.keys() - _OF_LOCAL_ALONE} == contract


def test_a_verb_says_what_may_be_relied_on() -> None:
    """Every verb of the protocol has a docstring of its own. Source: design §2."""
    tree = ast.parse((CONTRACT / "verbs.py").read_text())
    (kind,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Contract"]
    assert [node.name for node in kind.body if isinstance(node, ast.FunctionDef) and not ast.get_docstring(node)] == []
