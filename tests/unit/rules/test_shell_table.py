"""The tables of the tripwire, entry by entry: each entry is caught, and its harmless neighbour passes."""

import pytest

from looop.rules import shell_table
from looop.rules.shell import FETCHED, PIPED, tripped
from looop.rules.shell_table import BARE_FORCE

RULES = [
    ("sudo id", "type sudo"),
    ("sudoedit /etc/hosts", "echo sudoedit"),
    ("doas id", "man doas"),
    ("pkexec id", "which pkexec"),
    ("shutdown -h now", "man shutdown"),
    ("reboot", "last reboot"),
    ("halt", "echo halt"),
    ("poweroff", "grep poweroff log"),
    ("systemctl reboot", "systemctl restart app"),
    ("systemctl kexec", "systemctl"),
    ("systemctl --force poweroff", "systemctl status reboot"),
    ("init 0", "init q"),
    ("telinit 6", "telinit q"),
    ("rm -r /", "rm -- -r /"),
    ("rm -R *", "rm -f *"),
    ("rm --recursive ~", "rm -rf '~'/*"),
    ("rm -r $HOME", 'rm -rf "~"'),
    ("rm -r > log /", "rm > log x"),
    ("chmod -R 777 /", "chmod 777 /"),
    ("chown --recursive me ~", "chown me ~"),
    ("chgrp -R staff /usr", "chgrp -R staff ./usr"),
    ("chflags -R nouchg /", "chflags nouchg /"),
    ("mv ~ x", "mv -f x ~"),
    ("mv -S .bak --target-directory /tmp ~", "mv -t ~ --suffix .bak x"),
    ("mv img /dev/sda", "mv /dev/hd.img img"),
    ("cp img /dev/sda", "cp /dev/sda img"),
    ("rsync --delete empty/ ~", "rsync -a --delete ~ backup/"),
    ("rsync -a --delete-after empty/ /etc", "rsync -a empty/ /etc"),
    ("find / -delete", "find / -name x"),
    ("find -delete", "find -L build -delete"),
    ("find . ! -name x -delete", "find . -type l ! -name x -delete"),
    ("find . -name x -or -type f -delete", "find . -name x -or -name y -delete"),
    ("find . -okdir sudo rm {} \\;", 'find "$DIR" -name + -print'),
    ("kill -9 -1", "kill -9 -12"),
    ("kill -s TERM -1", "kill -s 1 1234"),
    ("kill -n 9 -- -1", "kill -n 1 1234"),
    ("killall5", "grep killall5 log"),
    ("pkill .", "pkill node"),
    ("pkill --euid me", "pkill --euid me node"),
    ("killall -u me", "killall -u me -s TERM node"),
    ("crontab -u me -r", "crontab -u me -l"),
    ("git push -f", "git push"),
    ("git push origin +@", "git push origin @"),
    ("git push -f origin +HEAD", "git push origin HEAD"),
    ("git --git-dir x push -f", "git --git-dir x pull -f"),
    ("git push --delete origin main", "git push --delete origin feature"),
    ("git push -f --repo url origin main", "git push -f --repo url origin feature"),
    ("dd if=x of=/dev/sda", "dd if=/dev/sda of=x"),
    ("tee /dev/sda log", "tee /dev/null log"),
    ("shred /dev/sda", "shred disk.img"),
    ("truncate -s 0 /dev/sda", "truncate -s 0 disk.img"),
    ("blkdiscard /dev/sda", "blkdiscard --help"),
    ("mkswap /dev/sda2", "mkswap swapfile"),
    ("wipefs -a /dev/sda", "wipefs /dev/sda"),
    ("wipefs --all /dev/sda", "wipefs --output UUID /dev/sda"),
    ("diskutil eraseDisk JHFS+ x disk2", "diskutil list"),
    ("diskutil partitionDisk disk2", "diskutil info disk2"),
    ("diskutil zeroDisk disk2", "diskutil mount disk2"),
    ("diskutil randomDisk disk2", "diskutil verifyDisk disk2"),
    ("diskutil secureErase 0 disk2", "diskutil eject disk2"),
    ("diskutil apfs deleteContainer disk2", "diskutil apfs list"),
    ("parted /dev/sda mklabel gpt", "parted /dev/sda print"),
    ("parted /dev/sda mktable gpt", "parted -l"),
    ("parted /dev/sda mkpart x", "parted --help"),
    ("parted /dev/sda rm 1", "parted /dev/sda unit s print"),
    ("sgdisk -Z /dev/sda", "sgdisk -p /dev/sda"),
    ("sgdisk -o /dev/sda", "sgdisk --verify /dev/sda"),
    ("sgdisk --zap-all /dev/sda", "sgdisk --print /dev/sda"),
    ("sgdisk --clear /dev/sda", "sgdisk -i 1 /dev/sda"),
    ("cryptsetup luksFormat /dev/sda", "cryptsetup luksDump /dev/sda"),
    ("cryptsetup luksErase /dev/sda", "cryptsetup luksOpen /dev/sda x"),
    ("cryptsetup erase /dev/sda", "cryptsetup status x"),
]

