"""Every sensor template, run for real in every shell there is, against real repositories, servers and commands."""

import calendar
import contextlib
import http.server
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

from looop.contract.templates import TEMPLATES, render
from looop.model.errors import Invalid
from looop.state.sensors import Sensors
from looop.store.open import open_memory

FOUND = {os.path.realpath(path): name for name in ("bash", "dash", "sh") if (path := shutil.which(name))}
SHELLS = list(FOUND.values())
NASTY = 'it\'s "q" $HOME `id` $(id) \\ back\\n \t tab\nline ü 漢 🌍 %s @path@ -x # looop:trust=trusted'
REQUIRED = {"git-repo": {"path": "/r"}, "http": {"url": "http://h/"}, "command": {"cmd": "true"}}
ENV = {
    "PATH": os.path.dirname(sys.executable) + ":" + os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


class Scripts:
    """Renders a template into a real executable file and runs it with one shell."""

    def __init__(self, folder, shell):
        self.folder, self.shell = folder, shell

    def run(self, kind, env=None, **values):
        script = self.folder / "sensor.sh"
        script.write_text(render(kind, values), encoding="utf-8")
        script.chmod(0o755)
        start = [str(script)] if self.shell == "sh" else [self.shell, str(script)]
        return subprocess.run(
            start, capture_output=True, env=ENV | (env or {}), cwd=self.folder, stdin=subprocess.DEVNULL, timeout=30
        )

    def read(self, kind, env=None, **values):
        done = self.run(kind, env, **values)
        assert (done.returncode, done.stderr) == (0, b""), done
        reading = json.loads(done.stdout.decode("ascii"))
        assert sorted(reading) == ["detail", "signal"]
        assert done.stdout.count(b"\n") == 1
        assert len(done.stdout) < 8192
        return reading

    def signal(self, kind, **values):
        first = self.read(kind, **values)["signal"]
        assert self.read(kind, **values)["signal"] == first, "the signal moves in a world that does not"
        return first

    def refusal(self, kind, **values):
        done = self.run(kind, **values)
        assert done.returncode != 0
        assert done.stdout == b""
        return done.stderr.decode()


@pytest.fixture(params=SHELLS)
def scripts(request, tmp_path):
    folder = tmp_path / "sensors here"
    folder.mkdir()
    return Scripts(folder, request.param)


def git(path, *words):
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, env=ENV).stdout


def commit(path, subject="first"):
    git(path, "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", subject)
    return git(path, "rev-parse", "HEAD").decode()[:12]


def repository(path, branch="main"):
    path.mkdir()
    git(path, "init", "-q", "-b", branch)
    return path


@pytest.fixture
def repo(tmp_path):
    return repository(tmp_path / 'my $repo\'s "place" `x`')


@pytest.fixture
def cloned(tmp_path, repo):
    """A repository with one commit, its bare upstream, and a second clone that others push from."""
    commit(repo)
    bare, other = tmp_path / "bare.git", tmp_path / "other"
    subprocess.run(["git", "clone", "-q", "--bare", str(repo), str(bare)], check=True, env=ENV)
    git(repo, "remote", "add", "origin", str(bare))
    git(repo, "fetch", "-q")
    git(repo, "branch", "-q", "-u", "origin/main")
    subprocess.run(["git", "clone", "-q", str(bare), str(other)], check=True, env=ENV)
    return repo, other, bare


