"""Every command the documentation shows is run, page by page, in an empty home."""

import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PULSE = re.compile(r"^looop pulse$", re.MULTILINE)
IN_BACKGROUND = "looop pulse > pulse.log & sleep 1; kill %1; wait %1; grep -q 'pulse stopped' pulse.log"
SLOW = re.compile(r"^(git clone|scripts/).*$", re.MULTILINE)


def pages() -> list[str]:
    found = ["README.md"]
    for folder, _, names in os.walk(os.path.join(ROOT, "docs")):
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names if name.endswith(".md")]
    return sorted(found)


def script_of(page: str) -> str:
    """The commands of one page as one script. What installs or tests looop itself has tests of its own."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        blocks = BLOCK.findall(file.read())
    return PULSE.sub(IN_BACKGROUND, SLOW.sub(":", "\n".join(blocks)))


@pytest.mark.parametrize("page", [page for page in pages() if script_of(page).strip()])
def test_the_commands_of_the_page_work(tmp_path, page):
    """Each page's commands succeed one after the other in a fresh home, with a repository at ~/app and nothing set."""
    home = tmp_path / "home"
    subprocess.run(["git", "init", "-q", str(home / "app")], check=True)
    env = {
        "HOME": str(home),
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script_of(page)],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_links_between_pages_lead_somewhere():
    """A relative link of a page names a file that is there."""
    for page in pages():
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read()):
                assert os.path.exists(os.path.join(ROOT, os.path.dirname(page), target)), f"{page} -> {target}"


def test_every_state_file_is_documented():
    """docs/files.md names every file the loop keeps in the data dir."""
    from looop.state import guards

    with open(os.path.join(ROOT, "docs", "files.md"), encoding="utf-8") as file:
        text = file.read()
    keys = [value for name, value in vars(guards).items() if name.isupper() and isinstance(value, str)]
    assert keys
    assert [key for key in keys if key not in text] == []


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git to list the tree")
def test_nothing_in_the_tree_names_this_machine():
    """No path of one machine and no registry host is committed."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        path = os.path.join(ROOT, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
            assert os.path.dirname(ROOT) + "/main" not in text, name
            assert "--index-" + "url" not in text.replace("--no-emit-index-url", ""), name
