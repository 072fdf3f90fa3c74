"""The system calls that a programme inside bubblewrap is refused, as the classic BPF that ``--seccomp`` takes.

Needed for processes above all: a limit on their number does not bind a user that is root outside the namespace. The
child needs none of these; they fail with EPERM. The layout of the data is ``struct seccomp_data`` of seccomp(2).
"""

import platform
import struct

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
"""SECCOMP_RET_ALLOW, _KILL_PROCESS, and _ERRNO with EPERM."""
NUMBER, ARCHITECTURE = 0, 4
"""Offsets into the data."""

CALLS = {
    # clone, fork, vfork, socket, socketpair, ptrace, clone3, io_uring_setup, unshare, setns, bpf, userfaultfd
    "x86_64": (0xC000003E, (56, 57, 58, 41, 53, 101, 435, 425, 272, 308, 321, 323)),
    "aarch64": (0xC00000B7, (220, 198, 199, 117, 435, 425, 97, 268, 280, 282)),
}
"""Machine -> its audit name, and the numbers of its calls (fork and vfork are clone on aarch64)."""
FOREIGN = 0x40000000
"""From here on the numbers are those of the x32 interface, which would name the same calls anew."""


def program() -> bytes | None:
    """For this machine; None for one whose numbers are not known here."""
    if platform.machine() not in CALLS:
        return None
    audit, calls = CALLS[platform.machine()]
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    for test, number in [(AT_LEAST, FOREIGN), *((EQUAL, call) for call in calls)]:
        steps += [(test, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, (RETURN, 0, 0, ALLOW)])
