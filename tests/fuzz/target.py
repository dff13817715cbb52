"""What a target of the fuzzer is."""

import ast
import json
import os
from collections.abc import Callable, Iterable

from msgspec import Struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONGEST_WORD = 24
One = Callable[[bytes], object]


class Target(Struct, frozen=True):
    """`one` plays one input; `modules` are those whose words the fuzzer knows from the
    beginning: files of src/looop or of tests/.

    An input that is text is changed `by_tokens`, too, not only bit by bit.
    """

    one: One
    seeds: Callable[[], Iterable[bytes]] = lambda: [b""]
    modules: tuple[str, ...] = ()
    by_tokens: bool = True

    def words(self) -> list[bytes]:
        """The texts and names that stand in the modules, bare and as JSON."""
        found = set[str]()
        for module in self.modules:
            with open(os.path.join(ROOT, "" if module.startswith("tests/") else "src/looop", module)) as file:
                nodes = list(ast.walk(ast.parse(file.read())))
            found |= {node.id for node in nodes if isinstance(node, ast.Name)}
            found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        short = sorted(
            said for said in found if 1 < len(said) <= LONGEST_WORD and said.isascii() and said.isprintable()
        )
        return [said.encode() for said in short] + [json.dumps(said).encode() for said in short]
