# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether QEMU can run guests on KVM here, found out by doing it: opens /dev/kvm as the user that QEMU runs as and
lets a virtual CPU count down to a halt. Prints {"usable": bool, "state": ..., "reason": ...} as JSON.

usage: acceleration.py QEMU_USER
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import platform
import pwd
import select
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICE = Path("/dev/kvm")
SECONDS = 2.0
"""How long the virtual CPU may take; hardware needs some milliseconds."""

# https://docs.kernel.org/virt/kvm/api.html; sizes and offsets are those of x86-64.
GET_API_VERSION, CREATE_VM, GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
CREATE_VCPU, SET_TSS_ADDR, RUN = 0xAE41, 0xAE47, 0xAE80
SET_USER_MEMORY_REGION, SET_REGS, GET_SREGS, SET_SREGS = 0x4020AE46, 0x4090AE82, 0x8138AE83, 0x4138AE84
API_VERSION = 12
EXIT_HLT, EXIT_REASON_OFFSET = 5, 8
SREGS_SIZE, SEGMENT_SIZE, SEGMENTS, CR0_OFFSET = 312, 24, 6, 224

CODE = b"\xe2\xfe\xf4"
"""loop to itself until ecx is 0; hlt"""
CODE_ADDRESS, UNUSED_ADDRESS = 0x1000, 0x70000000
ROUNDS = 10_000_000
"""Enough that a KVM which emulates each instruction, on which no guest could boot, is not done in time."""


class Unusable(Exception):
    """Why a guest cannot run on KVM: the state, one of missing, inaccessible and broken, and a sentence."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(state, reason)
        self.state, self.reason = state, reason


def answer(user: str) -> dict[str, bool | str]:
    """What to print."""
    try:
        require_device()
        in_time(lambda: run_vcpu(open_as(user)))
    except Unusable as error:
        return {"usable": False, "state": error.state, "reason": error.reason}
    return {"usable": True, "state": "usable", "reason": "a virtual CPU ran to its end"}


def require_device() -> None:
    """Raise Unusable, with the likeliest reason, if the kernel offers no KVM."""
    if DEVICE.exists():
        return
    why = "the kernel offers no KVM"
    if platform.machine() == "x86_64":
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
        if "vmx" in flags or "svm" in flags:
            why = "neither kvm_intel nor kvm_amd is loaded, or this is a container without the device"
        else:
            why = "the CPU offers no virtualization (off in the firmware, or not given to this virtual machine)"
    raise Unusable("missing", f"there is no {DEVICE}: {why}")


def open_as(user: str) -> int:
    """The device, opened as a user; this process stays that user. Raises Unusable."""
    name = f"the user {user}"
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        name = f"uid {os.geteuid()} (there is no user {user} yet)"
    else:
        if os.geteuid() == 0:
            os.initgroups(user, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError as error:
        raise Unusable("inaccessible", f"{DEVICE} cannot be opened by {name}: {error.strerror}") from None
    except OSError as error:
        raise Unusable("broken", f"{DEVICE} cannot be opened: {error.strerror}") from None


def run_vcpu(device: int) -> None:
    """Run a virtual CPU until it halts; where the machine is no x86-64, only make one. Raises Unusable."""
    version = call("KVM_GET_API_VERSION", device, GET_API_VERSION)
    if version != API_VERSION:
        raise Unusable("broken", f"{DEVICE} has API version {version} instead of {API_VERSION}")
    machine = call("KVM_CREATE_VM", device, CREATE_VM)
    if platform.machine() != "x86_64":
        call("KVM_CREATE_VCPU", machine, CREATE_VCPU)
        return
    call("KVM_SET_TSS_ADDR", machine, SET_TSS_ADDR, UNUSED_ADDRESS)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    memory[: len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = struct.pack("=IIQQQ", 0, 0, CODE_ADDRESS, mmap.PAGESIZE, address)
    call("KVM_SET_USER_MEMORY_REGION", machine, SET_USER_MEMORY_REGION, region)
    vcpu = call("KVM_CREATE_VCPU", machine, CREATE_VCPU)
    state = mmap.mmap(vcpu, call("KVM_GET_VCPU_MMAP_SIZE", device, GET_VCPU_MMAP_SIZE))
    enter_protected_mode(vcpu)
    registers = [0] * 18
    registers[2], registers[16], registers[17] = ROUNDS, CODE_ADDRESS, 2  # rcx, rip, rflags
    call("KVM_SET_REGS", vcpu, SET_REGS, struct.pack("=18Q", *registers))
    call("KVM_RUN", vcpu, RUN)
    (reason,) = struct.unpack_from("=I", state, EXIT_REASON_OFFSET)
    if reason != EXIT_HLT:
        raise Unusable("broken", f"{DEVICE} is there, but a virtual CPU stopped with exit reason {reason}")


def enter_protected_mode(vcpu: int) -> None:
    """Give the virtual CPU 32-bit flat segments, since old processors emulate real mode in software."""
    sregs = bytearray(SREGS_SIZE)
    call("KVM_GET_SREGS", vcpu, GET_SREGS, sregs)
    for number in range(SEGMENTS):
        kind, selector = (11, 8) if number == 0 else (3, 16)
        # base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding
        segment = struct.pack("=QIH10B", 0, 0xFFFFFFFF, selector, kind, 1, 0, 1, 1, 0, 1, 0, 0, 0)
        sregs[number * SEGMENT_SIZE : (number + 1) * SEGMENT_SIZE] = segment
    (cr0,) = struct.unpack_from("=Q", sregs, CR0_OFFSET)
    struct.pack_into("=Q", sregs, CR0_OFFSET, cr0 | 1)
    call("KVM_SET_SREGS", vcpu, SET_SREGS, sregs)


def call(name: str, file: int, request: int, argument: int | bytes | bytearray = 0) -> int:
    """The answer of an ioctl of KVM; a bytearray is read and written. Raises Unusable."""
    try:
        done = fcntl.ioctl(file, request, argument)
    except OSError as error:
        raise Unusable("broken", f"{DEVICE} is there, but {name} fails: {error.strerror}") from None
    return done if isinstance(done, int) else 0


def in_time(action: Callable[[], None]) -> None:
    """Do something in a process of its own that is killed when it takes too long. Raises Unusable."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        tell(action, writer)
        os._exit(0)
    os.close(writer)
    ready = select.select([reader], [], [], SECONDS)[0]
    said = os.read(reader, 65536) if ready else b""
    os.kill(child, signal.SIGKILL)
    # A process that hangs in the kernel cannot be killed; it is not waited for.
    os.waitpid(child, 0 if ready else os.WNOHANG)
    if not ready:
        raise Unusable("broken", f"{DEVICE} is there, but a virtual CPU was too slow: not at its end in {SECONDS:g} s")
    problem = json.loads(said or b'["broken", "the trial broke off"]')
    if problem:
        raise Unusable(*problem)


def tell(action: Callable[[], None], writer: int) -> None:
    """In the child: do it, and tell the parent what is wrong with KVM, or null."""
    problem = None
    try:
        action()
    except Unusable as error:
        problem = (error.state, error.reason)
    os.write(writer, json.dumps(problem).encode())


if __name__ == "__main__":
    print(json.dumps(answer(sys.argv[1])))
