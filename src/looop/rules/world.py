"""From bytes to a World: wake signals, canonical JSON, the two hashes, and what changed since the baseline.

Only the policy (PLAYBOOK and goals) and the readings' wake signals are hashed: never the clock, the journal or
a sensor's script. The hash is BLAKE2b with 16 bytes, framed by length so that no content can pass for another
layout. Source: spec/beat.md §5, design §3 row 1.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from looop.model.world import UNREADABLE, Change, Item, Reading, Trust, World

try:
    from _blake2 import blake2b  # hashlib's own, without the OpenSSL that hashlib loads beside it: 2 ms, 3 MB
except ImportError:
    from hashlib import blake2b

MAX_NESTING = 100


def digest(data: bytes | bytearray) -> str:
    """32 hex digits that stand for `data`."""
    return blake2b(data, digest_size=16).hexdigest()


def decode_json(data: bytes) -> Any:
    """The value of strict JSON in UTF-8, nested at most MAX_NESTING deep. Raises ValueError for anything else.

    The bound is ours: the one of the interpreter depends on how deep the caller stands, and a hash must not.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if data.count(b"[") + data.count(b"{") > MAX_NESTING and _too_deep(value):
        raise ValueError(f"nested more than {MAX_NESTING} deep")
    return value


def canonical(value: Any) -> str:
    """Compact JSON with sorted keys; equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def read_snapshot(stem: str, data: bytes, trust: Trust) -> Reading:
    """The reading in a snapshot's bytes. The `signal` key decides by being there, whatever its value."""
    raw = data.decode("utf-8", "replace")
    try:
        value = decode_json(data)
    except ValueError:
        return Reading(stem=stem, raw=raw, is_json=False, signal=None, detail=None, trust=trust)
    signal, detail = value, None
    if isinstance(value, dict) and "signal" in value:
        signal, detail = value["signal"], value.get("detail")
    return Reading(stem=stem, raw=raw, is_json=True, signal=signal, detail=detail, trust=trust)


def assemble(policy: Mapping[str, bytes | None], snapshots: Iterable[tuple[str, bytes, Trust]]) -> World:
    """The world of policy files (relative path to bytes, None where unreadable) and snapshots (stem, bytes, trust).

    `PLAYBOOK.md` comes first, goals by path, snapshots by stem. Source: edge cases 1-13.
    """
    frames, items, texts = bytearray(), {}, {}
    for path in sorted(policy):
        data = policy[path]
        frames += _frame(path, data)
        name = _policy_item(path)
        items[name] = Item(name=name, value=UNREADABLE if data is None else digest(data), trust="trusted")
        texts[path] = None if data is None else data.decode("utf-8", "replace")
    policy_hash = digest(frames)
    readings = {}
    for stem, data, trust in sorted(snapshots):
        reading = read_snapshot(stem, data, trust)
        readings[stem] = reading
        signal = canonical(reading.signal) if reading.is_json else None
        frames += _frame(f"snapshots/{stem}.json", (data if signal is None else signal.encode()) + b"\n")
        value = f"(non-JSON, {len(data)} bytes, {digest(data)})" if signal is None else signal
        items[f"snap:{stem}"] = Item(name=f"snap:{stem}", value=value, trust=trust)
    return World(hash=digest(frames), policy_hash=policy_hash, items=items, policy=texts, readings=readings)


def changes(baseline: Mapping[str, str], items: Mapping[str, Item]) -> list[Change]:
    """What differs from the baseline: added and changed items by name, then the removed ones.

    An edited policy item carries no values: its body is shown anyway. Source: spec/beat.md §8.
    """
    found = []
    for name, item in sorted(items.items()):
        shown = item.value if name.startswith("snap:") else None
        if name not in baseline:
            found.append(Change("added", name, None, item.value, item.trust))
        elif baseline[name] != item.value:
            old = baseline[name] if shown is not None else None
            found.append(Change("changed", name, old, shown, item.trust))
    gone = sorted(set(baseline) - set(items))
    return found + [Change("removed", name, None, None, _trust_of_missing(name)) for name in gone]


def _trust_of_missing(name: str) -> Trust:
    """What people and the loop keep themselves is theirs to remove; what a sensor's absence means nobody vouches."""
    return "untrusted" if name.startswith("snap:sensor-") else "trusted"


def _too_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(MAX_NESTING + 1):
        layer = [box for box in layer if isinstance(box, dict | list)]
        layer = [part for box in layer for part in (box.values() if isinstance(box, dict) else box)]
    return bool(layer)


def _frame(path: str, data: bytes | None) -> bytes:
    name = path.encode("utf-8", "surrogateescape")
    if data is None:
        return b"@@ " + name + b" !unreadable\n"
    return b"@@ " + name + b" %d\n" % len(data) + data


def _policy_item(path: str) -> str:
    return "playbook" if path == "PLAYBOOK.md" else "goal:" + path.removeprefix("goals/").removesuffix(".md")
