"""What the demo puts on its stage: a small program and its tests, a sensor, a goal, and two commits that break things.

The sensor and the goal are what a person would write; they name the repository as it is seen from the data dir.
"""

import re
import shlex
import sys
from typing import NamedTuple

GOAL = "tests-green"
REFLEX = f"reflex {GOAL}#0"
REPAIR = "git revert --no-edit HEAD"
YES, NO = "yes", "no"
RUN_TESTS = (sys.executable, "-I", "-B", "-m", "unittest", "discover", "--quiet")
MENDER = "mender"
MARK = "went-on"

PLAYBOOK = """\
# PLAYBOOK

Nothing here takes judgement: the goal says when it is reached and what to do when it is not.
"""


class Commit(NamedTuple):
    """One commit of the scratch repository."""

    subject: str
    files: dict[str, str]


_PLAIN = '''\
"""What a customer pays."""


def total(cents):
    return cents
'''
_DISCOUNT = '''\
"""What a customer pays."""


def total(cents, percent_off=0):
    return cents * (100 - percent_off) // 100
'''
_TEST = """\
import unittest

from price import total


class TotalTest(unittest.TestCase):
    def test_full_price(self):
        self.assertEqual(total(1999), 1999)
"""
_DISCOUNT_TESTS = """
    def test_discount(self):
        self.assertEqual(total(2000, 25), 1500)

    def test_gift(self):
        self.assertEqual(total(2000, 100), 0)
"""

GOOD = (
    Commit("Add the price of an order", {"price.py": _PLAIN, "test_price.py": _TEST}),
    Commit("Add discounts", {"price.py": _DISCOUNT, "test_price.py": _TEST + _DISCOUNT_TESTS}),
)
SIMPLER = Commit(
    "Simplify the discount",
    {"price.py": _DISCOUNT.replace("cents * (100 - percent_off) // 100", "cents - percent_off")},
)
TYPO = Commit("Tidy up", {"price.py": _DISCOUNT.replace("return", "retrun")})

_SENSOR = """\
#!/bin/sh
# Senses whether the tests of the app pass.
#
# signal: how many failed, and at which commit. A change of either wakes the loop.
# detail: how many ran, which failed, how long it took. It is told, but wakes nobody.
#
# looop:trust=trusted
app=../app
head=$(git -C "$app" rev-parse HEAD) || exit 1
exec @python@ -I -B - "$app" "$head" <<'PYTHON'
import io, json, sys, time, unittest

app, head = sys.argv[1:]
began = time.monotonic()
suite = unittest.defaultTestLoader.discover(app)
result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
if not result.testsRun:
    sys.exit("there are no tests in " + app)
failing = [case.id().rpartition(".")[2] for case, _ in result.failures + result.errors]
took = round((time.monotonic() - began) * 1000)
print(json.dumps({
    "signal": {"failed": len(failing), "head": head[:12]},
    "detail": {"run": result.testsRun, "failing": failing, "took_ms": took},
}))
PYTHON
"""

_MENDER = """\
#!/bin/sh
# Stands in for an agent: it works in a terminal of its own, on a branch and in a worktree of its own.
# Where the last commit may have been meant, taking it back is for a person to decide.
set -e
app=@app@
say() { printf '\\033[1m* %s\\033[0m\\n' "$1"; }
say "worker $LOOOP_SESSION_ID, in $(tty), task: $(tail -n 1 "$1")"
tree=$("$LOOOP_BIN" worktree ../app)
put_away() {
    cd "$app"
    "$LOOOP_BIN" worktree rm "$tree" >/dev/null
    say "put its worktree away"
}
cd "$tree"
git merge --quiet --ff-only "$(git -C "$app" rev-parse HEAD)"
subject=$(git log -1 --format=%s) commit=$(git rev-parse --short HEAD)
say "the last commit was: $subject"
if @compiles@; then
    say "it compiles, so somebody may have meant it: asking first"
    answer=$("$LOOOP_BIN" ask --key "revert-$commit" --ref "commit $commit of app/" --options yes,no \\
        --prompt "\\"$subject\\" breaks the tests, taking it back mends them: may I apply this?")
    printf '%s\\n' "$answer" >@mark@
    say "the answer is: $answer"
    if [ "$answer" != yes ]; then
        say "that is not a yes: nothing is applied"
        put_away
        exit
    fi
else
    say "it does not even compile: there is nothing to ask"
fi
@repair@
say "running the tests"
@tests@
git -C "$app" merge --quiet --ff-only "$(git rev-parse HEAD)"
say "merged as $(git log -1 --format=%h)"
put_away
"""

_GOAL = """\
---
goal: the tests of the app pass
done: sensor.tests.signal.failed == 0
reflexes:
  - when: sensor.tests.signal.failed > 0 && !worker.alive
          && !sensor.repo.detail.subject.startsWith("Revert")
    move:
      action: start_worker
      id: tests-green
      prompt: Make the tests of ../app pass.
      command: sh ../mender {{prompt_file}}
      verify: cd ../app && @tests@
---
A commit that breaks the tests is taken back; its author has it in the history and
can mend it in peace. A revert that does not help is not reverted in turn.
"""


def sensor_script() -> str:
    """The sensor that runs the tests, with the Python that runs looop."""
    return _SENSOR.replace("@python@", shlex.quote(sys.executable))


def goal_text() -> str:
    """The goal: its reflex starts the mender, and the tests judge what it did."""
    return _GOAL.replace("@tests@", shlex.join(RUN_TESTS))


def mender(repair: str, app: str, mark: str) -> str:
    """The worker's program, with `repair` as what it does to `app`; the answer it got it writes to the file `mark`."""
    compiles = f"""{shlex.quote(sys.executable)} -I -B -c 'compile(open("price.py").read(), "", "exec")' 2>/dev/null"""
    parts = {"repair": repair, "tests": shlex.join(RUN_TESTS), "compiles": compiles}
    parts |= {"app": shlex.quote(app), "mark": shlex.quote(mark)}
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], _MENDER)
