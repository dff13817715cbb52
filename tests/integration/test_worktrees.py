"""Worktrees of sessions over real git repositories: made once, found again, and never removed with work in them.

Source: spec/workers.md §2.4, item 7.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from looop.act.git import GitFailed, NoGit, git
from looop.act.worktrees import Made, Worktree, make, prune_worktrees, remove, survey, sweep
from looop.config.file import DEFAULT_SESSION_TTL_S
from looop.model.errors import Corrupt, Invalid, Missing, Refused, Unreadable
from looop.runtime.lock import PulseLock
from looop.state.house import House
from tests.fakes.command import Looop
from tests.fakes.house import SYSTEM_PATH, Home
from tests.fakes.racing import Track, side_by_side
from tests.fakes.repository import PLAIN, commit, repository, run
from tests.fakes.waiting import until

pytestmark = pytest.mark.skipif(shutil.which("git", path=SYSTEM_PATH) is None, reason="needs git")

TTL = DEFAULT_SESSION_TTL_S


class Ground:
    """A house, a repository beside it, and short words for both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "data")
        self.house: House = self.with_env()
        self.repo = repository(folder / "app")
        self.ended: set[str] = set()

    def with_env(self, **env: str) -> House:
        """The house as a process with this environment has it."""
        house = self.home.house
        inherited = {**house.setting.env, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **env}
        return replace(house, setting=replace(house.setting, env=inherited))

    def make(self, session: str = "w1", where: Path | str | None = None, **how: str) -> Made:
        return make(self.house, str(where or self.repo), session, **how)

    def tree(self, path: str) -> Worktree:
        return next(tree for tree in survey(self.house) if tree.path == path)

    def remove(self, path: str, *, force: bool = False) -> None:
        remove(self.house, self.tree(path), force=force)

    def sweep(self, later: int = TTL + 5) -> dict[str, str]:
        now = self.home.clock.now() + later
        return {tree.session: why for tree, why in sweep(self.house, lambda session: session in self.ended, now)}

    def branches(self) -> list[str]:
        return run(self.repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def listed(self) -> str:
        return run(self.repo, "worktree", "list", "--porcelain")


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


class TestMake:
    def test_a_session_gets_a_checkout_of_its_own(self, ground: Ground) -> None:
        """It is in the data dir, private, on branch looop/<session>, with what HEAD has; nothing else changes."""
        made = ground.make()
        assert made == Made(made.path, str(ground.repo), "w1", "looop/w1", new=True, notes=[])
        assert Path(made.path).parent.parent == ground.folder / "data" / "worktrees"
        assert Path(made.path).name == "w1" and Path(made.path).parent.name.startswith("app-")
        assert run(made.path, "branch", "--show-current") == "looop/w1\n"
        assert Path(made.path, "file").read_text() == "1\n"
        assert run(ground.repo, "branch", "--show-current") == "main\n"
        assert run(ground.repo, "status", "--porcelain") == ""
        assert (ground.folder / "data/worktrees").stat().st_mode & 0o777 == 0o700

    def test_asked_again_it_is_the_same(self, ground: Ground) -> None:
        """The same session and repository give the same path, with the work in it, by whatever way they are named."""
        made = ground.make()
        commit(made.path, "work")
        (ground.folder / "link").symlink_to(ground.repo)
        for where in (ground.repo, f"{ground.repo}/", ground.folder / "link", made.path, ground.repo / ".git"):
            again = ground.make(where=where)
            assert (again.path, again.new, again.notes) == (made.path, False, [])
        assert Path(made.path, "work").exists()
        assert ground.listed().count("worktree ") == 2

    def test_sessions_and_repositories_do_not_meet(self, ground: Ground) -> None:
        """Each pair has its own checkout, also for two repositories of the same name."""
        other = repository(ground.folder / "elsewhere" / "app")
        paths = {ground.make(session, where).path for session in ("w1", "w2") for where in (ground.repo, other)}
        assert len(paths) == 4
        assert len({os.path.dirname(path) for path in paths}) == 2

    @pytest.mark.parametrize(
        "name", ["my app", "größe", "日本", "a:b", "-n", "a'b\"c$(x)", ".hidden", "x.git", "..a", "²"]
    )
    def test_odd_names_of_repositories(self, ground: Ground, name: str) -> None:
        """Spaces, every script and what a shell would take apart are names like others, wherever the data dir is."""
        repo = repository(ground.folder / "odd" / name)
        made = ground.make("sitzung-ü", where=repo)
        assert run(made.path, "branch", "--show-current") == "looop/sitzung-ü\n"
        assert ground.make("sitzung-ü", where=repo).new is False
        assert [tree.keep for tree in survey(ground.house)] == [""]
        ground.remove(made.path)
        assert survey(ground.house) == []

    def test_a_data_dir_with_an_odd_path(self, tmp_path: Path) -> None:
        """A data dir below spaces, quotes, colons and other scripts works the same."""
        ground = Ground(tmp_path / "with space" / "日本: ü's")
        made = ground.make()
        assert ground.make().new is False
        ground.ended = {"w1"}
        assert ground.sweep() == {"w1": ""}
        assert not os.path.exists(made.path)

    def test_a_data_dir_behind_a_link(self, ground: Ground) -> None:
        """Git knows real paths, a person may use others: a checkout is found by either, gone or not."""
        (ground.folder / "link").symlink_to(ground.home.root)
        house = ground.house
        made = ground.make()
        ground.house = replace(house, setting=replace(house.setting, root=str(ground.folder / "link")))
        again = ground.make()
        assert (os.path.realpath(again.path), again.new) == (made.path, False)
        shutil.rmtree(made.path)
        assert ground.make().new
        assert [tree.keep for tree in survey(ground.house)] == [""]

    def test_a_branch_that_is_there_is_reused(self, ground: Ground) -> None:
        """What an earlier session of that id has committed is where the next one goes on."""
        run(ground.repo, "branch", "looop/w1")
        commit(ground.repo, "later")
        made = ground.make(base="main")
        assert not Path(made.path, "later").exists()
        assert made.notes == ["branch looop/w1 was there before: --base main does not apply"]
        assert ground.make(base="main").notes == []

    def test_branch_and_base_can_be_named(self, ground: Ground) -> None:
        """--branch names the branch, --base where a new one begins: a branch, a tag, a commit, of a remote too."""
        first = commit(ground.repo, "one")
        commit(ground.repo, "two")
        run(ground.repo, "tag", "v1", first)
        made = ground.make(branch="feature/x", base="v1")
        assert (made.branch, run(made.path, "rev-parse", "HEAD").strip()) == ("feature/x", first)
        clone = ground.folder / "clone"
        run(ground.folder, "clone", "-q", str(ground.repo), str(clone))
        theirs = ground.make("w2", where=clone, base="origin/main")
        assert run(theirs.path, "rev-parse", "HEAD") == run(ground.repo, "rev-parse", "main")
        assert "branch." not in (clone / ".git/config").read_text().replace('[branch "main"]', "")

    def test_a_worker_that_changed_its_branch_keeps_its_checkout(self, ground: Ground) -> None:
        """The path counts; that the branch is another one than asked for is said."""
        made = ground.make()
        run(made.path, "checkout", "-qb", "mine")
        again = ground.make(branch="looop/w1")
        assert (again.path, again.branch) == (made.path, "mine")
        assert again.notes == ["it is on mine, not on looop/w1"]
        run(made.path, "checkout", "-q", "--detach")
        assert ground.make(branch="x").notes == ["it is on no branch, not on x"]

    def test_what_is_not_committed_is_not_in_it(self, ground: Ground) -> None:
        """A repository with changes, staged or not, gives a clean checkout and a note, once."""
        (ground.repo / "file").write_text("2\n")
        (ground.repo / "staged").write_text("s")
        run(ground.repo, "add", "staged")
        made = ground.make()
        assert made.notes == [f"{ground.repo} has uncommitted changes, which are not in the worktree"]
        assert Path(made.path, "file").read_text() == "1\n"
        assert sorted(run(ground.repo, "status", "--porcelain").splitlines()) == [" M file", "A  staged"]
        assert ground.make().notes == []

    def test_a_bare_repository_serves_as_well(self, ground: Ground) -> None:
        """A bare repository has no checkout of its own, and gives one to a session all the same."""
        bare = ground.folder / "store.git"
        run(ground.folder, "clone", "-q", "--bare", str(ground.repo), str(bare))
        made = ground.make(where=bare)
        assert Path(made.path).parent.name.startswith("store-")
        assert Path(made.path, "file").exists() and made.notes == []
        assert ground.make(where=bare).path == made.path
        ground.ended = {"w1"}
        assert ground.sweep() == {"w1": ""}

    def test_a_submodule_is_a_repository(self, ground: Ground) -> None:
        """The checkout of a submodule is named and served like any other."""
        parent = repository(ground.folder / "parent")
        run(parent, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(ground.repo), "part")
        run(parent, "commit", "-qm", "with a part")
        made = ground.make(where=parent / "part")
        assert run(made.path, "branch", "--show-current") == "looop/w1\n"
        assert ground.make(where=parent / "part").path == made.path
        ground.remove(made.path)
        assert not os.path.exists(made.path)

    def test_the_environment_does_not_name_another_repository(self, ground: Ground) -> None:
        """Called from a hook, where GIT_DIR and the like point elsewhere, it is still the repository that was named."""
        other = repository(ground.folder / "other")
        ground.house = ground.with_env(
            GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other), GIT_INDEX_FILE=str(other / "x"), GIT_PREFIX="sub/"
        )
        made = ground.make()
        assert made.repo == str(ground.repo)
        assert run(other, "worktree", "list").count("\n") == 1
        assert ground.tree(made.path).keep == ""

    def test_a_data_dir_in_git_does_not_see_them(self, ground: Ground) -> None:
        """Whoever keeps the data dir in git has no checkouts in his status, nor in what he adds."""
        run(ground.home.root, "init", "-q")
        ground.make()
        run(ground.home.root, "add", "--all")
        assert "worktrees" not in run(ground.home.root, "status", "--porcelain")

    def test_a_hook_that_fails_does_not_take_the_checkout(self, ground: Ground) -> None:
        """When the repository's post-checkout hook fails, the checkout is there, and a note says so."""
        hook = ground.repo / ".git/hooks/post-checkout"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho 'error: no lfs here' >&2\nexit 3\n")
        hook.chmod(0o755)
        made = ground.make()
        assert made.new and len(made.notes) == 1 and "no lfs here" in made.notes[0]
        assert Path(made.path, "file").exists()
        assert ground.make().notes == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("prepare", "said"),
        [
            (lambda g: None, "there is no folder"),
            (lambda g: (g.folder / "x").write_text(""), "there is no folder"),
            (lambda g: (g.folder / "x").mkdir(), "is no git repository"),
            (lambda g: run(g.folder, "init", "-q", "x"), "has no commit yet"),
        ],
        ids=["nothing", "a file", "a plain folder", "no commit"],
    )
    def test_what_is_no_repository(self, ground: Ground, prepare: Callable[[Ground], Any], said: str) -> None:
        """Nothing, a file, a plain folder and a repository without a commit are told apart, and nothing is made."""
        prepare(ground)
        with pytest.raises(Missing, match=said) as refused:
            ground.make(where=ground.folder / "x")
        assert "\n" not in str(refused.value)
        assert survey(ground.house) == []

    def test_a_folder_inside_a_repository_names_the_repository(self, ground: Ground) -> None:
        """A folder that merely lies in a repository is not taken for it: it may be one of all of HOME."""
        (ground.repo / "a" / "b").mkdir(parents=True)
        for inside in ("a", "a/b"):
            with pytest.raises(Refused, match=f"name the repository, {ground.repo}$"):
                ground.make(where=ground.repo / inside)

    @pytest.mark.parametrize("session", ["", "..", "a/b", "two words", "-" * 65])
    def test_sessions_are_ids(self, ground: Ground, session: str) -> None:
        """A checkout is named after its session, so that must be an id."""
        with pytest.raises(Invalid, match="session id"):
            ground.make(session)
        assert not (ground.home.root / "worktrees").exists()

    @pytest.mark.parametrize(("session", "branch"), [("a..b", ""), ("a.lock", ""), ("w1", "x y"), ("w1", "a..b")])
    def test_what_cannot_be_a_branch(self, ground: Ground, session: str, branch: str) -> None:
        """A session whose id is no branch, and a branch that is none, are refused with the flag that helps."""
        with pytest.raises(Invalid, match="--branch"):
            ground.make(session, branch=branch)
        assert ground.branches() == ["main"]
        if not branch:
            assert ground.make(session, branch="fine").branch == "fine"

    @pytest.mark.parametrize("branch", ["-x", "--force", "HEAD"])
    def test_a_branch_is_never_an_option(self, ground: Ground, branch: str) -> None:
        """A name that begins with a dash is not obeyed, nor is the name of HEAD taken."""
        with pytest.raises((Invalid, GitFailed)):
            ground.make(branch=branch)
        assert ground.branches() == ["main"]

    @pytest.mark.parametrize("base", ["nowhere", "--output=x", "main:file", "HEAD~9"])
    def test_an_unknown_base(self, ground: Ground, base: str) -> None:
        """What names no commit is refused, and no branch is left behind."""
        with pytest.raises(Missing, match="has no commit"):
            ground.make(base=base)
        assert ground.branches() == ["main"]

    def test_a_branch_somebody_works_on(self, ground: Ground) -> None:
        """A branch that is checked out elsewhere, in the repository itself too, is named with the place."""
        taken = ground.make("w1")
        for branch, place in (("main", ground.repo), ("looop/w1", taken.path)):
            with pytest.raises(Refused, match=f"branch {branch} is checked out in {place}: .*--branch"):
                ground.make("w2", branch=branch)

    def test_without_git(self, ground: Ground, tmp_path: Path) -> None:
        """Where git is not on the PATH, or does not start, one line says so, in every verb."""
        ground.make()
        ground.house = ground.with_env(PATH=str(tmp_path / "nothing"))
        for verb in (ground.make, lambda: survey(ground.house)):
            with pytest.raises(NoGit, match="git does not run here") as refused:
                verb()
            assert "\n" not in str(refused.value)
        ground.ended = {"w1"}
        assert "git does not run" in ground.sweep()["w1"]

    def test_a_git_that_hangs_is_stopped(self, ground: Ground, tmp_path: Path) -> None:
        """A git that does not come to an end is stopped, and the error says so."""
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/git").write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / "bin/git").chmod(0o755)
        ground.house = ground.with_env(PATH=f"{tmp_path / 'bin'}:{SYSTEM_PATH}")
        with pytest.raises(GitFailed, match="stopped after 1s"):
            git(ground.house, str(ground.repo), "status", deadline_s=1)

    def test_a_stranger_in_the_place(self, ground: Ground) -> None:
        """A folder with something in it where the checkout should be is not touched; an empty one is used."""
        made = ground.make()
        ground.remove(made.path)
        os.mkdir(made.path)
        assert ground.make().new
        ground.remove(made.path)
        os.mkdir(made.path)
        Path(made.path, "notes").write_text("mine")
        with pytest.raises(Refused, match="is no worktree of"):
            ground.make()
        assert Path(made.path, "notes").read_text() == "mine"