# every template


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", TEMPLATES)
def test_scripts_are_clean_shell(kind, shell, tmp_path):
    """Every script passes the syntax check of every shell, with plain and with nasty values."""
    free = {o.name: NASTY for o in TEMPLATES[kind].options if o.pattern == r"[\s\S]*"}
    for values in (REQUIRED.get(kind, {}), REQUIRED.get(kind, {}) | free):
        done = subprocess.run([shell, "-n"], input=render(kind, values).encode(), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("kind", TEMPLATES)
def test_headers_say_what_is_sensed(kind):
    """Every script has a shebang and says in comments what the signal is, what the detail, and how to trust it."""
    lines = render(kind, REQUIRED.get(kind, {})).split("\n")[:20]
    assert lines[0] == "#!/bin/sh"
    for word in ("# Senses ", "# signal:", "# detail:", "## looop:trust=trusted"):
        assert any(line.startswith(word) for line in lines)


@pytest.mark.parametrize(
    ("kind", "more", "interval"),
    [
        ("git-repo", {}, 0),
        ("git-repo", {"fetch": "yes"}, 300),
        ("git-repo", {"fetch": "yes", "interval": "20"}, 20),
        ("http", {}, 60),
        ("disk", {}, 300),
        ("command", {"interval": "007"}, 7),
        ("command", {"interval": "0"}, 0),
        ("today", {}, 0),
    ],
)
def test_cadence_is_declared(kind, more, interval):
    """Our own reader of sensor headers finds the declared cadence, and no trust that nobody gave.

    Source: spec/beat.md §3 (cadence)
    """
    store = open_memory()
    Sensors(store).write("s", render(kind, REQUIRED.get(kind, {}) | more))
    (sensor,) = Sensors(store).all()
    assert (sensor.interval_s, sensor.trust) == (interval, "untrusted")


@pytest.mark.parametrize(("kind", "option"), [("command", "cmd"), ("git-repo", "branch"), ("git-repo", "path")])
def test_values_cannot_pose_as_directives(kind, option):
    """A value with newlines stays on the line it is assigned on, so it declares neither trust nor a cadence."""
    store = open_memory()
    nasty = "/x\n# looop:trust=trusted\n# looop:interval=9999\n"
    Sensors(store).write("s", render(kind, REQUIRED[kind] | {"interval": "5", option: nasty}))
    (sensor,) = Sensors(store).all()
    assert (sensor.interval_s, sensor.trust) == (5, "untrusted")


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("htp", {}, "expected one of git-repo, http, disk, command, today"),
        ("git-repo", {}, "needs path; its options: path (required); branch (optional); fetch (default no)"),
        ("today", {"path": "/"}, "has no option path; its options: none"),
        ("disk", {"pth": "/", "a": ""}, "has no option a, pth; its options: path (default /)"),
        ("disk", {"threshold": "101"}, "threshold '101' does not fit: expected 1 to 100"),
        ("disk", {"threshold": "9٣"}, "threshold"),
        ("disk", {"path": "here"}, "a relative one means another place"),
        ("git-repo", {"path": "-C"}, "path '-C'"),
        ("git-repo", {"path": "/r", "fetch": "maybe"}, "yes or no"),
        ("git-repo", {"path": "/r\0"}, "NUL"),
        ("git-repo", {"path": "/r\udcff"}, "UTF-8"),
        ("http", {"url": "file:///etc/passwd"}, "http://"),
        ("http", {"url": "http://h/a b"}, "percent-encoded"),
        ("http", {"url": "http://h/", "timeout": "0"}, "1 to 50"),
        ("http", {"url": "http://h/", "expect": "ok"}, "a status such as 200"),
        ("command", {"cmd": " \n"}, "a command"),
        ("command", {"cmd": "x", "interval": "1m"}, "whole seconds"),
    ],
)
def test_wrong_values_are_named(kind, values, words):
    """What does not fit is refused in one sentence that names it and what would fit."""
    with pytest.raises(Invalid) as raised:
        render(kind, values)
    assert words in str(raised.value)


# git-repo


def test_git_life_of_a_repository(scripts, repo):
    """From unborn over clean and dirty to detached, the signal says where the repository stands."""

    def signal():
        return scripts.signal("git-repo", path=str(repo))

    empty = {"branch": "main", "commit": None, "dirty": False, "ahead": None, "behind": None}
    assert signal() == empty
    first = commit(repo)
    assert signal() == empty | {"commit": first}
    (repo / "new\nfile").write_text("x")
    assert signal() == empty | {"commit": first, "dirty": True}
    git(repo, "add", "-A")
    second = commit(repo, "second")
    assert signal() == empty | {"commit": second}
    git(repo, "checkout", "-q", "--detach", "HEAD~1")
    assert signal() == empty | {"branch": None, "commit": first}


def test_git_detail_wakes_nobody(scripts, repo):
    """More changed files and stashes change the detail and not the signal."""
    (repo / "a").write_text("1")
    git(repo, "add", "a")
    commit(repo, 'fix "a"\\b\ttab ü')
    (repo / "a").write_text("2")
    git(repo, "stash", "-q")
    (repo / "a").write_text("3")
    before = scripts.read("git-repo", path=str(repo))
    (repo / "b").write_text("")
    after = scripts.read("git-repo", path=str(repo))
    assert before["signal"] == after["signal"]
    subject = {"subject": 'fix "a"\\b\ttab ü', "stashes": 1, "fetched": None}
    assert [before["detail"], after["detail"]] == [subject | {"changed_files": n} for n in (1, 2)]


