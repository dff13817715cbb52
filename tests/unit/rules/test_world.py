"""What is hashed, how the layout is framed, and what counts as a change of the world."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looop.model.world import UNREADABLE, World
from looop.rules.world import MAX_NESTING, assemble, canonical, decode_json, digest, read_snapshot

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [b"@@ goals/a.md 1\n", b"@@ goals/b.md !unreadable\n", b"@@ snapshots/s.json 2\n", b"x", b"1", b"\n"]
)
CONTENT = st.lists(PIECES, max_size=4).map(b"".join)
POLICY = st.dictionaries(st.sampled_from(["PLAYBOOK.md", "goals/a.md", "goals/b.md"]), st.none() | CONTENT)
SNAPSHOTS = st.dictionaries(st.sampled_from(["s", "t"]), CONTENT)


def see(policy: dict[str, bytes | None] | None = None, **snapshots: bytes) -> World:
    """The world of these files."""
    return assemble(policy or {}, [(stem, data, "untrusted") for stem, data in snapshots.items()])


def values(world: World) -> dict[str, str]:
    """The items as the baseline keeps them."""
    return {name: item.value for name, item in world.items.items()}


def encode(value: Any, random: Random) -> bytes:
    """`value` as JSON with its keys in any order and any whitespace."""
    return json.dumps(_shuffled(value, random), indent=random.choice([None, 0, 3]), ensure_ascii=True).encode()


def _shuffled(value: Any, random: Random) -> Any:
    if isinstance(value, dict):
        keys = random.sample(list(value), len(value))
        return {key: _shuffled(value[key], random) for key in keys}
    return [_shuffled(part, random) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"signal":1,"detail":{"n":1}}', b'{"signal":1,"detail":{"n":2}}'),
        (b'{"signal":1,"detail":{"n":1}}', b'{"signal":1}'),
        (b'{"signal":1,"extra":1}', b'{"signal":1,"extra":2}'),
        (b'{"signal":null,"detail":1}', b'{"signal":null,"detail":2}'),
        (b'{"signal":{"a":1,"b":[1,2]}}', b'{ "signal": {"b": [1, 2],\n"a": 1} }\n'),
        ('{"signal":"é"}'.encode(), b'{"signal":"\\u00e9"}'),
    ],
)
def test_only_the_signal_wakes(before: bytes, after: bytes) -> None:
    """Detail, key order, whitespace and escapes do not move the hash. Source: spec/edge-cases.md items 1, 3, 4."""
    assert see(s=before).hash == see(s=after).hash


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":1}', b'{"a":2}'),
        (b'{"detail":1}', b'{"detail":2}'),
        (b"[1,2]", b"[2,1]"),
        (b"1", b"2"),
        (b"1", b'"1"'),
        (b"true", b"1"),
        (b"null", b"{}"),
        (b'{"signal":null}', b"{}"),
        (b'{"signal":null}', b'{"signal":false}'),
        (b'{"signal":0,"detail":5}', b'{"signal":5,"detail":0}'),
        (b"18446744073709551616", b"18446744073709551617"),
    ],
)
def test_every_other_difference_wakes(before: bytes, after: bytes) -> None:
    """Without a `signal` all of the value is hashed, whatever its type. Source: spec/edge-cases.md items 2, 3, 20."""
    assert see(s=before).hash != see(s=after).hash


def test_signal_and_detail_are_told_apart() -> None:
    """A reading keeps its wake signal, its detail and its raw text. Source: spec/beat.md §5."""
    reading = read_snapshot("sensor-x", b' {"signal":[1],"detail":{"a":2}}\n', "trusted")
    assert (reading.signal, reading.detail, reading.is_json) == ([1], {"a": 2}, True)
    assert reading.raw == ' {"signal":[1],"detail":{"a":2}}\n'
    assert (reading.stem, reading.trust) == ("sensor-x", "trusted")


def test_explicit_null_is_the_signal() -> None:
    """The key decides by being there, not by its value. Source: spec/edge-cases.md item 3."""
    assert see(s=b'{"signal":null,"other":1}').items["snap:s"].value == "null"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" \n", b"plain text", b"{", b'{"a":1,}', b"{'a':1}", b"1 2", b"\x00\xff\xfe", b'"\xff"', b"01"),
        *(b"NaN", b'{"signal":NaN}', b"[Infinity]", b"-Infinity", b"1e400"),
        *('{"signal":1}'.encode("utf-16"), '{"signal":1}'.encode("utf-32"), b'\xef\xbb\xbf{"signal":1}'),
        b'"\\ud800"',
        b"9" * 5000,
    ],
)
def test_what_is_not_strict_json(data: bytes) -> None:
    """NaN, Infinity, UTF-16 and loose JSON are text like any other. Source: spec/edge-cases.md items 5, 20."""
    reading = read_snapshot("s", data, "untrusted")
    assert (reading.is_json, reading.signal, reading.detail) == (False, None, None)
    assert reading.raw == data.decode("utf-8", "replace")
    assert see(s=data).items["snap:s"].value == f"(non-JSON, {len(data)} bytes, {digest(data)})"
    with pytest.raises(ValueError, match=r"\S"):
        decode_json(data)


@pytest.mark.parametrize("data", [b"1" + b"0" * 30, b"-9223372036854775809", b"1" * 400])
def test_huge_integers_are_kept_exactly(data: bytes) -> None:
    """An integer beyond 64 bits is a value, not an accident. Source: spec/edge-cases.md item 20."""
    assert see(s=data).items["snap:s"].value.encode() == data


def test_non_json_bodies_of_equal_length_differ() -> None:
    """Text readings are told apart by content, in the hash and in the item. Source: spec/edge-cases.md item 5."""
    one, two = see(s=b"state: up"), see(s=b"state: no")
    assert one.hash != two.hash
    assert one.items["snap:s"].value != two.items["snap:s"].value


def test_undecodable_bytes_are_hashed_as_they_are() -> None:
    """Two bodies that look alike once decoded still differ. Source: spec/edge-cases.md item 5."""
    assert see(s=b"\xff").hash != see(s=b"\xfe").hash
    assert see({"PLAYBOOK.md": b"\xff"}).hash != see({"PLAYBOOK.md": b"\xfe"}).hash


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_has_a_bound_of_its_own(opening: bytes, closing: bytes) -> None:
    """How deep JSON may nest does not depend on who asks: the hash could not be stable. Source: spec/beat.md §5."""
    for depth, is_json in [(MAX_NESTING, True), (MAX_NESTING + 1, False), (985, False), (100_000, False)]:
        data = opening * depth + b"1" + closing * depth
        assert read_snapshot("s", data, "untrusted").is_json is is_json


def test_the_bound_counts_depth_not_brackets() -> None:
    """Short branches beside the deepest one do not matter. Source: spec/beat.md §5."""
    for depth, is_json in [(MAX_NESTING, True), (MAX_NESTING + 1, False)]:
        data = b"[{}," + b"[" * (depth - 1) + b"1" + b"]" * (depth - 1) + b",[]]"
        assert read_snapshot("s", data, "untrusted").is_json is is_json


def test_many_brackets_side_by_side_are_not_deep() -> None:
    """The bound is on depth, not on size. Source: spec/beat.md §5."""
    assert read_snapshot("s", b"[" + b"[1],{}," * 500 + b"[]]", "untrusted").is_json


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"PLAYBOOK.md": b"@@ goals/a.md 1\nx"}, {"PLAYBOOK.md": b"", "goals/a.md": b"x"}),
        ({"goals/a.md": b"x@@ goals/b.md 1\ny"}, {"goals/a.md": b"x", "goals/b.md": b"y"}),
        ({"goals/a.md": b"ab", "goals/b.md": b""}, {"goals/a.md": b"a", "goals/b.md": b"b"}),
        ({"goals/a.md": b"", "goals/b.md": None}, {"goals/a.md": b"@@ goals/b.md !unreadable\n"}),
    ],
)
def test_content_cannot_pass_for_another_layout(one: dict[str, bytes | None], two: dict[str, bytes | None]) -> None:
    """Lines that look like section markers change nothing. Source: spec/edge-cases.md item 6."""
    assert see(one).hash != see(two).hash


def test_the_layout_of_the_hash() -> None:
    """PLAYBOOK, goals by path, then snapshots by stem, each framed by its length. Source: spec/beat.md §5."""
    world = see(
        {"goals/b.md": None, "goals/a.md": b"go", "PLAYBOOK.md": b"do"}, **{"sys-x": b"no", "sensor-y": b"[1, 2]"}
    )
    policy = b"@@ PLAYBOOK.md 2\ndo@@ goals/a.md 2\ngo@@ goals/b.md !unreadable\n"
    assert world.policy_hash == digest(policy)
    assert world.hash == digest(policy + b"@@ snapshots/sensor-y.json 6\n[1,2]\n@@ snapshots/sys-x.json 3\nno\n")
    assert list(world.items) == ["playbook", "goal:a", "goal:b", "snap:sensor-y", "snap:sys-x"]


def test_the_digest_is_stable_and_never_constant() -> None:
    """BLAKE2b, 16 bytes, 32 hex digits, also of nothing. Source: spec/edge-cases.md items 11, 19; design §3 row 1."""
    assert digest(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert digest(b"looop") == digest(bytearray(b"looop")) == "336c73520d93eca12ecbb979d37d6fd8"
    assert see().hash == see().policy_hash == digest(b"")


def test_a_missing_playbook_is_simply_absent() -> None:
    """Without PLAYBOOK there is a world, differing from one with an empty file. Source: spec/edge-cases.md item 7."""
    assert "playbook" not in see({"goals/a.md": b""}).items
    assert see({"goals/a.md": b""}).hash != see({"goals/a.md": b"", "PLAYBOOK.md": b""}).hash


def test_an_unreadable_goal_is_visible() -> None:
    """Unreadable differs from absent, from empty and from its own sentinel. Source: spec/edge-cases.md item 8."""
    worlds = [see(goal) for goal in ({}, {"goals/a.md": None}, {"goals/a.md": b""}, {"goals/a.md": b"!unreadable"})]
    assert len({world.hash for world in worlds}) == len({world.policy_hash for world in worlds}) == 4
    assert worlds[1].items["goal:a"].value == UNREADABLE
    assert worlds[1].policy == {"goals/a.md": None}


def test_archiving_a_goal_moves_the_hash() -> None:
    """The world without the live file is another world. Source: spec/edge-cases.md item 10."""
    assert see({"goals/a.md": b"x", "goals/b.md": b"y"}).hash != see({"goals/a.md": b"x"}).hash


def test_the_policy_hash_knows_no_reading() -> None:
    """Readings move the world hash only. Source: spec/beat.md §5."""
    one, two = see({"goals/a.md": b"x"}, s=b"1"), see({"goals/a.md": b"x"}, s=b"2")
    assert one.policy_hash == two.policy_hash
    assert one.hash != two.hash


def test_a_sensor_script_is_not_hashed() -> None:
    """A script alone does not wake; what it declares is carried. Source: spec/edge-cases.md item 12; design §7."""
    trusted, untrusted = (assemble({}, [("sensor-x", b"1", trust)]) for trust in ("trusted", "untrusted"))
    assert trusted.hash == untrusted.hash
    assert trusted.items["snap:sensor-x"].trust == trusted.readings["sensor-x"].trust == "trusted"
    assert untrusted.items["snap:sensor-x"].trust == untrusted.readings["sensor-x"].trust == "untrusted"
    assert see({"PLAYBOOK.md": b""}).items["playbook"].trust == "trusted"


@pytest.mark.parametrize(
    "snapshots",
    [
        [b'{"signal":{"error":"too-large","cap":8192},"detail":{"bytes":%d}}' % size for size in (9000, 9001, 12000)],
        [b'{"signal":{"error":true,"exit_code":1},"detail":{"stderr":"at %d"}}' % at for at in (1, 2)],
    ],
)
def test_trouble_that_goes_on_is_one_signal(snapshots: list[bytes]) -> None:
    """A fluctuating size or stderr stays in detail and does not wake. Source: spec/edge-cases.md items 49, 50."""
    assert len({see(s=data).hash for data in snapshots}) == 1


@given(JSON, st.randoms(use_true_random=False))
def test_canonical_text_ignores_order_and_whitespace(value: Any, random: Random) -> None:
    """However a value is written, its canonical text and hash are one. Source: spec/edge-cases.md item 4."""
    one, two = encode(value, random), encode(value, random)
    assert canonical(decode_json(one)) == canonical(decode_json(two)) == canonical(value)
    assert see(s=one).hash == see(s=two).hash
    assert json.loads(canonical(value)) == value


@given(JSON, JSON)
def test_canonical_text_tells_values_apart(one: Any, two: Any) -> None:
    """Two values have one canonical text only if they are one JSON value. Source: spec/edge-cases.md items 2, 20."""
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (canonical(one) == canonical(two)) is same
    wrapped = [see(s=json.dumps({"signal": value}).encode()) for value in (one, two)]
    assert (wrapped[0].hash == wrapped[1].hash) is same


@given(POLICY, SNAPSHOTS, POLICY, SNAPSHOTS)
def test_no_two_layouts_collide(
    policy: dict[str, bytes | None],
    snaps: dict[str, bytes],
    other_policy: dict[str, bytes | None],
    others: dict[str, bytes],
) -> None:
    """Hashes are equal exactly when all items are, marker lines or not. Source: spec/edge-cases.md items 6, 13."""
    one, two = see(policy, **snaps), see(other_policy, **others)
    assert (one.hash == two.hash) is (values(one) == values(two))
    assert (one.policy_hash == two.policy_hash) is (policy == other_policy)
    assert (values(one) == values(two)) <= (policy == other_policy and snaps.keys() == others.keys())


@given(st.binary(max_size=30))
def test_any_bytes_are_a_reading(data: bytes) -> None:
    """Whatever a snapshot holds, the world has a reading and an item of it. Source: spec/edge-cases.md item 70."""
    world = see({"PLAYBOOK.md": data}, s=data)
    assert world.readings["s"].raw == world.policy["PLAYBOOK.md"]
    assert len(world.hash) == 32
