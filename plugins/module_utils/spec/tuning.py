# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest may use of its host: the tuning part of https://libvirt.org/formatdomain.html."""

from __future__ import annotations

from .table import rows

_PERIOD = "Microseconds, from 1000 to 1000000."
_QUOTA = "Microseconds in each period, negative for no limit."

CPUTUNE = rows(
    """
- shares  int  shares  live
    Weight beside other guests.
"""
    + "".join(
        f"""
- {which}period  int  {which}period  live
    Period over which {what} are limited. {_PERIOD}
- {which}quota  int  {which}quota  live
    Time that {what} get. {_QUOTA}
"""
        for which, what in (
            ("", "each of the virtual CPUs"),
            ("global_", "all of the guest's threads together"),
            ("emulator_", "QEMU's own threads"),
            ("iothread_", "each of the I/O threads"),
        )
    )
    + """
- vcpupin  items  vcpupin  live
    CPUs of the host for single virtual CPUs.
    - vcpu  int  @vcpu  required
        Number of the virtual CPU, from 0.
    - cpuset  cpuset  @cpuset  live required
        CPUs of the host, such as V(0-3,^2).
- emulatorpin  cpuset  emulatorpin/@cpuset  live
    CPUs of the host for QEMU's own threads.
- iothreadpin  items  iothreadpin  live
    CPUs of the host for single I/O threads.
    - iothread  int  @iothread  required
        Number of the I/O thread, from 1.
    - cpuset  cpuset  @cpuset  live required
        CPUs of the host.
"""
    + "".join(
        f"""
- {kind}sched  items  {kind}sched
    How {what} are scheduled. The list is the whole list.
    - {kind}s  cpuset  @{kind}s  required
        Numbers of {what}, such as V(0-3).
    - scheduler  text  @scheduler  required =batch|idle|fifo|rr
        Scheduler of the host.
    - priority  int  @priority
        Priority, for V(fifo) and V(rr).
"""
        for kind, what in (("vcpu", "virtual CPUs"), ("iothread", "I/O threads"))
    )
    + """
- emulatorsched  text  emulatorsched/@scheduler  =batch|idle|fifo|rr
    How QEMU's own threads are scheduled.
- emulatorsched_priority  int  emulatorsched/@priority
    Their priority, for V(fifo) and V(rr).
- cachetune  items  cachetune
    Parts of the host's caches for virtual CPUs (resctrl).
    - vcpus  cpuset  @vcpus  required
        Numbers of the virtual CPUs.
    - caches  items  cache
        Parts of caches.
        - id  int  @id  required
            Number of the cache on the host.
        - level  int  @level  required
            Level of the cache.
        - type  text  @type  required =both|code|data
            What the part is for.
        - size  size  @size  required unit=KiB
            Size of the part, with unit.
    - monitors  items  monitor
        What is measured.
        - level  int  @level  required
            Level of the cache.
        - vcpus  cpuset  @vcpus  required
            Numbers of the virtual CPUs.
- memorytune  items  memorytune
    Parts of the host's memory bandwidth for virtual CPUs (resctrl).
    - vcpus  cpuset  @vcpus  required
        Numbers of the virtual CPUs.
    - nodes  items  node
        Parts of nodes.
        - id  int  @id  required
            Number of the node on the host.
        - bandwidth  int  @bandwidth  required
            Per cent.
    - monitors  items  monitor
        What is measured.
        - vcpus  cpuset  @vcpus  required
            Numbers of the virtual CPUs.
"""
)

MEMTUNE = rows("""
- hard_limit  size  hard_limit  live unit=KiB
    Memory of the host that the guest may have at the most, QEMU's own included, with unit.
- soft_limit  size  soft_limit  live unit=KiB
    Memory that it is held to when the host is short of it, with unit.
- swap_hard_limit  size  swap_hard_limit  live unit=KiB
    Memory and swap space that it may have at the most, with unit.
- min_guarantee  size  min_guarantee  unit=KiB
    Memory that it keeps in any case, with unit (VMware, OpenVZ).
""")

