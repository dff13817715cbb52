"""Which file systems raise events for all that changes on them, read from what Linux says of its mounts."""

from pathlib import Path

import pytest

from looop.runtime.filesystem import is_remote, mount_of, without_events

MOUNTS = r"""
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
30 22 0:26 / /tmp rw,nosuid,nodev shared:13 - tmpfs tmpfs rw,size=8161604k
31 22 0:27 / /home rw,relatime shared:14 - btrfs /dev/sda1 rw,subvol=/@home
40 31 0:45 / /home/ann/net rw,relatime shared:20 - nfs4 filer:/export rw,vers=4.2,proto=tcp
41 40 0:46 /sub /home/ann/net/local rw - ext4 /dev/sdb1 rw
42 31 0:47 / /home/ann/My\040Share\134x rw,relatime shared:21 master:3 - cifs //srv/share rw,vers=3.1.1
43 31 0:48 / /home/ann/ssh rw,nosuid,nodev - fuse.sshfs ann@host: rw,user_id=1000
44 22 0:49 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\
45 22 0:50 / /mnt/over rw - ext4 /dev/sdc1 rw
46 22 0:51 / /mnt/over rw - ceph mon:/ rw
47 22 8:1 / /mnt/stick rw - fuseblk /dev/sdd1 rw
a line that is none
48 22 0:52 / /mnt/cut rw
""".strip()

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse", "fuse.sshfs", "fuse.rclone", "afs", "ceph", "lustre")
SHARED = ("glusterfs", "fuse.glusterfs", "virtiofs", "vboxsf", "prl_fs", "drvfs", "vmhgfs", "fuse.vmhgfs-fuse")
LOCAL = ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "apfs", "fuseblk", "bcachefs", "something-new")


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/", "/", "ext4"),
        ("/var/lib/looop", "/", "ext4"),
        ("/home", "/home", "btrfs"),
        ("/homely/x", "/", "ext4"),
        ("/home/ann/net", "/home/ann/net", "nfs4"),
        ("/home/ann/net/work/looop", "/home/ann/net", "nfs4"),
        ("/home/ann/network", "/home", "btrfs"),
        ("/home/ann/net/local/looop", "/home/ann/net/local", "ext4"),
        ("/home/ann/My Share\\x/looop", "/home/ann/My Share\\x", "cifs"),
        ("/home/ann/ssh/d", "/home/ann/ssh", "fuse.sshfs"),
        ("/mnt/c/Users/ann", "/mnt/c", "9p"),
        ("/mnt/over/d", "/mnt/over", "ceph"),
        ("/mnt/cut/d", "/", "ext4"),
    ],
)
def test_the_mount_of_a_folder(path: str, point: str, kind: str) -> None:
    """The longest mount point above a folder counts, of two on one point the later; blanks are written as octal.

    Source: proc_pid_mountinfo(5).
    """
    assert mount_of(path, MOUNTS) == (point, kind)


def test_nothing_is_found_where_nothing_is_told() -> None:
    """Without a mount that holds the folder its type is not known."""
    assert mount_of("/data", "") is None
    assert mount_of("/data", "garbage\n\n - \n") is None


@pytest.mark.parametrize("kind", NETWORK)
def test_others_change_these_unreported(kind: str) -> None:
    """Network file systems and those in a program's hand report only what this machine changes. Source: design §3."""
    assert is_remote(kind)


@pytest.mark.parametrize("kind", SHARED)
def test_a_host_changes_these_unreported(kind: str) -> None:
    """Folders that a host shares with its guest report only what the guest changes. Source: design §3 row 6."""
    assert is_remote(kind)


@pytest.mark.parametrize("kind", LOCAL)
def test_these_report_everything(kind: str) -> None:
    """File systems of this machine report all that changes, and one nobody has heard of is taken for such."""
    assert not is_remote(kind)


def test_the_reason_is_said(tmp_path: Path) -> None:
    """For a folder on a network disk, also behind a link and not made yet, there is a sentence; else none."""
    table = tmp_path / "mountinfo"
    (tmp_path / "net").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "net")
    table.write_text(f"1 1 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {tmp_path / 'net'} rw - nfs4 filer:/x rw\n")
    for folder in ("net", "net/new/one", "link/data"):
        assert "is on nfs4" in without_events(str(tmp_path / folder), str(table))
    assert without_events(str(tmp_path / "other"), str(table)) == ""
    assert without_events(str(tmp_path / "net"), str(tmp_path / "no-proc")) == ""