OPENERS = [
    ("eval sudo x", "eval echo sudo"),
    ("watch sudo x", "watch grep sudo f"),
    ("watch -n 5 sudo x", "watch -n 5 date"),
    ("watch --interval 5 'sudo x'", "watch --interval 5 'date'"),
    ("watch --equexit 5 -q 5 sudo x", "watch -q 5 date"),
    ("su root -c 'sudo x'", "su root -c 'ls'"),
    ("su --command 'sudo x'", "su --command 'ls'"),
    ("su -lc 'sudo x'", "su -l sudo"),
    ("runuser me -c 'sudo x'", "runuser me -c 'ls'"),
    ("runuser --session-command 'sudo x'", "runuser --session-command 'ls'"),
    ("script -c 'sudo x'", "script -c 'ls'"),
    ("script -qec 'sudo x' /dev/null", "script -qec 'ls' /dev/null"),
    ("flock l -c 'sudo x'", "flock l -c 'make'"),
    ("flock l --command 'sudo x'", "flock 9"),
    ("flock l tar -c x; sudo x", 'flock l tar -xzc "$X"'),
    ("env -S 'sudo x'", "env -S 'make x'"),
    ("env --split-string='sudo x' y", "env --split-string='make x' sudo"),
    ("env -iS 'A=1 sudo x'", "env -vS 'A=1 make' sudo"),
    ("coproc sudo x", "coproc make"),
    ("coproc N { sudo x; }", "coproc grep sudo x"),
    ("trap 'sudo x' EXIT", 'trap cleanup "$SIGNAL"'),
    ("find x -exec sudo {} \\;", "find x -exec grep sudo {} \\;"),
    ("find x -execdir sudo {} +", "find x -execdir grep sudo {} +"),
    ("find x -ok sudo {} \\;", "find x -ok grep sudo {} \\;"),
]

WRAPPED = {
    "env": "-u --unset -C --chdir -P",
    "xargs": "-I -J -n -P -L -d -a -s -S -E -R --max-args --max-procs --max-chars --delimiter --arg-file",
    "caffeinate": "-t -w",
    "time": "-f -o --format --output",
    "nice": "-n --adjustment",
    "ionice": "-c -n --class --classdata",
    "timeout": "-s -k --signal --kill-after",
    "stdbuf": "-i -o -e --input --output --error",
    "exec": "-a",
    "flock": "-w --wait --timeout -E --conflict-exit-code",
    **dict.fromkeys(("command", "nohup", "setsid", "builtin", "busybox", "toybox"), ""),
}
LED = {"timeout": "5", "flock": "/tmp/l"}
RESERVED = [
    "time { sudo x; }",
    "time ! sudo x",
    "time if sudo x; then y; fi",
    "time if x; then sudo y; fi",
    "time if x; then y; else sudo z; fi",
    "time if x; then y; elif sudo z; then a; fi",
    "time while sudo x; do y; done",
    "time until sudo x; do y; done",
    "time for i in x; do sudo y; done",
]

