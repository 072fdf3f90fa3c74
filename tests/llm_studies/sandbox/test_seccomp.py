"""The filter, read by a small interpreter of classic BPF."""

import platform
import struct

import pytest

from llm_studies.sandbox import seccomp

X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000


def verdict(program: bytes, architecture: int, number: int) -> int:
    """What the kernel answers to one call."""
    steps = list(struct.iter_unpack("=HBBI", program))
    data, loaded, at = struct.pack("=iI", number, architecture), 0, 0
    while True:
        code, yes, no, value = steps[at]
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (loaded,) = struct.unpack_from("=I", data, value)
                at += 1
            case 0x15 | 0x35:  # BPF_JMP | BPF_JEQ, BPF_JGE
                at += 1 + (yes if (loaded == value if code == 0x15 else loaded >= value) else no)
            case 0x06:  # BPF_RET | BPF_K
                return value
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize(
    ("machine", "architecture", "number", "answer"),
    [
        ("x86_64", X86, 0, ALLOW),  # read
        ("x86_64", X86, 9, ALLOW),  # mmap
        ("x86_64", X86, 59, ALLOW),  # execve, by which bubblewrap itself starts the child
        ("x86_64", X86, 56, EPERM),  # clone
        ("x86_64", X86, 57, EPERM),  # fork
        ("x86_64", X86, 58, EPERM),  # vfork
        ("x86_64", X86, 435, EPERM),  # clone3
        ("x86_64", X86, 41, EPERM),  # socket
        ("x86_64", X86, 0x40000000 + 57, EPERM),  # fork by its x32 number
        ("x86_64", 0x40000003, 2, KILL),  # fork by its i386 number
        ("aarch64", ARM, 63, ALLOW),  # read
        ("aarch64", ARM, 220, EPERM),  # clone
        ("aarch64", ARM, 198, EPERM),  # socket
        ("aarch64", X86, 63, KILL),
    ],
)
def test_verdict(monkeypatch: pytest.MonkeyPatch, machine: str, architecture: int, number: int, answer: int) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = seccomp.program()
    assert program is not None
    assert verdict(program, architecture, number) == answer


def test_a_machine_whose_numbers_are_unknown_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert seccomp.program() is None
