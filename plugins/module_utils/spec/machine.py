# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest is beside its devices: memory, firmware, clock and what the hypervisor adds, by https://libvirt.org/formatdomain.html."""

from __future__ import annotations

from .processor import CPU, FEATURES
from .table import rows

MEMORY_BACKING = rows("""
- hugepages  flag  hugepages
    Whether the memory is of huge pages.
- pages  items  hugepages/page
    Sizes of the huge pages, where the host's default is not right.
    - size  size  @size  required unit=KiB
        Size of a page, with unit.
    - nodeset  cpuset  @nodeset
        NUMA nodes of the guest that have such pages, all when left out.
- nosharepages  flag  nosharepages
    Whether the host's merging of equal pages (KSM) is off for this guest.
- locked  flag  locked
    Whether the memory is never swapped out. Set O(memtune.hard_limit) as well.
- source  text  source/@type  =file|anonymous|memfd
    Where the memory comes from. V(memfd) with O(memory_backing.access=shared) is what virtiofs needs.
- access  text  access/@mode  =shared|private
    Whether other processes can share the memory.
- allocation  text  allocation/@mode  =immediate|ondemand
    When the memory is allocated.
- allocation_threads  int  allocation/@threads
    Number of threads that allocate it.
- discard  flag  discard
    Whether the memory's content is thrown away before QEMU ends.
""")

CLOCK = rows("""
- offset  text  @offset  =utc|localtime|timezone|variable|absolute
    What the guest's clock starts from. A new guest gets V(utc).
- timezone  line  @timezone
    Time zone such as V(Europe/Berlin), for O(clock.offset=timezone).
- adjustment  line  @adjustment
    Seconds from O(clock.basis), or V(reset). libvirt calls a clock with a number of seconds V(variable).
- basis  text  @basis  =utc|localtime
    What O(clock.adjustment) counts from, for O(clock.offset=variable).
- start  int  @start
    Seconds since 1970 at which the clock starts, for O(clock.offset=absolute) (libvirt 8.4).
- timers  items  timer
    Timers of the guest.
    - name  text  @name  required =platform|rtc|tsc|hpet|pit|kvmclock|hypervclock|armvtimer
        Name of the timer.
    - present  yes_no  @present
        Whether the guest has it.
    - track  text  @track  =boot|guest|wall|realtime
        What it follows.
    - tickpolicy  text  @tickpolicy  =delay|catchup|merge|discard
        What becomes of ticks that were missed.
    - frequency  int  @frequency
        Hertz, for V(tsc).
    - mode  text  @mode  =auto|native|emulate|paravirt|smpsafe
        How it is made, for V(tsc).
    - catchup  dict  catchup
        Limits for V(catchup).
        - threshold  int  @threshold
            Nanoseconds late from which it catches up.
        - slew  int  @slew
            Nanoseconds a second that it catches up.
        - limit  int  @limit
            Nanoseconds late up to which it does.
""")

SYSINFO = rows("""
- bios  map  bios/entry/@name  =vendor|version|date|release
    BIOS information, V(vendor), V(version), V(date) and V(release).
- system  map  system/entry/@name  =manufacturer|product|version|serial|uuid|sku|family
    System information, V(manufacturer), V(product), V(version), V(serial), V(uuid), V(sku) and V(family).
- base_boards  items  baseBoard
    Base boards.
    - entries  map  entry/@name  =manufacturer|product|version|serial|asset|location
        V(manufacturer), V(product), V(version), V(serial), V(asset) and V(location).
- chassis  map  chassis/entry/@name  =manufacturer|version|serial|asset|sku
    Chassis information, V(manufacturer), V(version), V(serial), V(asset) and V(sku).
- oem_strings  words  oemStrings/entry
    Strings of the manufacturer.
""")

LAUNCH_SECURITY = rows("""
- type  text  @type  =sev|sev-snp|s390-pv
    Technique. V(sev-snp) needs libvirt 10.5.
- policy  hex  policy
    Policy of the guest as a quoted hexadecimal number such as V("0x0003").
- cbitpos  int  cbitpos
    Place of the encryption bit; the host's when left out.
- reduced_phys_bits  int  reducedPhysBits
    Bits of physical addresses that encryption takes; the host's when left out.
- kernel_hashes  yes_no  @kernelHashes
    Whether kernel, initial RAM disk and command line are measured.
- dh_cert  line  dhCert
    The owner's Diffie-Hellman key, in base64 (V(sev)).
- session  line  session
    The owner's session blob, in base64 (V(sev)).
- author_key  yes_no  @authorKey
    Whether O(launch_security.id_auth) holds an author's key (V(sev-snp)).
- vcek  yes_no  @vcek
    Whether the guest may ask for the chip's key (V(sev-snp)).
- guest_visible_workarounds  line  guestVisibleWorkarounds
    Workarounds that the guest sees, in base64 (V(sev-snp)).
- id_block  line  idBlock
    The identity block, in base64 (V(sev-snp)).
- id_auth  line  idAuth
    The identity's authentication, in base64 (V(sev-snp)).
- host_data  line  hostData
    Data of the host for the guest's report, in base64 (V(sev-snp)).
""")

