# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processor of a guest and the features of its hypervisor (https://libvirt.org/formatdomain.html#cpu-model-and-topology)."""

from __future__ import annotations

from .table import rows

NUMA = rows("""
- cells  items  cell
    The NUMA nodes of the guest. Their memory is O(memory) together.
    - id  int  @id  required
        Number of the node, from 0.
    - cpus  cpuset  @cpus
        The virtual CPUs of the node, such as V(0-3). A node may have none.
    - memory  size  @memory  required unit=KiB
        Memory of the node, with unit.
    - mem_access  text  @memAccess  =shared|private
        Whether the node's memory can be shared with other processes.
    - discard  yes_no  @discard
        Whether the memory's content is thrown away before QEMU ends.
    - distances  items  distances/sibling
        Distances to the other nodes.
        - id  int  @id  required
            The other node.
        - value  int  @value  required
            From 10 (the node itself) to 255 (out of reach).
    - caches  items  cache
        Caches of the node's memory.
        - level  int  @level  required
            Level of the cache.
        - associativity  text  @associativity  required =none|direct|full
            How the memory is mapped into the cache.
        - policy  text  @policy  required =none|writeback|writethrough
            What is done with writes.
        - size  size  size/@value  required unit=KiB
            Size of the cache, with unit.
        - line  size  line/@value  required unit=B
            Size of a line, with unit.
- latencies  items  interconnects/latency
    Latencies between nodes.
    - initiator  int  @initiator  required
        The node that asks.
    - target  int  @target  required
        The node whose memory is asked for.
    - cache  int  @cache
        Level of the target's cache.
    - type  text  @type  required =access|read|write
        The kind of access.
    - value  int  @value  required
        Nanoseconds.
- bandwidths  items  interconnects/bandwidth
    Bandwidths between nodes.
    - initiator  int  @initiator  required
        The node that asks.
    - target  int  @target  required
        The node whose memory is asked for.
    - cache  int  @cache
        Level of the target's cache.
    - type  text  @type  required =access|read|write
        The kind of access.
    - value  size  @value  required unit=KiB
        Amount in a second, with unit.
""")

CPU = rows(
    """
- mode  text  @mode  =custom|host-model|host-passthrough|maximum
    How the guest's CPU relates to the host's.
- model  text  model
    A named CPU model such as V(qemu64) or V(EPYC), for O(cpu.mode=custom).
- fallback  text  model/@fallback  =allow|forbid
    Whether libvirt may take a similar model where the host has not this one.
- vendor_id  text  model/@vendor_id
    The vendor that the guest reads from its CPU, 12 characters.
- vendor  line  vendor
    The vendor that the host's CPU must have.
- match  text  @match  =minimum|exact|strict
    How the CPU fits the one asked for, for O(cpu.mode=custom).
- check  text  @check  =none|partial|full
    How strictly the CPU that the guest gets is compared with the one asked for.
- migratable  on_off  @migratable
    Whether features that cannot be migrated are left out, for V(host-passthrough) and V(maximum).
- deprecated_features  on_off  @deprecated_features
    Whether features that the model calls deprecated are there (libvirt 11.0, s390x).
- topology  dict  topology
    Sockets, dies, clusters, cores and threads; multiplied they are O(vcpus). Those left out of a new topology are 1,
    and O(cpu.topology.sockets) what is left of O(vcpus).
    - sockets  int  @sockets
        Number of sockets.
    - dies  int  @dies
        Number of dies in a socket.
    - clusters  int  @clusters
        Number of clusters in a die (libvirt 10.1).
    - cores  int  @cores
        Number of cores in a cluster.
    - threads  int  @threads
        Number of threads in a core.
- cache  dict  cache
    The cache that the guest reads from its CPU.
    - level  int  @level
        Level of the cache that V(emulate) is about.
    - mode  text  @mode  =emulate|passthrough|disable
        Whether it is emulated, the host's, or none.
- maxphysaddr  dict  maxphysaddr
    Width of physical addresses.
    - mode  text  @mode  =emulate|passthrough
        Whether it is said here or the host's.
    - bits  int  @bits
        Number of bits, for V(emulate).
    - limit  int  @limit
        Number of bits at the most, for V(passthrough) (libvirt 9.3).
- features  items  feature
    CPU features to add or take away.
    - name  text  @name  required
        Name of the feature, for example V(vmx).
    - policy  text  @policy  =force|require|optional|disable|forbid
        What becomes of it; V(require) for a new one.
- numa  dict  numa  fields=numa
    NUMA topology of the guest.
""",
    numa=NUMA,
)

