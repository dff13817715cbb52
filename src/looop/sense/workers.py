"""How every worker fares."""

from looop.model.records import Awake
from looop.rules.health import Sleep
from looop.state.house import House


def sleep_of(house: House) -> Sleep:
    """What is known of this machine's sleep; writes nothing."""
    found, clock = house.guards.awake(), house.setting.clock
    return Sleep(found if isinstance(found, Awake) else None, clock.asleep_s(), clock.boot())