QEMU_DEVICES = rows("""
- alias  line  @alias  required
    Alias of the device, such as V(ua-disk).
- properties  items  qemu:frontend/qemu:property
    Properties of the device.
    - name  line  @name  required
        Name of the property.
    - type  text  @type  required =string|signed|unsigned|bool|remove
        Type of the value; V(remove) takes the property away.
    - value  line  @value
        The value.
""")

FIELDS = rows(
    """
- genid  uuid  genid
    Generation id that the guest sees, a UUID; a Windows guest takes another one as news of having been copied.
- metadata  fragments  metadata  live
    Metadata of your own, each entry an XML element with a namespace. An element takes the place of the one with
    the same name; others are left alone.
- max_memory  size  maxMemory  unit=KiB
    Memory the guest can grow to by memory devices, with unit. Such a guest has NUMA nodes: one, if none is declared.
- max_memory_slots  int  maxMemory/@slots
    Number of slots for memory devices; 16 with a new O(max_memory).
- memory_dump_core  on_off  memory/@dumpCore
    Whether the guest's memory is part of QEMU's core dumps.
- memory_backing  dict  memoryBacking  fields=memory_backing
    How the host provides the memory.
- vcpu_current  int  vcpu/@current  live
    Number of virtual CPUs that are in use, the others of O(vcpus) can be plugged in. All when left out.
- vcpu_cpuset  cpuset  vcpu/@cpuset
    CPUs of the host that the virtual CPUs may run on, such as V(0-3,^2).
- vcpu_placement  text  vcpu/@placement  =static|auto
    Whether O(vcpu_cpuset) counts, or numad says.
- vcpu_states  items  vcpus/vcpu
    States of single virtual CPUs. Of those not listed, the first O(vcpu_current) are in use.
    - id  int  @id  required
        Number of the virtual CPU, from 0.
    - enabled  yes_no  @enabled  required
        Whether it is in use. The first one always is.
    - hotpluggable  yes_no  @hotpluggable
        Whether it can be plugged in and out.
    - order  int  @order
        Order in which it is added, from 1.
- os_type  text  os/type  create =hvm|xen|linux|xenpvh|exe
    How the guest runs; V(hvm) for a new one, V(exe) is a container.
- firmware_features  map  os/firmware/feature/@name  value=@enabled:yes_no =enrolled-keys|secure-boot
    What the firmware that libvirt chooses must have or lack, with O(firmware=efi), V(secure-boot) and
    V(enrolled-keys), each true or false. Secure boot needs a q35 machine.
- loader  dict  os/loader
    The firmware itself, where libvirt is not to choose it by O(firmware).
    - path  path  .
        File of the firmware.
    - type  text  @type  =rom|pflash
        How the guest gets it. UEFI is V(pflash).
    - readonly  yes_no  @readonly
        Whether it is only read.
    - secure  yes_no  @secure
        Whether the firmware does secure boot, with O(loader.path). Otherwise O(firmware_features) says so.
    - stateless  yes_no  @stateless
        Whether it keeps no variables.
    - format  text  @format  =raw|qcow2
        Format of the file (libvirt 9.2).
- nvram  dict  os/nvram
    Where the firmware keeps its variables.
    - path  path  .
        File on the host; libvirt chooses one when left out.
    - template  path  @template
        File that a new one is a copy of.
    - template_format  text  @templateFormat  =raw|qcow2
        Format of the template (libvirt 10.10).
    - format  text  @format  =raw|qcow2
        Format of the file (libvirt 9.2).
- bootmenu  dict  os/bootmenu
    The firmware's boot menu.
    - enable  yes_no  @enable
        Whether the firmware shows it.
    - timeout  int  @timeout
        Milliseconds that it waits, when it is shown.
- bios  dict  os/bios
    What the BIOS does.
    - useserial  yes_no  @useserial
        Whether it talks on the serial port.
    - reboot_timeout  int  @rebootTimeout
        Milliseconds after which the guest tries to boot again, -1 for never.
- smbios_mode  text  os/smbios/@mode  =emulate|host|sysinfo
    Where the guest's SMBIOS comes from. O(sysinfo) needs V(sysinfo).
- acpi_tables  items  os/acpi/table
    ACPI tables that are added.
    - type  text  @type  required =raw|rawset|slic|msdm
        Kind of the table. All but V(slic) need libvirt 11.2.
    - path  path  .  required
        File on the host.
- dtb  path  os/dtb
    Device tree for O(kernel).
- shim  path  os/shim
    The shim for O(kernel) with secure boot (libvirt 10.9).
- bootloader  path  bootloader
    Boot loader on the host (Xen, bhyve).
- bootloader_args  line  bootloader_args
    Its arguments.
- init  path  os/init
    First program of a container.
- init_args  words  os/initarg
    Its arguments.
- init_env  map  os/initenv/@name
    Its environment.
- init_dir  path  os/initdir
    Its working directory.
- init_user  line  os/inituser
    User that it runs as, a name or a number.
- init_group  line  os/initgroup
    Group that it runs as, a name or a number.
- uid_map  items  idmap/uid
    User ids of a container.
    - start  int  @start  required
        First id inside.
    - target  int  @target  required
        First id on the host.
    - count  int  @count  required
        Number of ids.
- gid_map  items  idmap/gid
    Group ids of a container.
    - start  int  @start  required
        First id inside.
    - target  int  @target  required
        First id on the host.
    - count  int  @count  required
        Number of ids.
- cpu  dict  cpu  fields=cpu
    The virtual CPU.
- features  dict  features  fields=features
    Features of the hypervisor and the machine.
- clock  dict  clock  fields=clock
    The guest's clock.
- pm  dict  pm
    What the BIOS offers to save power.
    - suspend_to_mem  yes_no  suspend-to-mem/@enabled
        Suspend to memory (S3).
    - suspend_to_disk  yes_no  suspend-to-disk/@enabled
        Suspend to disk (S4).
- on_lockfailure  text  on_lockfailure  =poweroff|restart|pause|ignore
    What happens when the lock manager loses its locks.
- sysinfo  dict  sysinfo[@type='smbios']  fields=sysinfo
    What the guest reads from its SMBIOS, with O(smbios_mode=sysinfo).
- fwcfg  items  sysinfo[@type='fwcfg']/entry
    What the guest reads by QEMU's fw_cfg.
    - name  line  @name  required
        Name, such as V(opt/com.example/name).
    - value  line  .
        The content.
    - file  path  @file
        A file on the host with the content.
- seclabels  items  seclabel
    Labels for the host's security drivers.
    - model  text  @model  required
        Driver, V(apparmor), V(selinux) or V(dac).
    - type  text  @type  =dynamic|static|none
        Whether libvirt makes the label, it is given, or there is none.
    - relabel  yes_no  @relabel
        Whether libvirt labels what the guest uses.
    - label  line  label
        The label, for V(static).
    - baselabel  line  baselabel
        What a dynamic label is made from.
- launch_security  dict  launchSecurity  fields=launch_security
    Encryption of the guest's memory and state.
- keywrap  map  keywrap/cipher/@name  value=@state:on_off =aes|dea
    Key wrapping on s390x, V(aes) and V(dea), each true or false.
- qemu_args  words  qemu:commandline/qemu:arg/@value
    Arguments that are added to QEMU's command line, in their order. libvirt marks such guests as tainted.
- qemu_env  map  qemu:commandline/qemu:env/@name  value=@value:line
    Environment of QEMU.
- qemu_capabilities_add  words  qemu:capabilities/qemu:add/@capability
    Capabilities of QEMU that libvirt is to believe in.
- qemu_capabilities_del  words  qemu:capabilities/qemu:del/@capability
    Capabilities of QEMU that libvirt is not to use.
- qemu_deprecation  text  qemu:deprecation/@behavior  =none|omit|reject|crash
    What QEMU does when something deprecated is used.
- qemu_override  items  qemu:override/qemu:device  fields=qemu_devices
    Properties of devices that are set whatever libvirt would set.
""",
    cpu=CPU,
    memory_backing=MEMORY_BACKING,
    features=FEATURES,
    clock=CLOCK,
    sysinfo=SYSINFO,
    launch_security=LAUNCH_SECURITY,
    qemu_devices=QEMU_DEVICES,
)