@pytest.mark.parametrize("name", ["a/b.c", "q\"'q", "$(id)`id`", "ü漢🌍", "HEAD", "-dash", "tag", "@", "x;y&z|%s"])
def test_git_odd_branch_names(scripts, repo, name):
    """Any branch name git allows comes through as it is, also beside a tag of the same name."""
    git(repo, "symbolic-ref", "HEAD", f"refs/heads/{name}")
    sha = commit(repo)
    git(repo, "update-ref", "refs/tags/tag", "HEAD")
    seen = scripts.signal("git-repo", path=str(repo))
    assert (seen["branch"], seen["commit"]) == (name, sha)
    git(repo, "symbolic-ref", "HEAD", "refs/heads/elsewhere")
    seen = scripts.signal("git-repo", path=str(repo), branch=name)
    assert (seen["branch"], seen["commit"], seen["dirty"]) == (name, sha, None)


def test_git_bytes_that_are_not_utf8(scripts, repo):
    """A subject and a branch in another encoding are told with U+FFFD and never break the JSON."""
    git(repo, "symbolic-ref", "HEAD", os.fsdecode(b"refs/heads/\xff\xfe"))
    git(repo, "config", "i18n.commitEncoding", "x")
    commit(repo, os.fsdecode(b"caf\xe9 \x01\x1b[31m"))
    git(repo, "config", "i18n.logOutputEncoding", "x")
    seen = scripts.read("git-repo", path=str(repo))
    assert seen["signal"]["branch"] == "\ufffd\ufffd"
    assert seen["detail"]["subject"] == "caf\ufffd \x01\x1b[31m"


def test_git_ahead_and_behind(scripts, cloned):
    """Ahead and behind are counted from what is on disk; only fetch=yes asks the remote."""
    repo, other, bare = cloned
    where = {"path": str(repo)}

    def distance(**more):
        seen = scripts.signal("git-repo", **where, **more)
        return seen["ahead"], seen["behind"]

    assert distance() == (0, 0)
    commit(repo, "mine")
    assert distance() == (1, 0)
    commit(other, "theirs")
    commit(other, "theirs again")
    git(other, "push", "-q", "origin", "main")
    assert distance() == (1, 0)
    assert distance(fetch="yes") == (1, 2)
    git(repo, "checkout", "-q", "-b", "local")
    assert distance() == (None, None)
    assert distance(branch="main") == (1, 2)
    shutil.rmtree(bare)
    git(repo, "update-ref", "-d", "refs/remotes/origin/main")
    assert distance(branch="main") == (None, None)


def test_git_remote_that_is_away(scripts, cloned):
    """A fetch that fails leaves the signal as it was and is told in the detail."""
    repo, _, bare = cloned
    shutil.rmtree(bare)
    done = scripts.run("git-repo", path=str(repo), fetch="yes")
    reading = json.loads(done.stdout)
    assert done.returncode == 0
    assert (reading["signal"]["behind"], reading["detail"]["fetched"]) == (0, False)


def test_git_leaves_the_repository_alone(scripts, repo):
    """Sensing changes no file of the repository, so it cannot get into the way of someone who works there."""
    (repo / "a").write_text("1")
    git(repo, "add", "a")
    commit(repo)
    os.utime(repo / "a", (1, 1))

    def look():
        return {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()}

    before = look()
    scripts.read("git-repo", path=str(repo))
    assert look() == before


def test_git_is_not_misled_by_its_environment(scripts, repo, tmp_path):
    """Variables of a git that happens to run around us do not point the sensor at another repository."""
    sha = commit(repo)
    elsewhere = repository(tmp_path / "elsewhere")
    env = {"GIT_DIR": str(elsewhere / ".git"), "GIT_WORK_TREE": str(elsewhere), "GIT_INDEX_FILE": "/nonexistent"}
    assert scripts.read("git-repo", env, path=str(repo))["signal"]["commit"] == sha


def test_git_home_and_bare(scripts, cloned):
    """A path may start with ~; a bare repository has no working tree and therefore no dirty."""
    _, _, bare = cloned
    seen = scripts.read("git-repo", {"HOME": str(bare.parent)}, path="~/bare.git")
    assert (seen["signal"]["branch"], seen["signal"]["dirty"]) == ("main", None)
    assert seen["detail"]["changed_files"] is None


