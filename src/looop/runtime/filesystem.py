"""Which file system a folder is on, and whether this machine's kernel hears of what others change there.

Events are raised by this kernel for what goes through it. Where files come over a network, or out of a host into its
guest, others change them without a word. Source: design §3 row 6; proc_pid_mountinfo(5).
"""

import os
import re

_REMOTE = {
    *(
        "9p",
        "acfs",
        "afs",
        "auristorfs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "drvfs",
        "gfs",
        "gfs2",
        "glusterfs",
    ),
    *("gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "smb2", "smb3", "smbfs"),
    *("vboxsf", "virtiofs", "vmhgfs"),
}
_LOCAL_FUSE = {"fuseblk", "fuse.fuse-overlayfs"}  # a disk, and the root of a container
_ESCAPED = re.compile(r"\\([0-7]{3})")


def mount_of(path: str, mountinfo: str) -> tuple[str, str] | None:
    """Where the file system that holds an absolute path is mounted, and its type; None where that is not told.

    Of two mounts on one folder the later one hides the other.
    """
    found: tuple[str, str] | None = None
    for line in mountinfo.split("\n"):
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(" "), tail.split(" ")[0]
        if len(fields) < 6 or not kind:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if _holds(point, path) and (found is None or len(point) >= len(found[0])):
            found = point, kind
    return found


def is_remote(kind: str) -> bool:
    """Whether others may change files of this type without an event here. What is unknown to us is taken for local."""
    return kind in _REMOTE or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def without_events(folder: str, mountinfo: str = "/proc/self/mountinfo") -> str:
    """Why changes in this folder are not all reported, in some words; empty where they are, or nobody can tell."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
            mount = mount_of(os.path.realpath(folder), file.read())
    except OSError:
        return ""
    return f"{folder} is on {mount[1]}, where others change them unreported" if mount and is_remote(mount[1]) else ""


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point if point.endswith("/") else f"{point}/")