NUMATUNE = rows("""
- mode  text  memory/@mode  =strict|preferred|interleave|restrictive
    How strictly memory comes from O(numatune.nodeset).
- nodeset  cpuset  memory/@nodeset  live
    Nodes of the host that memory comes from, such as V(0-1). A running guest takes another one with V(restrictive),
    or with V(strict) where its memory can be moved.
- placement  text  memory/@placement  =static|auto
    Whether O(numatune.nodeset) counts, or numad says.
- memnodes  items  memnode
    The same for single NUMA nodes of the guest.
    - cellid  int  @cellid  required
        The guest's node, as in O(cpu.numa.cells[].id).
    - mode  text  @mode  required =strict|preferred|interleave|restrictive
        How strictly its memory comes from them.
    - nodeset  cpuset  @nodeset  required
        Nodes of the host.
""")

BLKIOTUNE = rows("""
- weight  limit  weight  live
    Weight beside other guests, from 100 to 1000; V(0) for none of its own.
- devices  items  device  live
    Limits for single block devices of the host. V(0) is no limit.
    - path  path  path  required
        The block device.
    - weight  limit  weight  live
        Weight beside other guests, from 100 to 1000; V(0) for none of its own.
    - read_bytes_sec  limit  read_bytes_sec  live
        Bytes read in a second.
    - write_bytes_sec  limit  write_bytes_sec  live
        Bytes written in a second.
    - read_iops_sec  limit  read_iops_sec  live
        Reads in a second.
    - write_iops_sec  limit  write_iops_sec  live
        Writes in a second.
""")

_AMOUNTS = [
    (f"{way}_{unit}", f"{_what}{_unit}")
    for unit, _unit in (("bytes", "bytes"), ("iops", "requests"))
    for way, _what in (("total", "All "), ("read", "Read "), ("write", "Written "))
]
THROTTLE_GROUPS = rows(
    "- name  name  group_name  required\n    Name of the group.\n"
    + "".join(
        f"- {name}_sec{more}  int  {name}_sec{more}\n    {what} in a second{text}.\n"
        for more, text in (
            ("", ""),
            ("_max", ", in bursts"),
            ("_max_length", ", for how many seconds a burst may last"),
        )
        for name, what in _AMOUNTS
    )
    + "- size_iops_sec  int  size_iops_sec\n    Size in bytes from which a request counts as several.\n"
)

FIELDS = rows(
    """
- iothreads  int  iothreads  live
    Number of I/O threads, numbered from 1. A running guest takes more of them.
- iothread_ids  items  iothreadids/iothread  live
    The I/O threads one by one.
    - id  int  @id  required
        Number of the I/O thread, from 1.
    - thread_pool_min  int  @thread_pool_min  live
        Worker threads at the least.
    - thread_pool_max  int  @thread_pool_max  live
        Worker threads at the most.
    - poll_max  int  poll/@max  live
        Nanoseconds that it polls at the most (libvirt 9.4).
    - poll_grow  int  poll/@grow  live
        Factor by which the time of polling grows (libvirt 9.4).
    - poll_shrink  int  poll/@shrink  live
        Divisor by which the time of polling shrinks (libvirt 9.4).
- default_iothread  dict  defaultiothread
    The thread that does all other input and output.
    - thread_pool_min  int  @thread_pool_min
        Worker threads at the least.
    - thread_pool_max  int  @thread_pool_max
        Worker threads at the most.
- cputune  dict  cputune  fields=cputune
    The guest's share of the host's CPUs.
- memtune  dict  memtune  fields=memtune
    Limits of the host's memory. V(9007199254740991 KiB) is no limit.
- numatune  dict  numatune  fields=numatune
    Nodes of the host that the memory comes from.
- blkiotune  dict  blkiotune  fields=blkiotune
    The guest's share of the host's block devices.
- throttle_groups  items  throttlegroups/throttlegroup  fields=throttle_groups
    Limits that several disks share (libvirt 11.2).
- resource  dict  resource
    Where the guest's processes belong.
    - partition  path  partition
        Cgroup partition that they run in.
    - fibrechannel_appid  line  fibrechannel/@appid
        Name by which a Fibre Channel fabric knows their traffic.
- perf_events  map  perf/event/@name  live value=@enabled:yes_no
    What the host's performance counters count for the guest, by name, such as C({cpu_cycles: true}).
""",
    cputune=CPUTUNE,
    memtune=MEMTUNE,
    numatune=NUMATUNE,
    blkiotune=BLKIOTUNE,
    throttle_groups=THROTTLE_GROUPS,
)