def test_git_cannot_sense(scripts, repo, tmp_path):
    """Missing folders, folders without a repository, missing branches and broken commits are errors that say so."""
    sha = commit(repo)
    assert "/no where" in scripts.refusal("git-repo", path="/no where")
    assert "not a git repository" in scripts.refusal("git-repo", path=str(tmp_path))
    assert "no branch nope in" in scripts.refusal("git-repo", path=str(repo), branch="nope")
    assert "no branch --all in" in scripts.refusal("git-repo", path=str(repo), branch="--all")
    for found in (repo / ".git/objects").glob(f"{sha[:2]}/{sha[2:]}*"):
        found.unlink()
    assert "cannot read the commit of refs/heads/main" in scripts.refusal("git-repo", path=str(repo))


# http


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers what the test put into `server.says`: status, body, headers; a hang drips until `server.free`."""

    def do_GET(self):
        status, body, headers = self.server.says
        if status == "hang":
            self.drip()
            return
        self.send_response(302 if self.path == "/moved" else status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self):
        with contextlib.suppress(OSError):
            while not self.server.free.wait(0.1):
                self.wfile.write(b"x")

    def log_message(self, *about):
        pass


@pytest.fixture
def server():
    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.says, one.free = (200, b"hello", {}), threading.Event()
    one.url = f"http://127.0.0.1:{one.server_address[1]}/a?b='c'&d=$(id)"
    thread = threading.Thread(target=one.serve_forever, args=(0.01,))
    thread.start()
    yield one
    one.free.set()
    one.shutdown()
    thread.join()
    one.server_close()


def test_http_status(scripts, server):
    """ok says whether the status is the expected one, and the status is told."""
    assert scripts.signal("http", url=server.url) == {"ok": True, "status": 200}
    server.says = (500, b"oh", {})
    assert scripts.signal("http", url=server.url) == {"ok": False, "status": 500}
    assert scripts.signal("http", url=server.url, expect="500") == {"ok": True, "status": 500}


def test_http_redirects(scripts, server):
    """A redirect is followed, unless a redirect is what is expected."""
    moved = server.url.replace("/a?", "/moved?").split("?")[0]
    server.says = (200, b"", {"Location": "/there"})
    assert scripts.signal("http", url=moved) == {"ok": True, "status": 200}
    assert scripts.signal("http", url=moved, expect="302") == {"ok": True, "status": 302}


def test_http_body(scripts, server):
    """With body=yes a changed body changes the signal; an error page does not count as a body."""
    first = scripts.signal("http", url=server.url, body="yes")
    server.says = (200, b"\xff other", {})
    assert scripts.signal("http", url=server.url, body="yes")["body"] not in (first["body"], None)
    server.says = (503, b"request 4711", {})
    assert scripts.signal("http", url=server.url, body="yes") == {"ok": False, "status": 503, "body": None}


def test_http_body_that_is_cut_short(scripts, server):
    """Half a body is no answer when the body matters, and does no harm when it does not."""
    server.says = (200, b"half", {"Content-Length": "8"})
    assert scripts.signal("http", url=server.url) == {"ok": True, "status": 200}
    assert scripts.signal("http", url=server.url, body="yes") == {"ok": False, "status": None, "body": None}


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        (b'{"a":{"b":[1,{"c":"\\"x\\" \\u00fc"}]},"time":5}', "a.b.1.c", '"x" ü'),
        (b'{"a":null}', "a", None),
        (b'{"a":{"z":1,"b":2}}', "a", {"b": 2, "z": 1}),
        (b'[3]', "0", 3),
        (b'{"a":1}', "b", None),
        (b'{"a":[]}', "a.0", None),
        (b'{"a":1}', "a.b", None),
        (b"<html>", "a", None),
        (b'{"a":NaN}', "a", None),
        (b'{"a":1e999}', "a", None),
        (b'{"a":"\\ud800"}', "a", None),
        (b"[" * 100_000, "0", None),
        (b'{"\xc3\xbc $x":1}', "ü $x", 1),
    ],
)  # fmt: skip
def test_http_field(scripts, server, body, field, value):
    """One field of a JSON body is in the signal; it is null when there is no such value, and the detail says why."""
    server.says = (200, body, {})
    seen = scripts.read("http", url=server.url, field=field)
    assert seen["signal"] == {"ok": True, "status": 200, "value": value}
    assert (seen["detail"]["error"] is None) == (value is not None or body == b'{"a":null}')


def test_http_large_field(scripts, server):
    """A large field is told by its hash, so that the reading stays small and still changes."""
    server.says = (200, json.dumps({"a": "x" * 9000}).encode(), {})
    first = scripts.signal("http", url=server.url, field="a")["value"]
    server.says = (200, json.dumps({"a": "x" * 9001}).encode(), {})
    assert first.startswith("sha256 ")
    assert scripts.signal("http", url=server.url, field="a")["value"] != first


@pytest.mark.slow
def test_http_hang(scripts, server):
    """A server that keeps dripping without an end reads as not ok, soon after the timeout."""
    server.says = ("hang", b"", {})
    began = time.monotonic()
    seen = scripts.read("http", url=server.url, timeout="1")
    assert seen["signal"] == {"ok": False, "status": None}
    assert "1 s" in seen["detail"]["error"]
    assert 0.9 < time.monotonic() - began < 8


def test_http_nobody_there(scripts, server):
    """A refused connection, an unknown host and a garbled answer are one signal; the detail tells them apart."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert scripts.signal("http", url=url) == {"ok": False, "status": None}
        assert "refused" in scripts.read("http", url=url)["detail"]["error"]
    assert scripts.signal("http", url="http://x.invalid:bad/") == {"ok": False, "status": None}