INTERPRETERS = [
    "python",
    "python3",
    "python3.11",
    "perl",
    "ruby",
    "node",
    "nodejs",
    "php",
    "lua",
    "deno",
    "bun",
    "pwsh",
]
WITH_CODE = [
    "python3 -c 'x'", "python3 -m json.tool", "perl -e 'x'", "perl -E 'x'", "perl -ne 'x'", "node -p 'x'",
    "node --eval 'x'", "node --print 'x'", "php -r 'x'", "ruby -ne 'x'",
]  # fmt: skip
DISKS = ["sda", "nvme0n1", "disk2", "rdisk2", "hda", "vda", "xvda", "mmcblk0"]
FOLDERS = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "nix", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/local", "usr/share", "var", "var/lib",
    "Applications", "Library", "System", "Users", "Volumes", "private", "private/etc", "private/var", "e*",
    "{bin,etc}",
]  # fmt: skip
KEPT = ["Desktop", "Documents", "Library", "Pictures", ".gnupg", ".ssh"]
HERE = ["*", ".", "..", "~+", "$PWD", "$OLDPWD", "${PWD}", "$LOOOP_DATA_DIR", "$(pwd)", "`pwd`", ".[!.]*"]
BY_NAME = ["name", "iname", "path", "ipath", "wholename", "iwholename", "regex", "iregex", "inum", "samefile"]
BY_STATE = [
    "-empty", "-atime +1", "-ctime +1", "-mtime +1", "-amin 5", "-cmin 5", "-mmin 5", "-newer x", "-newermt x",
    "-size 0", "-user x", "-group x", "-nouser", "-nogroup", "-perm 0", "-xtype l", "-type l", "-type p", "-type s",
]  # fmt: skip
REMOVES = ["-delete"] + [f"-exec {program} {{}} +" for program in ("rm", "rmdir", "shred", "truncate", "unlink")]
CHANGES = [f"-{run} {program} {{}} +" for run in ("exec", "execdir") for program in ("chmod", "chown", "chgrp", "mv")]


def both(denied: str, harmless: str) -> tuple[bool, bool]:
    """Whether one is caught and the other passes."""
    return tripped(denied) is not None, tripped(harmless) is None


@pytest.mark.parametrize(("denied", "harmless"), RULES + OPENERS)
def test_every_entry_is_caught_and_its_neighbour_passes(denied: str, harmless: str) -> None:
    """What a program must not be asked for is refused, what it is asked for every day is not. Source: docs/safety.md"""
    assert both(denied, harmless) == (True, True)


def test_every_entry_has_an_example() -> None:
    """A program that enters the tables is tried here."""
    tried = {denied.split()[0] for denied, _ in RULES + OPENERS} | {*WRAPPED} | shell_table.SHELLS
    tried |= {command.split()[1] for command in RESERVED} | {"then", "else", "elif", "do"}
    table = {*shell_table._RULES, *shell_table._OPENERS, *shell_table._WRAPPERS}
    assert table - tried == set()


@pytest.mark.parametrize("program", ["mkfs", "mkfs.ext4", "newfs_apfs", "mke2fs"])
def test_nothing_formats_a_disk(program: str) -> None:
    """Every program that makes a file system is refused, whatever it is told. Source: spec/beat.md §11."""
    assert tripped(f"{program} x") == f"`{program}` formats a disk"
    assert both(f"/sbin/{program}", f"man {program}") == (True, True)


@pytest.mark.parametrize("program", WRAPPED)
def test_a_wrapper_hides_nothing(program: str) -> None:
    """What runs another command is seen through, also behind each option that takes a value.

    Source: spec/edge-cases.md item 126.
    """
    led = LED.get(program, "")
    assert both(f"{program} {led} sudo x", f"{program} {led} make sudo") == (True, True)
    for option in WRAPPED[program].split():
        assert both(f"{program} {option} 1 {led} sudo x", f"{program} {option} 1 {led} make sudo") == (True, True)
        assert both(f"{program} {option}=1 {led} sudo x", f"{program} {option}=1 {led} make sudo") == (True, True)


@pytest.mark.parametrize("option", ["--replace", "--max-lines", "-i", "-l", "-r", "-t", "-0"])
def test_an_option_of_xargs_without_a_value_takes_no_word(option: str) -> None:
    """The word after it is the command that is run."""
    assert both(f"xargs {option} sudo rm", f"xargs {option} grep sudo") == (True, True)


@pytest.mark.parametrize("command", RESERVED)
def test_a_timed_block_hides_nothing(command: str) -> None:
    """What stands in a block is seen behind `time` too. Source: spec/edge-cases.md item 126."""
    assert both(command, command.replace("sudo", "grep sudo")) == (True, True)