class TestRecovery:
    def test_a_checkout_that_was_deleted_is_made_again(self, ground: Ground) -> None:
        """Where somebody removed the folder by hand, the session gets it back with all it had committed."""
        made = ground.make()
        commit(made.path, "work")
        shutil.rmtree(made.path)
        again = ground.make()
        assert (again.path, again.new) == (made.path, True)
        assert Path(made.path, "work").exists()
        assert ground.listed().count("worktree ") == 2

    def test_one_that_was_deleted_and_is_locked_is_not(self, ground: Ground) -> None:
        """A lock says that the folder may come back, as on a disk that is not plugged in."""
        made = ground.make()
        run(ground.repo, "worktree", "lock", "--reason", "on a stick", made.path)
        shutil.rmtree(made.path)
        with pytest.raises(Refused, match=r"gone, and is locked \(on a stick\): .*unlock"):
            ground.make()

    def test_one_that_was_deleted_with_commits_of_its_own_is_not(self, ground: Ground) -> None:
        """Commits on no branch, which git keeps only with the checkout, are named before anything is made."""
        made = ground.make()
        run(made.path, "checkout", "-q", "--detach")
        lost = commit(made.path, "work")
        shutil.rmtree(made.path)
        with pytest.raises(Refused, match=f"1 commits in it are on no branch: .*branch NAME {lost}"):
            ground.make()
        run(ground.repo, "branch", "saved", lost)
        assert ground.make().new

    def test_a_branch_whose_checkout_is_gone_is_free(self, ground: Ground) -> None:
        """A checkout that was deleted does not hold its branch off for ever."""
        shutil.rmtree(ground.make("w1").path)
        assert ground.make("w2", branch="looop/w1").branch == "looop/w1"

    def test_one_that_lost_its_repository(self, ground: Ground) -> None:
        """A checkout without its `.git` is refused with what brings it back, and is found whole after that."""
        made = ground.make()
        os.unlink(f"{made.path}/.git")
        with pytest.raises(Refused, match=f"`git -C {ground.repo} worktree repair`"):
            ground.make()
        run(ground.repo, "worktree", "repair")
        assert ground.make().path == made.path

    @pytest.fixture
    def slow(self, ground: Ground) -> Iterator[Callable[[], bool]]:
        """From now on a checkout stands still in the middle; says whether one does."""
        ground.make("w0")
        (ground.repo / ".gitattributes").write_text("f2 filter=slow\n")
        run(ground.repo, "config", "filter.slow.smudge", f"cat; echo . >>'{ground.folder}/there'; sleep 60")
        run(ground.repo, "config", "filter.slow.clean", "cat")
        for number in range(4):
            (ground.repo / f"f{number}").write_text("x" * 2000)
        commit(ground.repo, "slow")
        yield (ground.folder / "there").exists

    def assert_made_anew(self, ground: Ground) -> None:
        run(ground.repo, "config", "filter.slow.smudge", "cat")
        made = ground.make()
        assert made.new and run(made.path, "status", "--porcelain") == ""
        assert Path(made.path, "f3").exists()
        assert "locked" not in ground.listed()
        assert ground.make().new is False

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
    def test_git_killed_while_it_works(self, ground: Ground, slow: Callable[[], bool], end: int) -> None:
        """When git dies in the middle nothing is left that is taken for a checkout; the next one is whole."""
        path = os.path.join(os.path.dirname(ground.make("w0").path), "w1")
        words = ["git", "worktree", "add", "-q", "-b", "looop/w1", path]
        maker = subprocess.Popen(words, cwd=ground.repo, env=PLAIN, start_new_session=True)
        until(slow, what="git to be in the middle")
        os.killpg(maker.pid, end)
        maker.wait()
        self.assert_made_anew(ground)

    @pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system shows no environments")
    def test_the_maker_killed_while_git_goes_on(self, ground: Ground, slow: Callable[[], bool]) -> None:
        """When looop is killed and its git lives on, the next one ends it before it starts anew."""
        looop = Looop(ground.folder)
        maker = looop.start("worktree", str(ground.repo), "--session", "w1", env=PLAIN)
        until(slow, what="git to be in the middle")
        maker.kill()
        maker.communicate()
        assert "initializing" in ground.listed()
        self.assert_made_anew(ground)
        left = subprocess.run(["ps", "-eo", "args", "-ww"], capture_output=True, text=True).stdout
        assert [line for line in left.splitlines() if str(ground.folder) in line] == []

    def test_many_at_once(self, ground: Ground) -> None:
        """Of four processes that ask for the same checkout one makes it, the others get it; two sessions get two."""
        track = Track()

        def ask(me: int) -> Callable[[], bytes]:
            def run_it() -> bytes:
                track.meet(me, me ^ 1, 1)
                made = ground.make("w1" if me < 4 else "w2")
                return f"{made.path} {made.new}".encode()

            return run_it

        told = side_by_side(*(ask(me) for me in range(6)))
        paths = [one.split()[0] for one in told]
        assert len(set(paths[:4])) == len(set(paths[4:])) == 1
        assert sum(one.endswith(b"True") for one in told) == 2
        assert ground.listed().count("worktree ") == 3

    def test_whoever_waits_too_long_is_told(self, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
        """While somebody else makes one for that repository for ever, the wait ends with a line."""
        monkeypatch.setattr("looop.act.worktrees._CHECKOUT_S", 0)
        made = ground.make()
        lock = PulseLock(os.path.dirname(made.path))
        lock.acquire()
        with pytest.raises(Refused, match="another worktree command is at work"):
            ground.make("w2")
        lock.release()
        assert ground.make("w2").new


WORK: dict[str, tuple[Callable[[str], Any], str]] = {
    "a changed file": (lambda path: Path(path, "file").write_text("2\n"), r"uncommitted changes \(1\)"),
    "a new file": (lambda path: Path(path, "new").write_text(""), r"uncommitted changes \(1\)"),
    "a staged file": (
        lambda path: (Path(path, "new").write_text(""), run(path, "add", "new")),
        r"uncommitted changes \(1\)",
    ),
    "a removed file": (lambda path: Path(path, "file").unlink(), r"uncommitted changes \(1\)"),
    "a new folder": (lambda path: repository(Path(path, "inner")), r"uncommitted changes \(1\)"),
    "a commit": (lambda path: commit(path, "work"), r"commits that no other branch has \(1\)"),
    "a commit on no branch": (
        lambda path: (run(path, "checkout", "-q", "--detach"), commit(path, "work")),
        r"commits that no other branch has \(1\)",
    ),
    "a bisect": (lambda path: run(path, "bisect", "start"), "under way"),
    "a merge": (
        lambda path: (
            run(path, "checkout", "-q", "--detach"),
            commit(path, "side"),
            run(path, "tag", "side"),
            run(path, "checkout", "-q", "looop/w1"),
            run(path, "merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "side"),
        ),
        "under way",
    ),
    "a lock": (lambda path: run(path, "worktree", "lock", "--reason", "mine", path), r"locked \(mine\)"),
    "hidden new files": (
        lambda path: (run(path, "config", "status.showUntrackedFiles", "no"), Path(path, "new").write_text("")),
        r"uncommitted changes \(1\)",
    ),
    "no .git": (lambda path: os.unlink(f"{path}/.git"), "no git repository"),
    "a broken .git": (lambda path: Path(path, ".git").write_text("gitdir: /nowhere\n"), "no git repository"),
    "a repository that is gone": (
        lambda path: shutil.rmtree(Path(path, "../../../../app").resolve()),
        "no git repository",
    ),
    "a broken HEAD": (
        lambda path: Path(run(path, "rev-parse", "--absolute-git-dir").strip(), "HEAD").write_text("nonsense\n"),
        "HEAD|git repository",
    ),
    "another's place": (lambda path: Path(_own(path), "gitdir").write_text("/elsewhere/.git\n"), "somewhere else"),
}


def _own(path: str) -> str:
    return run(path, "rev-parse", "--absolute-git-dir").strip()


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest, ground: Ground) -> Iterator[tuple[str, str, str]]:
    """A checkout with something in it, or something wrong with it: what, its path, and why it must stay."""
    spoil, why = WORK[request.param]
    path = ground.make().path
    spoil(path)
    os.utime(path)
    yield request.param, path, why


class TestNothingIsLost:
    def test_rm_refuses(self, ground: Ground, work: tuple[str, str, str]) -> None:
        """Whatever is in a checkout, or cannot be told of it, keeps it from being removed, with the reason."""
        what, path, why = work
        with pytest.raises(Refused, match=f"{path} stays: .*({why})"):
            ground.remove(path)
        assert os.path.exists(f"{path}/file") or what == "a removed file"

    def test_prune_keeps(self, ground: Ground, work: tuple[str, str, str]) -> None:
        """Retention keeps it, however old it is, and says the same."""
        what, path, why = work
        ground.ended = {"w1"}
        kept = ground.sweep(later=100 * TTL)["w1"]
        assert re.search(why, kept), kept
        assert os.path.exists(f"{path}/file") or what == "a removed file"
        assert prune_worktrees(ground.house, lambda _: True, ground.home.clock.now() + 100 * TTL) == []

    def test_force_removes_the_folder_and_keeps_the_branch(self, ground: Ground, work: tuple[str, str, str]) -> None:
        """A person may lose what is in it; what is committed on its branch stays, and a lock stays a lock."""
        what, path, _ = work
        if what == "a lock":
            with pytest.raises(Refused, match="locked"):
                ground.remove(path, force=True)
            assert os.path.exists(path)
            return
        ground.remove(path, force=True)
        assert not os.path.exists(path)
        if what != "a repository that is gone":
            assert "looop/w1" in ground.branches()


class TestRemove:
    @pytest.mark.parametrize("keeper", ["branch", "tag", "remote"])
    def test_commits_that_are_elsewhere_do_not_keep_it(self, ground: Ground, keeper: str) -> None:
        """Commits that another branch, a tag or a remote has are not lost with the checkout."""
        made = ground.make()
        head = commit(made.path, "work")
        ref = {"branch": "refs/heads/kept", "tag": "refs/tags/kept", "remote": "refs/remotes/origin/looop/w1"}[keeper]
        run(ground.repo, "update-ref", ref, head)
        assert ground.tree(made.path).commits == 0
        ground.remove(made.path)
        assert not os.path.exists(made.path)
        assert "looop/w1" in ground.branches()
        assert ground.listed().count("worktree ") == 1

    def test_ignored_files_do_not_keep_it(self, ground: Ground) -> None:
        """What the repository ignores, such as what a build leaves, is no work."""
        (ground.repo / ".gitignore").write_text("build/\n")
        commit(ground.repo, "ignores")
        made = ground.make()
        Path(made.path, "build").mkdir()
        Path(made.path, "build/out").write_text("x")
        ground.remove(made.path)
        assert not os.path.exists(made.path)

    def test_a_change_in_the_last_moment_keeps_it(self, ground: Ground) -> None:
        """What is written between the look and the removal is seen by git, which refuses."""
        made = ground.make()
        tree = ground.tree(made.path)
        Path(made.path, "new").write_text("x")
        with pytest.raises(GitFailed, match="contains modified or untracked files"):
            remove(ground.house, tree)
        assert Path(made.path, "new").exists()

    def test_the_session_can_have_it_again(self, ground: Ground) -> None:
        """After a removal the same session gets the same place, on its branch as it was left."""
        made = ground.make()
        commit(made.path, "work")
        run(ground.repo, "branch", "kept", "looop/w1")
        ground.remove(made.path)
        again = ground.make()
        assert (again.path, again.new) == (made.path, True)
        assert Path(again.path, "work").exists()


class TestPrune:
    def test_what_has_served_goes(self, ground: Ground) -> None:
        """A clean checkout goes once its session has ended and nobody has used it for as long; its branch stays."""
        made, other = ground.make("w1"), ground.make("w2")
        ground.ended = {"w1"}
        assert ground.sweep(later=TTL - 5) == {
            "w1": "it was used not long ago",
            "w2": "its session has not ended, or not long ago",
        }
        assert prune_worktrees(ground.house, lambda s: s == "w1", ground.home.clock.now() + TTL + 5) == [made.path]
        assert not os.path.exists(made.path) and os.path.exists(other.path)
        assert ground.branches() == ["looop/w1", "looop/w2", "main"]

    def test_the_age_is_that_of_the_last_use(self, ground: Ground) -> None:
        """A commit and being handed out again make a checkout young; so does what is in the future."""
        made, now = ground.make(), ground.home.clock.now()
        ground.ended = {"w1"}
        own = _own(made.path)
        old = [made.path, f"{own}/HEAD", f"{own}/index", f"{own}/logs/HEAD"]
        for young in (None, *old, made.path):
            for place in old:
                os.utime(place, (1, 1))
            if young:
                os.utime(young, (now + TTL, now + TTL))
                assert ground.sweep(later=TTL + 60) == {"w1": "it was used not long ago"}
        for place in old:
            os.utime(place, (1, 1))
        assert ground.make().new is False
        assert ground.sweep(later=60) == {"w1": "it was used not long ago"}
        assert ground.sweep() == {"w1": ""}

    def test_a_session_that_comes_back_keeps_its_checkout(self, ground: Ground) -> None:
        """Handed out again between the look at the fleet and the removal, a checkout stays. See Note [In use]."""
        made = ground.make()
        for place in (made.path, *(f"{_own(made.path)}/{name}" for name in ("HEAD", "index", "logs/HEAD"))):
            os.utime(place, (1, 1))

        def ended(_: str) -> bool:
            ground.make()
            return True

        assert prune_worktrees(ground.house, ended, ground.home.clock.now() + 5) == []
        assert os.path.exists(made.path)

    def test_while_one_is_made_nothing_goes(self, ground: Ground) -> None:
        """A repository whose checkouts somebody else works on is left for the next time, at once."""
        made = ground.make()
        lock = PulseLock(os.path.dirname(made.path))
        lock.acquire()
        ground.ended = {"w1"}
        assert "another worktree command is at work" in ground.sweep()["w1"]
        lock.release()
        assert ground.sweep() == {"w1": ""}

    def test_an_unknown_end_is_none(self, ground: Ground) -> None:
        """While nobody can tell whether a session has ended its checkout stays. Source: edge case 156."""
        ground.make()

        def ended(_: str) -> bool:
            raise Unreadable("cannot list the sessions")

        now = ground.home.clock.now() + 100 * TTL
        assert [why for _, why in sweep(ground.house, ended, now)] == ["cannot list the sessions"]

    @pytest.mark.parametrize(("knob", "config", "ttl"), [(50, "", 50), (None, '{"session_ttl": 70}', 70), (0, "", 0)])
    def test_how_long_is_a_setting(self, ground: Ground, knob: int | None, config: str, ttl: int) -> None:
        """LOOOP_SESSION_TTL counts before session_ttl of the config. Source: spec/workers.md §7."""
        if config:
            ground.home.write("config.json", config)
        ground.home.furnish(session_ttl=knob)
        ground.house = ground.with_env()
        ground.make()
        ground.ended = {"w1"}
        if ttl:
            assert ground.sweep(later=ttl - 10)["w1"] != ""
        assert ground.sweep(later=ttl + 10) == {"w1": ""}

    def test_a_config_that_cannot_be_read_prunes_nothing(self, ground: Ground) -> None:
        """Without knowing how long to keep nothing goes; where there is nothing, nothing is asked."""
        ground.home.write("config.json", "{")
        assert ground.sweep() == {}
        ground.make()
        with pytest.raises(Corrupt):
            ground.sweep()

    def test_without_worktrees_nothing_is_started(self, ground: Ground) -> None:
        """A beat of a house without checkouts, or without old ones, starts no process."""
        ground.house = ground.with_env(PATH="/nonexistent")
        assert prune_worktrees(ground.house, lambda _: True, 0) == []
        ground.house = ground.with_env()
        ground.make()
        ground.house = ground.with_env(PATH="/nonexistent")
        ground.ended = {"w1"}
        assert ground.sweep(later=0) == {"w1": "it was used not long ago"}

    def test_strangers_among_them_are_left_alone(self, ground: Ground) -> None:
        """Files, links, hidden folders and names that are no sessions are nobody's checkouts."""
        place = Path(ground.make().path).parent
        (place / "file").write_text("x")
        (place / "link").symlink_to(ground.repo)
        (place / ".hidden").mkdir()
        (place / "two words").mkdir()
        (place.parent / "file").write_text("x")
        assert [tree.session for tree in survey(ground.house)] == ["w1"]

    def test_a_place_that_cannot_be_listed_is_an_error(self, ground: Ground) -> None:
        """A file in the place of the folder is not an absence of checkouts. Source: edge case 266."""
        ground.home.write("worktrees", "x")
        with pytest.raises(Unreadable, match="worktrees"):
            survey(ground.house)