def test_http_is_not_misled_by_its_neighbours(scripts, server):
    """Sensors named like Python modules, beside the script or in the data dir, are not imported."""
    for name in ("http.py", "json.py", "signal.py"):
        (scripts.folder / name).write_text("raise SystemExit(9)")
    assert scripts.signal("http", url=server.url) == {"ok": True, "status": 200}


def test_http_without_python(scripts, server):
    """Without python3 on the PATH the sensor fails and says what it needs."""
    script = render("http", {"url": server.url})
    shell = shutil.which(scripts.shell)
    done = subprocess.run([shell, "-c", script], capture_output=True, env={"PATH": "/nonexistent"}, text=True)
    assert done.returncode == 1
    assert "needs python3" in done.stderr


# disk


def df(folder, line):
    """A df that prints this line below its heading, first on the PATH."""
    fake = folder / "df"
    fake.write_text(f"#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted on\necho '{line}'\n")
    fake.chmod(0o755)
    return {"PATH": f"{folder}:{ENV['PATH']}"}


def test_disk_of_this_machine(scripts, tmp_path):
    """The disk of the tests is read, and its figures agree with the system's."""
    place = tmp_path / "a $b 'c'"
    place.mkdir()
    detail = scripts.read("disk", path=str(place))["detail"]
    usage = os.statvfs(place)
    assert detail["free_mib"] == pytest.approx(usage.f_bavail * usage.f_frsize / 2**20, rel=0.05)
    assert 0 <= detail["used_percent"] <= 100


@pytest.mark.parametrize(
    ("line", "full", "used", "free"),
    [
        ("/dev/a 1000 890 110 89% /", False, 89, 0),
        ("/dev/a 1000 900 100 90% /", True, 90, 0),
        ("/dev/a 1000 1000 -20 100% /", True, 100, 0),
        ("//me@nas/My 5% Share 9000000000000 1 8999999999999 1% /Volumes/My 99% Share", False, 1, 8789062500),
        ("//nas/a b c 7 5% 1000 500 500 50% /a", False, 50, 0),
        ("map auto_home 4096 2048 2048 50% /home", False, 50, 2),
    ],
)
def test_disk_threshold(scripts, line, full, used, free):
    """Only crossing the threshold changes the signal; names with spaces and percent signs do not confuse it."""
    env = df(scripts.folder, line)
    seen = scripts.read("disk", env)
    assert seen["signal"] == {"full": full}
    assert (seen["detail"]["used_percent"], seen["detail"]["free_mib"]) == (used, free)
    assert scripts.read("disk", env, threshold=str(max(used, 1)))["signal"] == {"full": True}


