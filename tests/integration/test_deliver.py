"""Deliveries by a child: what counts as failed for certain."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from looop.contract.deliver import deliver
from looop.contract.delivery import Order
from looop.contract.targets import targets_of
from looop.runtime.stop import StopFlag
from tests.fakes.house import Home


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    flag = StopFlag()
    yield flag
    flag.close()


def test_a_push_that_was_never_begun_has_failed(tmp_path: Path, stop: StopFlag) -> None:
    """Where a wish to end comes before the child is started, nothing left: it is made again, not taken for sent."""
    stop.request()
    (target,) = targets_of(["looop+http://127.0.0.1:9/"])
    ended = deliver(Home(tmp_path, stop=stop).house, target, Order(urls=[target.url], limit_s=9, body="{}", headers={}))
    assert (ended.outcome, ended.error) == ("failed", "looop ended before it began")
