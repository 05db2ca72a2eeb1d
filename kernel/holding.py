"""How much memory a cage holds, counted from outside through its own /proc and its writable folders.

No control group is needed for it, and two things stay out of its sight: anonymous memory that was shared and then
unmapped but for a page, which no file of /proc tells, and what lies in pipes (some 100 MB at most). The count is
no snapshot: while it goes on, processes start, end and share pages anew, so one that is too high is to be taken again
before anybody is ended for it.
"""

import os
from collections.abc import Mapping
from functools import cache

SCRATCH = ("tmp", "dev/shm")
_WRITABLE = ("work", *SCRATCH)
_INODE = 1024  # bytes of kernel memory that an empty file takes, rounded
_SEND_BUFFER = "/proc/sys/net/core/wmem_default"
_USUAL_SEND_BUFFER = 212_992  # where the machine does not say


def over(folders: Mapping[str, int], limit: int) -> bool:
    """Whether a cage holds more than ``limit`` bytes; ``folders`` are descriptors of its proc, work, tmp, dev/shm.

    What counts: resident memory and page tables of its processes, its scratch folders, its files' inodes, its
    sockets. Resident sizes count a shared page once for each process, and a mapped scratch file twice; only when
    they are too much, the exact share of each process is read, which costs more.
    """
    proc = folders["proc"]
    held = _in_folders(folders) + _in_sockets(proc)
    resident: dict[str, int] = {}
    for pid in filter(str.isdigit, os.listdir(proc)):
        state = _table(_proc(proc, pid, "status"))
        resident[pid] = state.get("VmRSS:", 0)
        held += state.get("VmPTE:", 0)
    if held + sum(resident.values()) <= limit:
        return False
    devices = {_device(folders[name]) for name in _WRITABLE}
    return held + sum(_share(proc, pid, most, devices) for pid, most in resident.items()) > limit


def _in_folders(folders: Mapping[str, int]) -> int:
    """Blocks of the scratch folders, inodes of all; the blocks of /work have a limit of their own."""
    held = 0
    for name in _WRITABLE:
        state = os.fstatvfs(folders[name])
        held += (state.f_files - state.f_ffree) * _INODE
        if name in SCRATCH:
            held += (state.f_blocks - state.f_bfree) * state.f_frsize
    return held


def _in_sockets(proc: int) -> int:
    """The most that the cage's sockets can hold, also those in flight or closed with something unread.

    A sender may pass its buffer by one message, itself at most a buffer long; the filter keeps buffers as they are.
    """
    words = _proc(proc, "1", "net/sockstat").split(maxsplit=3)  # "sockets: used N"
    return int(words[2]) * 2 * _send_buffer() if words else 0


@cache
def _send_buffer() -> int:
    try:
        with open(_SEND_BUFFER, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return _USUAL_SEND_BUFFER


def _share(proc: int, pid: str, most: int, devices: set[str]) -> int:
    """A process's part of the memory it shares (Pss in proc_pid_smaps_rollup(5)), none of it in the cage's folders.

    One that has ended holds nothing any more; one that cannot be looked into counts with all it may have.
    """
    try:
        sizes = _table(_proc(proc, pid, "smaps_rollup"))
        shared = sizes.get("Pss_Shmem:", 0)
        if shared:
            shared = max(0, shared - _mapped(_proc(proc, pid, "smaps"), devices))
    except PermissionError:
        return most
    return sizes.get("Pss_Anon:", 0) + shared


def _mapped(smaps: str, devices: set[str]) -> int:
    """The share in mappings of files on ``devices``, without the pages a private mapping has copied."""
    total = share = 0
    ours = False
    for words in map(str.split, smaps.splitlines()):
        if not words[0].endswith(":"):  # the head of a mapping: addresses, rights, offset, device, inode, path
            ours = words[3] in devices
        elif ours and words[0] == "Pss:":
            share = int(words[1]) * 1024
        elif ours and words[0] == "Anonymous:":
            total += max(0, share - int(words[1]) * 1024)
    return total


def _device(folder: int) -> str:
    """The file system of an open folder, as smaps writes it."""
    device = os.fstat(folder).st_dev
    return f"{os.major(device):02x}:{os.minor(device):02x}"


def _table(text: str) -> dict[str, int]:
    """Bytes by name, from rows like "VmRSS:  8144 kB"."""
    rows = (row.split() for row in text.splitlines() if row.endswith(" kB"))
    return {row[0]: int(row[1]) * 1024 for row in rows}


def _proc(proc: int, pid: str, name: str) -> str:
    """A file of the cage's /proc, empty when its process has ended; raises `PermissionError` when it is hidden."""
    try:
        fd = os.open(f"{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        with open(fd, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