@pytest.mark.parametrize("command", ["time [ -f x ]", "time -p make", "xargs", "ls | xargs", "exec 3>&1", "nice"])
def test_a_wrapper_with_nothing_to_run_is_harmless(command: str) -> None:
    """A test, or no command at all, behind a wrapper is no danger."""
    assert tripped(command) is None


@pytest.mark.parametrize("shell", sorted(shell_table.SHELLS))
def test_no_shell_runs_what_nobody_has_read(shell: str) -> None:
    """A download, or a text nobody can tell, is piped into no shell; a file and a text that is seen may run.

    Source: spec/beat.md §11.
    """
    assert tripped(f"curl u | {shell}") == tripped(f"wget -qO- u | {shell}") == FETCHED
    assert tripped(f"gen | {shell}") == tripped(f"gen | {shell} /dev/fd/0") == PIPED
    assert both(f"echo sudo x | {shell}", f"echo ls | {shell}") == (True, True)
    assert both(f"{shell} <(gen)", f"{shell} run.sh <(gen)") == (True, True)
    assert both(f"{shell} -c 'sudo x'", f"{shell} run.sh sudo x < input") == (True, True)


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ("gen | bash -o pipefail", "gen | bash -o pipefail run.sh"),
        ("gen | bash +O x --rcfile y --init-file z", "gen | bash --rcfile y run.sh"),
        ("gen | sh -e", "gen | sh -c 'grep x'"),
        ("gen | sh -s a", "gen | fish --command 'grep x'"),
        ("bash -euo pipefail <(curl u)", "bash -euo pipefail run.sh"),
        ("bash +e -c 'sudo x'", "bash +e run.sh"),
        ("fish --command 'sudo x'", "fish --command 'make'"),
        ("sh < <(gen)", "sh < run.sh > log"),
        ("sh < <(gen) > log", "bash > log 2>&1 < run.sh"),
    ],
)
def test_options_of_shells_are_told_from_scripts(denied: str, harmless: str) -> None:
    """A shell that is given a script, or text, of its own does not run its stdin. Source: spec/beat.md §11."""
    assert both(denied, harmless) == (True, True)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_no_interpreter_runs_a_download(interpreter: str) -> None:
    """A download is piped into no interpreter, unless it is given code of its own. Source: spec/beat.md §11."""
    for spelling in ("", "-", "- a b", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-u"):
        assert tripped(f"curl u | {interpreter} {spelling}") == FETCHED, spelling
    assert tripped(f"curl u | {interpreter} run.x") is None
    assert tripped(f"gen | {interpreter}") is None


@pytest.mark.parametrize("command", WITH_CODE)
def test_a_download_may_be_read_by_code_that_is_seen(command: str) -> None:
    """What is given code, or a module, takes the download as data. Source: spec/edge-cases.md item 127."""
    assert tripped(f"curl u | {command}") is None


@pytest.mark.parametrize("disk", DISKS)
def test_no_disk_is_written_to(disk: str) -> None:
    """Each name a disk goes by is known, wherever it stands; reading it is harmless. Source: spec/beat.md §11."""
    assert both(f"echo x > /dev/{disk}", f"cat < /dev/{disk}") == (True, True)
    assert both(f"echo x >> //dev//{disk}1", f"echo x > dev/{disk}") == (True, True)
    assert both(f"dd if=x of=/dev/{disk}", f"dd if=/dev/{disk} of=x") == (True, True)
    assert tripped(f"cat x 2> /dev/{disk}") == f"the redirection onto /dev/{disk} overwrites a disk"


@pytest.mark.parametrize("name", ["null", "zero", "stdout", "stderr"])
def test_what_is_no_disk_may_be_written_to(name: str) -> None:
    """Of what lives below /dev a few swallow anything; what merely begins like them does not.

    Source: spec/edge-cases.md item 127.
    """
    assert both(f"dd if=x of=/dev/{name}x", f"dd if=x of=/dev/{name}") == (True, True)
    assert tripped(f"echo x > /dev/{name}") is None


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_system_folder_is_swept(folder: str) -> None:
    """Each folder the system lives in is known; one of that name elsewhere is a folder. Source: docs/safety.md."""
    for act in ("rm -rf", "chmod -R 777", "mv -t x", "rsync -a --delete x"):
        assert both(f"{act} /{folder}", f"{act} build/{folder}") == (True, True), act
    assert both(f"find /{folder} -delete", f"find build/{folder} -delete") == (True, True)


@pytest.mark.parametrize("folder", KEPT)
def test_what_a_home_keeps_is_not_removed(folder: str) -> None:
    """What nothing can rebuild is not removed as a whole; its mode may change. Source: docs/safety.md."""
    for home in ("~", "$HOME", "${HOME}", "/home/me", "/Users/me"):
        assert both(f"rm -rf {home}/{folder}", f"rm -rf {home}/{folder}/old") == (True, True)
        assert both(f"find {home}/{folder} -delete", f"chmod -R go-rwx {home}/{folder}") == (True, True)


@pytest.mark.parametrize("place", HERE)
def test_wherever_it_happens_to_run_is_not_cleared(place: str) -> None:
    """A command that does not say which folder it clears is refused; a part of it is named. Source: docs/safety.md."""
    assert "wherever it happens to run" in (tripped(f"rm -rf {place}") or "")
    assert both(f"rm -rf {place}/*", f"chmod -R u+w {place}") == (True, True)


@pytest.mark.parametrize("test", BY_NAME)
def test_a_find_by_name_may_remove_anywhere_but_at_the_root(test: str) -> None:
    """What is named before it is removed is no sweep, unless it is looked for everywhere. Source: docs/safety.md."""
    assert both(f"find / -{test} x -delete", f"find ~ -{test} x -delete") == (True, True)
    assert both(f"find . -{test} '*' -delete", f"find . -{test} '*.x' -delete") == (True, True)
    assert both(f"find . -delete -{test} x", f"find . -type f -{test} x -delete") == (True, True)


@pytest.mark.parametrize("test", BY_STATE)
def test_a_find_by_state_may_remove_only_where_it_runs(test: str) -> None:
    """Old, empty or foreign files may go from here, not from a home. Source: docs/safety.md."""
    assert both(f"find ~ {test} -delete", f"find . {test} -delete") == (True, True)


@pytest.mark.parametrize("act", REMOVES)
def test_a_find_removes_no_place(act: str) -> None:
    """Each program that removes what `find` finds is known. Source: docs/safety.md."""
    assert both(f"find . {act}", f"find build {act}") == (True, True)
    assert tripped(f"find ~ {act}") == "`find ~` may remove everything below ~"


@pytest.mark.parametrize("act", CHANGES)
def test_a_find_changes_no_large_place(act: str) -> None:
    """Each program that changes or moves what `find` finds is known; here it may. Source: docs/safety.md."""
    assert both(f"find ~ {act}", f"find . {act}") == (True, True)
    assert tripped(f"find / {act}") == "`find /` may change everything below /"


@pytest.mark.parametrize(
    ("denied", "harmless"),
    [
        ("find . | xargs rm", "find build | xargs rm"),
        ("find ~ | xargs chmod 644", "find ~ | xargs grep chmod"),
        ("ls | xargs rm -r", "ls *.o | xargs rm -r"),
        ("ls -t | xargs rm -r", "ls | xargs rm"),
    ],
)
def test_what_a_pipeline_names_is_judged_as_a_whole(denied: str, harmless: str) -> None:
    """`xargs` does to all names what it is told, so the names are looked at. Source: docs/safety.md."""
    assert both(denied, harmless) == (True, True)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("sudo -u me id", "`sudo` asks for another user's rights, and nobody is here to grant them"),
        ("systemctl reboot now", "`systemctl reboot` takes the machine down"),
        ("rm --recursive --force /", "`rm -rf /` removes everything below /"),
        ("cp img /dev/sda", "`cp /dev/sda` overwrites a disk"),
        ("dd if=x of=/dev/sda", "`dd of=/dev/sda` overwrites a device"),
        ("wipefs -a /dev/sda", "`wipefs -a` erases a disk"),
        ("pkill -9 .", "`pkill .` ends every process it can reach"),
        ("killall -u me", "`killall -u` ends every process it can reach"),
        ("killall5 -9", "`killall5` ends every process it can reach"),
        ("git push -f origin HEAD:main", "`git push` with force onto main overwrites the history others build on"),
        ("git push --force origin HEAD", BARE_FORCE),
    ],
)
def test_a_refusal_names_the_command_and_what_it_would_do(command: str, reason: str) -> None:
    """The one who reads it knows which part of the command is meant, and why. Source: spec/beat.md §11."""
    assert tripped(command) == reason
