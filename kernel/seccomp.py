"""The system call filter of the sandbox, assembled to classic BPF; bubblewrap loads it by descriptor.

The namespaces already take the world away; the filter takes away the parts of the kernel that no
namespace covers (kernel keys, io_uring, AF_VSOCK, performance counters) and the calls that would build
a new namespace, watch another process, or hold memory that no limit counts. Three rules:

1. a call of another architecture (32-bit entry, x32) ends the process;
2. a call newer than `NEWEST` does not exist (ENOSYS), so a later kernel opens nothing new;
3. the calls named below fail, the ones in `_argument_rules` by their arguments; all others are allowed.

Sources: seccomp(2), linux/bpf_common.h, linux/seccomp.h, and for the numbers the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import errno
import platform
import struct
from collections.abc import Iterable

from .errors import Unavailable

NEWEST = 449  # futex_waitv (Linux 5.16): from 424 on, numbers are the same on every architecture

# AUDIT_ARCH_* of linux/audit.h, and the column of each machine in the tables below
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Refused with EPERM: (x86_64, aarch64), None where the architecture has no such call.
_FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # namespaces and mounts (clone is checked by its flags)
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # kernel keys, which know no namespace
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # observing and programming the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "lookup_dcookie": (212, 18),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "syslog": (103, 116),
    # administration of the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "vhangup": (153, 58), "nfsservctl": (180, 42), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "uselib": (134, None), "ustat": (136, None),
    "sysfs": (139, None), "_sysctl": (156, None), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # placement of memory on the machine's nodes
    "mbind": (237, 235), "set_mempolicy": (238, 237), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip

# Refused with ENOSYS: programs know these may be missing and fall back to something plainer.
_ABSENT: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),  # its flags lie in memory, out of a filter's sight; libraries then use clone
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # memory that belongs to no process, so that no limit of ours would count it
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip

_CLONE = (56, 220)
_SOCKET = (41, 198)
_SOCKETPAIR = (53, 199)
_IOCTL = (16, 29)
_PERSONALITY = (135, 92)
_SETSOCKOPT = (54, 208)

_NEW_NAMESPACES = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_AF_UNIX = 1
_TERMINAL_IOCTLS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD: type into or reshape a terminal
_SEND_BUFFERS = (7, 32)  # SO_SNDBUF, SO_SNDBUFFORCE: how much a socket may hold
_PLAIN_PERSONALITIES = (0, 0xFFFF_FFFF)  # PER_LINUX, and the question which one is set

# BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_{JEQ,JGE,JSET}|BPF_K, BPF_RET|BPF_K
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000  # SECCOMP_RET_{ALLOW,KILL_PROCESS,ERRNO}
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

Code = list[tuple[int, int, int, int]]  # (operation, jump if true, jump if false, operand)


def program(machine: str | None = None) -> bytes:
    """The filter for ``machine`` (as `platform.machine` names it; default: this one), as sock_filter structs.

    Raises `Unavailable` for a machine without a table here.
    """
    machine = machine or platform.machine()
    if machine not in _MACHINES:
        raise Unavailable(f"no system call filter for {machine}", hint=f"known: {', '.join(_MACHINES)}")
    arch, column = _MACHINES[machine]
    code: Code = [
        (_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, arch), (_RET, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_JGE, 0, 1, 0x4000_0000), (_RET, 0, 0, _KILL),
        (_JGE, 0, 1, NEWEST + 1), (_RET, 0, 0, _FAIL | errno.ENOSYS),
    ]  # fmt: skip
    for table, error in ((_FORBIDDEN, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                code += [(_JEQ, 0, 1, number), (_RET, 0, 0, _FAIL | error)]
    code += _argument_rules(column)
    code.append((_RET, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _argument_rules(column: int) -> Code:
    """Calls that are needed, but not with every argument.

    An argument is compared by its lower 32 bits: the kernel itself reads these arguments as int, or
    (the flags of clone) gives the upper bits no meaning.
    """
    family = _only([_AF_UNIX], errno.EAFNOSUPPORT)
    return [
        *_on(_CLONE[column], 0, [(_JSET, 0, 1, _NEW_NAMESPACES), (_RET, 0, 0, _FAIL | errno.EPERM)]),
        *_on(_SOCKET[column], 0, family),
        *_on(_SOCKETPAIR[column], 0, family),
        *_on(_IOCTL[column], 1, _never(_TERMINAL_IOCTLS, errno.EPERM)),
        # Answered as if it had been done: programs ask for it in passing. A local socket has options of one level only.
        *_on(_SETSOCKOPT[column], 2, _never(_SEND_BUFFERS, 0)),
        *_on(_PERSONALITY[column], 0, _only(_PLAIN_PERSONALITIES, errno.EPERM)),
    ]


def _on(number: int, argument: int, body: Code) -> Code:
    """For call ``number``: load the lower half of an argument, run ``body``, allow if it falls through."""
    inner: Code = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *body, (_RET, 0, 0, _ALLOW)]
    return [(_JEQ, 0, len(inner), number), *inner]


def _only(values: Iterable[int], error: int) -> Code:
    code: Code = []
    for value in values:
        code += [(_JEQ, 0, 1, value), (_RET, 0, 0, _ALLOW)]
    return [*code, (_RET, 0, 0, _FAIL | error)]


def _never(values: Iterable[int], error: int) -> Code:
    code: Code = []
    for value in values:
        code += [(_JEQ, 0, 1, value), (_RET, 0, 0, _FAIL | error)]
    return code