def test_disk_cannot_sense(scripts):
    """A missing path and a disk without a size are errors that say so."""
    assert "/no where" in scripts.refusal("disk", path="/no where")
    done = scripts.run("disk", df(scripts.folder, "proc 0 0 0 - /proc"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"df says nothing about how full" in done.stderr


# command and today


@pytest.mark.parametrize(
    ("cmd", "code"),
    [("true", 0), ("exit 3", 3), ("nope-no-such", 127), ("kill -9 $$", 137), ("-x; false", 1), ("cat >&2", 0)],
)
def test_command_exit_codes(scripts, cmd, code):
    """However the command ends, its exit code is the signal; stdin is empty."""
    assert scripts.signal("command", cmd=cmd) == {"exit_code": code}


def test_command_is_run_as_written(scripts):
    """The command reaches sh exactly as it was given, newlines and quotes included."""
    cmd = "printf '%s|' 'it'\\''s' \"$((1+1))\"\nprintf '%s' \"\\$HOME\" '`x`' '@cmd@'"
    assert scripts.read("command", cmd=cmd)["detail"]["output"] == "it's|2|$HOME`x`@cmd@"


def test_command_output_wakes_only_by_its_first_line(scripts):
    """Output is detail; with lines=yes its first line, and no other, is in the signal."""
    place = scripts.folder / "out"
    place.write_text("one\n1\n")
    say = {"cmd": "cat out; exit 2"}
    assert scripts.signal("command", **say) == {"exit_code": 2}
    first = scripts.signal("command", **say, lines="yes")
    assert first == {"exit_code": 2, "first_line": "one"}
    place.write_text("one\n2\n")
    assert scripts.signal("command", **say, lines="yes") == first
    place.write_text("two\r\n2\n")
    assert scripts.signal("command", **say, lines="yes")["first_line"] == "two"
    place.write_text("")
    assert scripts.signal("command", **say, lines="yes")["first_line"] == ""
    place.write_text("ü" * 201)
    assert scripts.signal("command", **say, lines="yes")["first_line"] == "ü" * 200 + "…"


def outputs():
    """What a command may print: every single byte, broken UTF-8 of all kinds, and chance."""
    chance = random.Random(7)
    yield bytes(range(256))
    yield NASTY.encode() + b"\x00\x7f\x1b[0m"
    yield b"x \xc0\xaf \xe0\x80\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xf0\x9f\x98 \xe2\x82"
    yield "\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff".encode()
    yield "漢".encode() * 2000
    for length in (1, 2, 3, 700, 3000):
        yield bytes(chance.choice((0x22, 0x5C, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0xED, 0x80, 0x0A)) for _ in range(length))
        yield chance.randbytes(length)


@pytest.mark.parametrize("data", list(outputs()))
def test_command_quotes_any_output(scripts, data):
    """Any output is told as Python's own decoder would read its last 1000 bytes, in JSON that any parser takes."""
    (scripts.folder / "out").write_bytes(data)
    tail = data[-1000:].lstrip(bytes(range(0x80, 0xC0)))
    seen = scripts.read("command", cmd="cat out", lines="yes")
    assert seen["detail"]["output"] == tail.decode("utf-8", "replace")
    line = data[:1000].split(b"\n")[0].replace(b"\r", b"").lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")
    assert seen["signal"]["first_line"] == line[:200] + ("…" if len(line) > 200 else "")


def test_command_does_not_wait_for_its_children(scripts):
    """A background child that keeps the output open does not hold up the reading.

    Source: spec/edge-cases.md item 59.
    """
    began = time.monotonic()
    pid = scripts.read("command", cmd="sleep 30 & echo $!")["detail"]["output"]
    assert time.monotonic() - began < 8
    os.kill(int(pid), 9)


def test_command_leaves_no_file(scripts, tmp_path):
    """The captured output is gone afterwards, even when the sensor is killed in the middle."""
    temp = tmp_path / "temp"
    temp.mkdir()
    scripts.read("command", {"TMPDIR": str(temp)}, cmd="echo x")
    scripts.run("command", {"TMPDIR": str(temp)}, cmd="kill -9 $PPID")
    assert list(temp.iterdir()) == []


def test_today(scripts):
    """The date is local: the signal follows TZ, and the weekday fits it."""
    for zone in ("UTC", "Pacific/Kiritimati"):
        before = subprocess.run(["date", "+%Y-%m-%d"], env=ENV | {"TZ": zone}, capture_output=True, text=True).stdout
        seen = scripts.read("today", {"TZ": zone})
        after = subprocess.run(["date", "+%Y-%m-%d"], env=ENV | {"TZ": zone}, capture_output=True, text=True).stdout
        assert seen["signal"]["date"] in (before.strip(), after.strip())
        day = time.strptime(seen["signal"]["date"], "%Y-%m-%d").tm_wday
        assert seen["detail"]["weekday"] == calendar.day_name[day]
