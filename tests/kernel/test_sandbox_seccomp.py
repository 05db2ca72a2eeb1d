"""The filter, run by a small interpreter of classic BPF, for both machines."""

import errno
import re
import struct
from pathlib import Path

import pytest
from llmos.kernel import seccomp
from llmos.kernel.errors import Unavailable

pytestmark = pytest.mark.programs

ALLOW, KILL = "allow", "kill"
X86, ARM = 0xC000003E, 0xC00000B7


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> str | int:
    """What the filter says to a call: "allow", "kill" or an error number."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch or (X86 if machine == "x86_64" else ARM), 0, *padded)
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    place = value = 0
    while True:
        operation, yes, no, operand = code[place]
        place += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x06:
            kind, error = operand & 0xFFFF0000, operand & 0xFFFF
            return ALLOW if kind == 0x7FFF0000 else KILL if kind == 0x80000000 else int(error)
        else:
            met = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            place += yes if met else no


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed (linux-libc-dev)")
    pattern = r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$"
    numbers = {name: int(number) for name, number in re.findall(pattern, Path(header).read_text(), re.MULTILINE)}
    column = 0 if machine == "x86_64" else 1
    for table in (seccomp._FORBIDDEN, seccomp._ABSENT):
        for name, row in table.items():
            assert row[column] == numbers.get(name), name
    arguments = ("clone", "socket", "socketpair", "ioctl", "personality", "setsockopt")
    assert [getattr(seccomp, f"_{name.upper()}")[column] for name in arguments] == [numbers[name] for name in arguments]
    assert numbers["futex_waitv"] == seccomp.NEWEST
    named = {number for row in (*seccomp._FORBIDDEN.values(), *seccomp._ABSENT.values()) if (number := row[column])}
    expected = {number: verdict(machine, number, 1) for number in numbers.values() if number not in named}
    others = {name for name, number in numbers.items() if expected.get(number, ALLOW) != ALLOW}
    assert others <= {"personality", "arch_specific_syscall", *(n for n, k in numbers.items() if k > seccomp.NEWEST)}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_rules(machine: str) -> None:
    column = 0 if machine == "x86_64" else 1
    for table, error in ((seccomp._FORBIDDEN, errno.EPERM), (seccomp._ABSENT, errno.ENOSYS)):
        for name, row in table.items():
            if (number := row[column]) is not None:
                assert verdict(machine, number) == error, name
    assert verdict(machine, seccomp.NEWEST) == ALLOW
    assert verdict(machine, seccomp.NEWEST + 1) == errno.ENOSYS
    assert verdict(machine, 0x4000_0000) == KILL
    assert verdict(machine, 0, arch=0x40000003) == KILL


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_rules_on_arguments(machine: str) -> None:
    column = 0 if machine == "x86_64" else 1
    clone, socket, ioctl = seccomp._CLONE[column], seccomp._SOCKET[column], seccomp._IOCTL[column]
    assert verdict(machine, clone, 0x01200011) == ALLOW  # fork
    assert verdict(machine, clone, 0x003D0F00) == ALLOW  # a thread
    for bit in (17, 25, 26, 27, 28, 29, 30):  # each CLONE_NEW…
        assert verdict(machine, clone, 1 << bit | 17) == errno.EPERM
    assert verdict(machine, socket, 1, 1) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40, 0xFFFFFFFF, 1 << 31):
        assert verdict(machine, socket, family) == errno.EAFNOSUPPORT
    assert verdict(machine, socket, 2 | 1 << 32) == errno.EAFNOSUPPORT  # the kernel drops the upper half too
    assert verdict(machine, ioctl, 0, 0x5412) == errno.EPERM
    assert verdict(machine, ioctl, 0, 0x5412 | 1 << 32) == errno.EPERM
    assert verdict(machine, ioctl, 0, 0x5401) == ALLOW
    for option, answer in ((7, 0), (32, 0), (7 | 1 << 32, 0), (8, ALLOW), (16, ALLOW)):
        assert verdict(machine, seccomp._SETSOCKOPT[column], 3, 1, option) == answer
    assert verdict(machine, seccomp._PERSONALITY[column], 0xFFFFFFFF) == ALLOW
    assert verdict(machine, seccomp._PERSONALITY[column], 0x0040000) == errno.EPERM


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(Unavailable, match="riscv64"):
        seccomp.program("riscv64")
