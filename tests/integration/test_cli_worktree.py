"""`looop worktree` as a worker and a person call it: words, outputs, exit codes.

Source: spec/workers.md §2.4, item 7.
"""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from looop.contract.worktree import make, prune, remove, views
from looop.model.errors import Refused, Unreadable
from tests.fakes.command import Looop
from tests.fakes.house import Home
from tests.fakes.repository import PLAIN, commit, repository, run

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
INSIDE = {"LOOOP_SESSION_ID": "w1"}


@pytest.fixture
def looop(tmp_path: Path) -> Looop:
    looop = Looop(tmp_path).settle()
    looop.env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    repository(tmp_path / "my app")
    return looop


class Fleet:
    """Sessions that live; None: nobody can tell."""

    def __init__(self, live: set[str] | None) -> None:
        self.live = live

    def is_alive(self, session: str) -> bool:
        if self.live is None:
            raise Unreadable("cannot list the sessions")
        return session in self.live


def test_the_path_is_all_that_is_on_stdout(looop: Looop, tmp_path: Path) -> None:
    """`cd "$(looop worktree REPO)"` works, from anywhere, again and again, `add` or not."""
    first = looop("worktree", "my app", env=INSIDE)
    assert (first.code, first.err, first.out.count("\n")) == (0, "", 1)
    for words in (("worktree", "add", "my app"), ("worktree", "--session", "w1", str(tmp_path / "my app"))):
        assert looop(*words, env=INSIDE).out == first.out
    moved = looop.in_shell('cd "$(looop worktree "my app" 2>/dev/null)" && git branch --show-current', env=INSIDE)
    assert (moved.code, moved.out) == (0, "looop/w1\n")


def test_notes_are_talk(looop: Looop, tmp_path: Path) -> None:
    """What a worker should know besides goes to stderr, a line each, and into the JSON."""
    (tmp_path / "my app" / "file").write_text("2")
    done = looop("worktree", "my app", "--branch", "x", "--base", "main", "--json", env=INSIDE)
    assert done.json["new"] is True and done.json["branch"] == "x" and done.json["session"] == "w1"
    assert os.path.isdir(done.json["path"]) and done.json["repo"] == str(tmp_path / "my app")
    assert len(done.json["notes"]) == 1
    assert done.err == f"looop: note: {done.json['notes'][0]}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("my app",), "--session S"),
        (("my app", "--session", "../x"), "invalid session id '../x'"),
        (("nowhere", "--session", "w1"), "there is no folder"),
        ((".", "--session", "w1"), "is no git repository"),
        (("my app", "--session", "w1", "--base", "no"), "has no commit no"),
        (("my app", "--session", "w1", "--branch", "main"), "is checked out in"),
        (("my app", "more", "--session", "w1"), "more"),
        (("rm", "w9"), "there is no worktree 'w9'"),
        (("rm",), "PATH|SESSION"),
        ((), "needs a verb"),
    ],
)
def test_what_cannot_be_done_is_one_line(looop: Looop, words: tuple[str, ...], said: str) -> None:
    """Each mistake ends with exit code 1, one line on stderr that says what is wrong, and nothing on stdout."""
    done = looop("worktree", *words)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert said in done.err


def test_without_git_it_is_one_line(looop: Looop, tmp_path: Path) -> None:
    """A machine without git is told so."""
    done = looop("worktree", "my app", env={**INSIDE, "PATH": str(tmp_path)})
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "git does not run here" in done.err


def test_list_and_rm(looop: Looop, tmp_path: Path) -> None:
    """The list says what stays and why; rm takes a session or a path, refuses work, and keeps the branch."""
    assert looop("worktree", "list").out == "no worktrees\n"
    assert looop("worktree", "list", "--json").json == []
    clean, worked = (looop("worktree", "my app", "--session", name).out.strip() for name in ("w1", "w2"))
    commit(worked, "work")
    lines = looop("worktree", "ls").out.splitlines()
    assert lines[0] == f"w1 (ended) · looop/w1 · {clean} · used just now"
    assert lines[1].endswith("it has commits that no other branch has (1)")
    rows = looop("worktree", "list", "--json").json
    assert [(row["session"], row["commits"], row["keep"] == "") for row in rows] == [("w1", 0, True), ("w2", 1, False)]
    refused = looop("worktree", "rm", "w2")
    assert (refused.code, refused.out) == (1, "")
    assert "no other branch" in refused.err and "--force" in refused.err
    assert looop("worktree", "rm", "w1").out == f"removed {clean}\n"
    assert looop("worktree", "rm", worked, "--force").out == f"removed {worked}\n"
    assert "looop/w2" in run(tmp_path / "my app", "branch")
    assert looop("worktree", "rm", "w1").code == 1


def test_a_session_with_two_is_asked_which(looop: Looop, tmp_path: Path) -> None:
    """Where a session has checkouts of two repositories, rm wants a path."""
    repository(tmp_path / "other")
    paths = [looop("worktree", repo, "--session", "w1").out.strip() for repo in ("my app", "other")]
    refused = looop("worktree", "rm", "w1")
    assert refused.code == 1 and all(path in refused.err for path in paths)
    assert looop("worktree", "rm", paths[0]).code == 0
    assert looop("worktree", "rm", "w1").out == f"removed {paths[1]}\n"


def test_prune_says_what_went_and_what_stayed(looop: Looop) -> None:
    """What has served goes, the rest is listed with its reason."""
    assert looop("worktree", "prune").out == "no worktrees\n"
    clean, worked = (looop("worktree", "my app", "--session", name).out.strip() for name in ("w1", "w2"))
    commit(worked, "work")
    young = looop("worktree", "prune", "--json").json
    assert young["removed"] == [] and [kept["why"] for kept in young["kept"]] == ["it was used not long ago"] * 2
    done = looop("worktree", "prune", env={"LOOOP_SESSION_TTL": "0"})
    assert done.out == f"removed {clean}\nkept {worked}: it has commits that no other branch has (1)\n"
    assert not os.path.exists(clean) and os.path.exists(worked)


@pytest.mark.parametrize("live", [{"w1"}, None])
def test_a_live_session_keeps_its_own(tmp_path: Path, live: set[str] | None) -> None:
    """A checkout somebody works in is not taken from him, nor while nobody can tell; its own session may drop it."""
    home = Home(tmp_path / "data")
    fleet = Fleet(set())
    house = replace(home.furnish(session_ttl=0), fleet=fleet)
    house = replace(house, setting=replace(house.setting, env={**house.setting.env, **PLAIN}))
    path = make(house, str(repository(tmp_path / "app")), "w1").path
    fleet.live = live
    with pytest.raises(Refused, match="lives, or may live"):
        remove(house, "w1")
    assert prune(house).removed == []
    assert [view.alive for view in views(house)] == [True if live else None]
    inside = replace(house, setting=replace(house.setting, env={**house.setting.env, **INSIDE}))
    assert remove(inside, "w1") == path
