"""Lets programs that drop groups run where there is only one user.

A user namespace with a single user and group refuses setgroups(2), and sshd ends when it is
refused. There are no groups to drop, so the call may as well succeed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from splitbrain.core.errors import SetupError

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO_0 = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
# Of each machine: its audit architecture, and the number of setgroups.
MACHINES = {
    "x86_64": (0xC000003E, 116),
    "aarch64": (0xC00000B7, 159),
    "riscv64": (0xC00000F3, 159),
    "ppc64le": (0xC0000015, 81),
    "s390x": (0x80000016, 206),
}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def ignore_setgroups() -> None:
    """Make setgroups(2) do nothing and succeed, for this thread and whatever it starts from now on.

    The thread must be root of its user namespace. Raises: SetupError when the kernel refuses.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        message = f"without root, embedded hosts on {machine} need several users"
        raise SetupError(message, advice="apt-get install uidmap, and see `splitbrain doctor`")
    instructions = filter_program(*MACHINES[machine])
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Program(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        message = f"the kernel refuses a filter for sshd: {reason}"
        raise SetupError(message, advice="apt-get install uidmap, and see `splitbrain doctor`")


def filter_program(architecture: int, setgroups: int) -> bytes:
    """Give the filter as classic BPF: setgroups of this architecture succeeds, all else goes on."""
    instructions = (
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 0, 2, architecture),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_EQUAL, 1, 0, setgroups),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO_0),
    )
    return b"".join(struct.pack("=HBBI", *item) for item in instructions)
