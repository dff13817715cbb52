"""Stop the mailbox at any call of the disk, fail any call: a question stands as before or as after, never between.

The points are enumerated, not sampled, as in test_store_crash.py. Source: spec/beat.md §0, docs/continuity.md.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from looop.model.errors import Refused, Unreadable, Unwritable
from looop.model.records import Ask
from looop.state.mailbox import Mailbox
from looop.store.files import FileStore
from tests.fakes.disk import Died, DyingDisk, FailingDisk, QuickDisk, WatchedDisk

NOW, BORN, NEXT = 1000, 100, 500
LATER = 10**19


def put(box: Mailbox, **more: Any) -> None:
    asked, new = box.ask(Ask(id="", worker="w", prompt="?", ts=BORN + 1, **more), 0)
    assert (asked.id, new) == ("w-1", True)


class Step(Struct, frozen=True):
    """What is done to question w-1, and how the mailbox reads before and after it.

    `between` are other readings that tell the whole truth: a step of two changes has done the first.
    """

    do: Callable[[Mailbox], object]
    before: str
    after: str
    prepare: Callable[[Mailbox], object] = put
    between: tuple[str, ...] = ()


def put_answered(box: Mailbox) -> None:
    put(box, key="k")
    box.answer("w-1", "yes", 6)


def again(box: Mailbox) -> object:
    return box.ask(Ask(id="", worker="w", prompt="?", ts=NEXT + 1, key="k", generation=NEXT), NEXT)


STEPS = {
    "withdraw": Step(lambda box: box.withdraw("w-1", "moot", "w", NOW), "pending", "withdrawn"),
    "expire": Step(lambda box: box.expire(NOW), "due", "expired", lambda box: put(box, expires=NOW)),
    "answer late": Step(
        lambda box: box.answer("w-1", "yes", NOW), "due", "expired", lambda box: put(box, expires=NOW, default="no")
    ),
    "answer": Step(lambda box: box.answer("w-1", "yes", NOW), "pending", "answered"),
    "answer anew": Step(
        lambda box: box.answer("w-1", "no", NOW, force=True), "answered yes", "answered no", put_answered
    ),
    "take over": Step(again, "stranded", "pending", lambda box: put(box, key="k", generation=BORN)),
    "give up": Step(
        lambda box: box.strand(lambda: {"w": NEXT}, NOW, NOW),
        "stranded",
        "settled as stranded",
        lambda box: put(box, key="k", generation=BORN),
        ("given up",),
    ),
    "put away": Step(
        lambda box: box.archive(LATER), "answered yes", "put away", put_answered, ("put away but for the answer",)
    ),
    "take": Step(lambda box: box.take("w-1", NOW), "answered yes", "taken", put_answered),
}


def reading(root: str) -> str:
    """How w-1 stands for a fresh process, in words."""
    box = Mailbox(FileStore(root, QuickDisk()))
    mail, ask, answer = box.pending(NOW, lambda: {"w": NEXT}), box.ask_of("w-1"), box.answer_of("w-1")
    assert mail.damaged == []
    if ask is None:
        away = box.put_away("w-1")
        assert away and mail.pending == mail.stranded == []
        return "put away but for the answer" if answer else "put away"
    assert isinstance(ask, Ask)
    if answer is None:
        if mail.stranded:
            return "given up" if mail.stranded[0].generation < 0 else "stranded"
        return "pending" if mail.pending else "due"
    assert mail.pending == mail.stranded == [] and not hasattr(answer, "why")
    if ask.taken:
        return "taken"
    words = {"stranded": "settled as stranded"}.get(answer.outcome, answer.outcome)  # type: ignore[union-attr]
    return f"{words} {answer.answer}" if answer.answer and ask.key else words  # type: ignore[union-attr]


@pytest.fixture(params=STEPS)
def step(request: pytest.FixtureRequest) -> Step:
    return STEPS[request.param]


def points(tmp_path: Path, step: Step) -> Iterator[tuple[str, int]]:
    """A fresh data dir for each call of the disk the step makes, with the number of the call."""
    healthy, disk = str(tmp_path / "healthy"), WatchedDisk()  # type: ignore[no-untyped-call]
    step.prepare(Mailbox(FileStore(healthy, QuickDisk())))
    assert reading(healthy) == step.before
    with suppress(Refused):
        step.do(Mailbox(FileStore(healthy, disk)))
    assert reading(healthy) == step.after
    for at in range(1, len(disk.calls) + 1):
        root = str(tmp_path / str(at))
        step.prepare(Mailbox(FileStore(root, QuickDisk())))
        yield root, at


def test_dying_at_any_call_leaves_a_whole_truth(tmp_path: Path, step: Step) -> None:
    """Whoever dies while it settles, takes over or puts away leaves the question as it was or as it is to be; done
    again, the step has its whole effect.
    """
    seen = set()
    for root, at in points(tmp_path, step):
        with suppress(Refused), pytest.raises(Died):
            step.do(Mailbox(FileStore(root, DyingDisk(at))))  # type: ignore[no-untyped-call]
        seen.add(found := reading(root))
        assert found in (step.before, step.after, *step.between), at
        with suppress(Refused):
            step.do(Mailbox(FileStore(root, QuickDisk())))
        assert reading(root) == step.after, at
    assert {step.before, *step.between} <= seen, "each truth was met"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failure_at_any_call_leaves_a_whole_truth(tmp_path: Path, step: Step, number: int) -> None:
    """A disk that is full, or fails, leaves the question as it was or as it is to be, and is an error of ours."""
    failed = 0
    for root, at in points(tmp_path, step):
        try:
            step.do(Mailbox(FileStore(root, FailingDisk(at, number))))  # type: ignore[no-untyped-call]
        except Refused:
            pass
        except (Unreadable, Unwritable):
            failed += 1
        assert reading(root) in (step.before, step.after, *step.between), at
    assert failed
