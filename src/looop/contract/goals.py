"""Goals as a client sees them: how each stands, and what its author should hear when one is written."""

from looop.contract.observe import goal_statuses
from looop.contract.policy import GoalView
from looop.model.errors import Invalid, LooopError
from looop.model.moves import WriteGoal
from looop.model.prompt import GoalStatus
from looop.model.world import goals_of
from looop.rules.cel import due_named, sensors_named
from looop.rules.goals import GoalSpec, declares, parse_goal, unfenced_key
from looop.sense.gather import read_world
from looop.state.house import House


def views(house: House) -> list[GoalView]:
    """Every live goal. Raises Unreadable when goals, sensors or snapshots cannot be listed."""
    world, now, acted = read_world(house, house.sensors.all()), house.setting.clock.now(), house.guards.activity()
    texts = goals_of(world.policy)
    ages = {goal: max(now - ts, 0) for goal, ts in acted.items()}
    return [_view(status, texts[status.goal], ages.get(status.goal)) for status in goal_statuses(house, world, now)]


def doubts(house: House, move: WriteGoal) -> list[str]:
    """What the author of a goal may not have meant, in a sentence each.

    Sensors and schedules that are not there, missing fences.
    """
    if key := unfenced_key(move.body):
        fences = "front matter stands between two lines `---`, the first of them line 1"
        return [f"goal {move.id}: `{key}:` counts as prose and declares nothing: {fences}"]
    spec = _spec(move)
    wheres = [("`done`", spec.done)] if spec.done else []
    wheres += [(f"reflex #{n}", reflex.when) for n, reflex in enumerate(spec.reflexes)]
    try:
        sensors, schedules = {sensor.stem for sensor in house.sensors.all()}, set(house.schedules.all())
    except LooopError:
        return []
    found = []
    for what, there, names_in in (("sensor", sensors, sensors_named), ("schedule", schedules, due_named)):
        named: dict[str, list[str]] = {}
        for where, expression in wheres:
            for name in sorted(names_in(expression) - there):
                named.setdefault(name, []).append(where)
        found += [_missing(move.id, what, name, places, there) for name, places in named.items()]
    return found


def _missing(goal: str, what: str, name: str, places: list[str], there: set[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(there), n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(there)) or 'none'}"
    return f"goal {goal}: {' and '.join(places)} will read unknown until there is a {what} {name!r}: {hint}"


def _spec(move: WriteGoal) -> GoalSpec:
    try:
        return parse_goal(move.body)
    except Invalid as error:
        raise Invalid(f"goal {move.id} not written: {error}") from None


def _view(status: GoalStatus, text: str | None, age_s: int | None) -> GoalView:
    spec, error = _declared(text)
    return GoalView(
        id=status.goal,
        text=text or "",
        status=status.status,
        why=status.why,
        done=spec.done,
        reflexes=[f"when {reflex.when}: {reflex.move.summary}" for reflex in spec.reflexes],
        suspended=status.suspended,
        age_s=age_s,
        error=error,
    )


def _declared(text: str | None) -> tuple[GoalSpec, str]:
    """What a goal declares, or what is wrong with it; nothing for prose."""
    if text is None:
        return GoalSpec(), "the file cannot be read"
    try:
        return parse_goal(text) if declares(text) else GoalSpec(), ""
    except LooopError as error:
        return GoalSpec(), str(error)
