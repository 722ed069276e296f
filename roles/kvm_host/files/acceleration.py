# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether QEMU can run guests on KVM here, found out by doing it: opens /dev/kvm as the user that QEMU runs as and
lets a virtual CPU count down to a halt. Prints {"usable": bool, "state": ..., "reason": ...} as JSON.

usage: acceleration.py QEMU_USER
"""

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

DEVICE = "/dev/kvm"
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
CODE_ADDRESS = 0x1000
ROUNDS = 10_000_000
"""Enough that a KVM which emulates each instruction, on which no guest could boot, is not done in time."""


class Unusable(Exception):
    """Why a guest cannot run on KVM: the state, one of missing, inaccessible and broken, and a sentence."""

    def __init__(self, state, reason):
        super().__init__(state, reason)
        self.state, self.reason = state, reason


def answer(user):
    """What to print."""
    try:
        if not os.path.exists(DEVICE):
            raise Unusable("missing", "there is no %s: %s" % (DEVICE, why_missing()))
        in_time(lambda: run_vcpu(open_as(user)))
    except Unusable as error:
        return {"usable": False, "state": error.state, "reason": error.reason}
    return {"usable": True, "state": "usable", "reason": "a virtual CPU ran to its end"}


def why_missing():
    """The likeliest reason why the kernel offers no KVM."""
    if platform.machine() != "x86_64":
        return "the kernel offers no KVM"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    if "vmx" not in flags and "svm" not in flags:
        return "the CPU offers no virtualization (switched off in the firmware, or not given to this virtual machine)"
    return "the CPU offers virtualization, but the kernel module kvm_intel or kvm_amd is not loaded, or this is a container without the device"


def open_as(user):
    """The device, opened as a user; this process stays that user. Raises Unusable."""
    name = "the user %s" % user
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        entry, name = None, "uid %d (there is no user %s yet)" % (os.geteuid(), user)
    if entry is not None and os.geteuid() == 0:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except (PermissionError, FileNotFoundError) as error:
        raise Unusable("inaccessible", "%s cannot be opened by %s: %s" % (DEVICE, name, error.strerror)) from None
    except OSError as error:
        raise Unusable("broken", "%s cannot be opened: %s" % (DEVICE, error.strerror)) from None


def run_vcpu(device):
    """Run a virtual CPU until it halts; where the machine is no x86-64, only make one. Raises Unusable."""
    version = call("KVM_GET_API_VERSION", device, GET_API_VERSION, 0)
    if version != API_VERSION:
        raise Unusable("broken", "%s has API version %d instead of %d" % (DEVICE, version, API_VERSION))
    machine = call("KVM_CREATE_VM", device, CREATE_VM, 0)
    if platform.machine() != "x86_64":
        call("KVM_CREATE_VCPU", machine, CREATE_VCPU, 0)
        return
    call("KVM_SET_TSS_ADDR", machine, SET_TSS_ADDR, 0xFFFBD000)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    memory[: len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = struct.pack("=IIQQQ", 0, 0, CODE_ADDRESS, mmap.PAGESIZE, address)
    call("KVM_SET_USER_MEMORY_REGION", machine, SET_USER_MEMORY_REGION, region)
    vcpu = call("KVM_CREATE_VCPU", machine, CREATE_VCPU, 0)
    state = mmap.mmap(vcpu, call("KVM_GET_VCPU_MMAP_SIZE", device, GET_VCPU_MMAP_SIZE, 0))
    enter_protected_mode(vcpu)
    registers = [0] * 18
    registers[2], registers[16], registers[17] = ROUNDS, CODE_ADDRESS, 2  # rcx, rip, rflags
    call("KVM_SET_REGS", vcpu, SET_REGS, struct.pack("=18Q", *registers))
    call("KVM_RUN", vcpu, RUN, 0)
    (reason,) = struct.unpack_from("=I", state, EXIT_REASON_OFFSET)
    if reason != EXIT_HLT:
        raise Unusable("broken", "a virtual CPU stopped with exit reason %d instead of halting" % reason)


def enter_protected_mode(vcpu):
    """Give the virtual CPU 32-bit flat segments, since old processors emulate real mode in software."""
    sregs = bytearray(SREGS_SIZE)
    call("KVM_GET_SREGS", vcpu, GET_SREGS, sregs)
    for number in range(SEGMENTS):
        kind, selector = (11, 8) if number == 0 else (3, 16)
        # base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable
        struct.pack_into("=QIH10B", sregs, number * SEGMENT_SIZE, 0, 0xFFFFFFFF, selector, kind, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    (cr0,) = struct.unpack_from("=Q", sregs, CR0_OFFSET)
    struct.pack_into("=Q", sregs, CR0_OFFSET, cr0 | 1)
    call("KVM_SET_SREGS", vcpu, SET_SREGS, bytes(sregs))


def call(name, file, request, argument):
    """An ioctl of KVM. Raises Unusable."""
    try:
        return fcntl.ioctl(file, request, argument)
    except OSError as error:
        raise Unusable("broken", "%s is there, but %s fails: %s" % (DEVICE, name, error.strerror)) from None


def in_time(action):
    """Do something in a process of its own that is killed when it takes too long. Raises Unusable."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        tell_and_exit(action, writer)
    os.close(writer)
    ready = select.select([reader], [], [], SECONDS)[0]
    said = os.read(reader, 65536).decode() if ready else None
    os.kill(child, signal.SIGKILL)
    # A process that hangs in the kernel cannot be killed; it is not waited for.
    os.waitpid(child, 0 if ready else os.WNOHANG)
    if said is None:
        raise Unusable("broken", "%s is there, but a virtual CPU had not run to its end after %g s" % (DEVICE, SECONDS))
    if not said:
        raise Unusable("broken", "%s is there, but the process that used it was killed" % DEVICE)
    problem = json.loads(said)
    if problem:
        raise Unusable(*problem)


def tell_and_exit(action, writer):
    """In the child: do it, tell the parent what went wrong, or null, and end without any cleaning up."""
    problem = None
    try:
        action()
    except Unusable as error:
        problem = (error.state, error.reason)
    except Exception as error:
        problem = ("broken", "the trial went wrong: %s: %s" % (type(error).__name__, error))
    os.write(writer, json.dumps(problem).encode())
    os._exit(0)


if __name__ == "__main__":
    print(json.dumps(answer(sys.argv[1])))