CAPABILITIES = rows(
    """
- policy  text  @policy  =default|allow|deny
    What becomes of those that are not named.
"""
    + "".join(
        f"- {name}  on_off  {name}/@state\n    Whether the container has C(CAP_{name.upper()}).\n"
        for name in [
            "audit_control",
            "audit_write",
            "block_suspend",
            "chown",
            "dac_override",
            "dac_read_search",
            "fowner",
            "fsetid",
            "ipc_lock",
            "ipc_owner",
            "kill",
            "lease",
            "linux_immutable",
            "mac_admin",
            "mac_override",
            "mknod",
            "net_admin",
            "net_bind_service",
            "net_broadcast",
            "net_raw",
            "setgid",
            "setfcap",
            "setpcap",
            "setuid",
            "sys_admin",
            "sys_boot",
            "sys_chroot",
            "sys_module",
            "sys_nice",
            "sys_pacct",
            "sys_ptrace",
            "sys_rawio",
            "sys_resource",
            "sys_time",
            "sys_tty_config",
            "syslog",
            "wake_alarm",
        ]
    )
)

FEATURES = rows(
    """
- acpi  flag  acpi
    ACPI. A new x86_64 guest gets it.
- apic  flag  apic
    APIC. A new x86_64 guest gets it.
- apic_eoi  on_off  apic/@eoi
    End of interrupt by the guest without leaving it.
- pae  flag  pae
    Physical address extension.
- hap  on_off  hap/@state
    Paging by hardware (Xen).
- viridian  flag  viridian
    Viridian extensions (Xen).
- privnet  flag  privnet
    A network namespace of its own (LXC).
- hyperv  dict  hyperv
    What Windows knows from Hyper-V.
    - mode  text  @mode  =custom|passthrough
        V(passthrough) takes all that the host offers, V(custom) those below.
    - relaxed  on_off  relaxed/@state
        Relaxed timing.
    - vapic  on_off  vapic/@state
        Virtual APIC.
    - spinlocks  on_off  spinlocks/@state
        Spinlocks.
    - spinlocks_retries  int  spinlocks/@retries
        Attempts before the host is told, from 4095; 8191 when left out.
    - vpindex  on_off  vpindex/@state
        Index of virtual processors.
    - runtime  on_off  runtime/@state
        Run time of processors.
    - synic  on_off  synic/@state
        Synthetic interrupt controller.
    - stimer  on_off  stimer/@state
        Synthetic timers; they need V(vpindex) and V(synic).
    - stimer_direct  on_off  stimer/direct/@state
        Direct mode of synthetic timers.
    - reset  on_off  reset/@state
        Reset by the hypervisor.
    - vendor_id  text  vendor_id/@value  implies=vendor_id/@state:on
        Vendor of the hypervisor, 12 characters at the most.
    - frequencies  on_off  frequencies/@state
        Frequency registers.
    - reenlightenment  on_off  reenlightenment/@state
        Notice of a changed time stamp counter after migration.
    - tlbflush  on_off  tlbflush/@state
        Flush of other processors' TLB.
    - tlbflush_direct  on_off  tlbflush/direct/@state
        The same for nested guests (libvirt 11.1).
    - tlbflush_extended  on_off  tlbflush/extended/@state
        Flush of parts of it (libvirt 11.1).
    - ipi  on_off  ipi/@state
        Interrupts between processors.
    - evmcs  on_off  evmcs/@state
        Enlightened VMCS, on Intel.
    - avic  on_off  avic/@state
        Use of the host's virtual interrupt controller.
    - emsr_bitmap  on_off  emsr_bitmap/@state
        Enlightened MSR bitmap (libvirt 11.1).
    - xmm_input  on_off  xmm_input/@state
        Hypercall input in XMM registers (libvirt 11.1).
- kvm  dict  kvm
    Features of KVM.
    - hidden  on_off  hidden/@state
        Whether the guest cannot see that it runs under KVM.
    - hint_dedicated  on_off  hint-dedicated/@state
        Tells the guest that its processors are never taken away.
    - poll_control  on_off  poll-control/@state
        Lets the guest poll before it halts.
    - pv_ipi  on_off  pv-ipi/@state
        Interrupts between processors by hypercall.
    - dirty_ring  on_off  dirty-ring/@state
        Dirty pages are told by a ring.
    - dirty_ring_size  int  dirty-ring/@size
        Entries of the ring, a power of 2 from 1024 to 65536.
- xen  dict  xen
    Features of Xen.
    - e820_host  on_off  e820_host/@state
        The host's memory map.
    - passthrough  on_off  passthrough/@state
        Memory mapping for passed-through devices.
    - passthrough_mode  text  passthrough/@mode  =sync_pt|share_pt
        How it is mapped.
- pvspinlock  on_off  pvspinlock/@state
    Paravirtual spinlocks.
- pmu  on_off  pmu/@state
    Performance monitoring unit.
- vmport  on_off  vmport/@state
    VMware's I/O port.
- gic_version  text  gic/@version  =host|2|3
    Version of the interrupt controller, on ARM.
- smm  on_off  smm/@state
    System management mode, which secure boot needs.
- smm_tseg  size  smm/tseg  unit=MiB
    Memory for system management mode, with unit.
- ioapic_driver  text  ioapic/@driver  =qemu|kvm
    Who emulates the I/O APIC.
- hpt_resizing  text  hpt/@resizing  =enabled|disabled|required
    Resizing of the hash page table, on POWER.
- hpt_maxpagesize  size  hpt/maxpagesize  unit=KiB
    Largest page, with unit, on POWER.
- vmcoreinfo  on_off  vmcoreinfo/@state
    Lets the guest tell QEMU about its kernel's memory for dumps.
- htm  on_off  htm/@state
    Hardware transactional memory, on POWER.
- nested_hv  on_off  nested-hv/@state
    Nested guests, on POWER.
- msrs_unknown  text  msrs/@unknown  =ignore|fault
    What happens when the guest asks for a register that is not there.
- ccf_assist  on_off  ccf-assist/@state
    Count cache flush assist, on POWER.
- cfpc  text  cfpc/@value  =broken|workaround|fixed
    Cache flush on privilege change, on POWER.
- sbbc  text  sbbc/@value  =broken|workaround|fixed
    Speculation barrier bounds checking, on POWER.
- ibs  text  ibs/@value  =broken|workaround|fixed-ibs|fixed-ccd|fixed-na
    Indirect branch speculation, on POWER.
- tcg_tb_cache  size  tcg/tb-cache  unit=MiB
    Cache of translated code, with unit, for emulated guests.
- async_teardown  yes_no  async-teardown/@enabled
    Whether memory is given back after QEMU ended (libvirt 9.6).
- ras  on_off  ras/@state
    Reports of memory errors, on ARM (libvirt 10.3).
- ps2  on_off  ps2/@state
    The PS/2 controller (libvirt 10.7).
- aia  text  aia/@value  =none|aplic|aplic-imsic
    Advanced interrupt architecture, on RISC-V (libvirt 11.1).
- capabilities  dict  capabilities  fields=capabilities
    Linux capabilities of a container (LXC).
""",
    capabilities=CAPABILITIES,
)
