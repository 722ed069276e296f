# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains (guests): the fields of https://libvirt.org/formatdomain.html, by libvirt's element names."""

from __future__ import annotations

from . import devices, disks, machine, peripherals, tuning
from .field import Field, Kind
from .table import rows

CLOUD_INIT = rows("""
- user_data  raw  -  secret
    User data: a mapping (written as C(#cloud-config)) or a text that is passed on as it is. Never shown.
- meta_data  raw  -
    Meta data: a mapping, in which V(instance-id) and V(local-hostname) are filled in when left out, or a text that has them.
- network_config  raw  -  secret
    Network configuration, a mapping (version 2) or a text.
- vendor_data  raw  -  secret
    Vendor data: a mapping or a text.
- pool  name  -
    Pool of the seed's volume; V(default) when left out.
- on_change  text  -  =ignore|rebuild|new_instance default=rebuild
    What happens when the guest has a seed and other content is declared. V(rebuild) makes the seed anew for the guest's next
    start; of it, cloud-init does what it does at each boot. V(new_instance) gives it a new V(instance-id) as well, so that
    cloud-init runs as on the first boot and sets up users, keys and packages again. V(ignore) leaves the seed as it is. No disk
    is made anew for it. A running guest is left alone, and its C(pending) has C(cloud_init) until it is started anew, which
    O(restart=if_needed) does.
""")

IGNITION = rows("""
- config  raw  -  required secret
    The config: a mapping or a text of JSON, as Ignition reads it (C(butane) makes it of a Butane config). Never shown.
- pool  name  -
    Pool of the config's volume, a directory; V(default) when left out.
- on_change  text  -  =ignore|rebuild default=rebuild
    What happens when the guest has a config and another one is declared. V(rebuild) writes it anew, V(ignore) leaves it as it is.
    Ignition runs on a guest's first boot alone, so a guest that has been started does not follow it.
""")

WAIT_FOR = rows("""
- address  bool  -  live default=false
    Wait until an address of the guest is known (DHCP lease, or guest agent).
- agent  bool  -  live default=false
    Wait until the QEMU guest agent answers.
- ssh  bool  -  live default=false
    Wait until an ssh server answers at an address of the guest. It is asked from the machine that the module runs on.
- ssh_port  int  -  live default=22
    Port of that server.
- cloud_init  bool  -  live default=false
    Wait until cloud-init came to its end, which the QEMU guest agent tells. If it failed, so does the task, with its message.
- host_keys  bool  -  live default=false
    Wait until the public host keys of the guest's ssh server are there, once all else is that is waited for. They are read
    through the QEMU guest agent and returned as C(host_keys) of the guest, so that nothing has to be trusted blindly.
- timeout  int  -  live default=300
    Seconds to wait at the most.
""")

PLAIN = rows(
    """
- name  name  name  create required alias=guest
    Name of the guest; it identifies the guest.
- renamed_from  name  -  live
    Name that the guest had before. A guest of that name is renamed if there is none of the new one, with its snapshots
    and NVRAM, and keeps its volumes, addresses and UUID. It has to be off for that: of one that runs, the new name and
    all other changes wait until it is off, unless O(restart=if_needed) allows to restart it.
- uuid  uuid  uuid  create
    UUID. Left out, a new guest's is derived from the host and the name.
- title  line  title  live
    A short title.
- description  text  description  live
    A description for people.
- memory  size  memory  unit=KiB
    Memory of the guest at boot, with unit (V(2 GiB)), without that of O(memory_devices). Needed for a new guest.
- current_memory  size  currentMemory  live unit=KiB
    Memory the guest has now (balloon), with unit. Follows O(memory) when left out.
- vcpus  int  vcpu
    Number of virtual CPUs.
- virt_type  text  @type  create =auto|kvm|qemu|test|lxc|xen|hvf|bhyve
    Hypervisor. V(auto) takes V(kvm) for a new guest where the host offers it, else V(qemu) (emulation), and
    leaves an existing guest as it is.
- arch  text  os/type/@arch  create
    Architecture, V(x86_64) and so on; the host's when left out.
- machine  text  os/type/@machine
    Machine type. A new x86_64 guest gets V(q35).
- firmware  text  os/@firmware  create =bios|efi
    Firmware. A new guest gets V(bios).
- boot  words  os/boot/@dev  =hd|cdrom|network|fd
    Boot order by kind of device, such as V([hd, network]).
- kernel  path  os/kernel
    A kernel on the host to boot directly.
- initrd  path  os/initrd
    The initial RAM disk for O(kernel).
- cmdline  line  os/cmdline
    The kernel's command line for O(kernel).
- on_poweroff  text  on_poweroff  live =destroy|restart|preserve|rename-restart
    What happens when the guest powers off.
- on_reboot  text  on_reboot  live =destroy|restart|preserve|rename-restart
    What happens when the guest reboots.
- on_crash  text  on_crash  live =destroy|restart|preserve|rename-restart|coredump-destroy|coredump-restart
    What happens when the guest crashes.
"""
)

DEVICES = rows(
    """
- emulator  path  devices/emulator
    The program that runs the guest; found out when left out.
- disks  items  devices/disk  live fields=disks
    Disks, cdroms and floppies.
- interfaces  items  devices/interface  live fields=interfaces
    Network interfaces.
- controllers  items  devices/controller  live fields=controllers
    Controllers. libvirt makes those that devices need. A new x86_64 guest gets free PCIe ports.
- hostdevs  items  devices/hostdev  live fields=hostdevs
    Devices of the host that the guest gets.
- filesystems  items  devices/filesystem  live fields=filesystems
    Directories of the host that the guest can mount.
- leases  items  devices/lease  live fields=leases
    Leases of a lock manager.
- serials  items  devices/serial  fields=serials
    Serial ports. A new guest gets one.
- parallels  items  devices/parallel  fields=parallels
    Parallel ports.
- consoles  items  devices/console  fields=consoles
    Consoles.
- channels  items  devices/channel  live fields=channels
    Channels between host and guest. A new guest gets the guest agent's.
- graphics  items  devices/graphics  fields=graphics
    Graphical displays. None unless declared.
- videos  items  devices/video  fields=videos
    Video devices.
- sounds  items  devices/sound  fields=sounds
    Sound devices.
- audios  items  devices/audio  fields=audios
    What plays the guest's sound on the host.
- inputs  items  devices/input  live fields=inputs
    Keyboards, pointers, and event devices of the host.
- rngs  items  devices/rng  live fields=rngs
    Random number generators. A new guest gets one.
- tpm  dict  devices/tpm  fields=tpm
    The Trusted Platform Module.
- watchdogs  items  devices/watchdog  live fields=watchdogs
    Watchdogs.
- panics  items  devices/panic  fields=panics
    Devices by which the guest tells that it crashed.
- vsock  dict  devices/vsock  live fields=vsock
    Sockets between host and guest.
- memballoon  dict  devices/memballoon  fields=memballoon
    The memory balloon. libvirt makes one by itself.
- shmems  items  devices/shmem  live fields=shmems
    Memory that is shared with other guests.
- memory_devices  items  devices/memory  live fields=memory_devices
    Memory that can be plugged, persistent memory, and enclaves.
- iommu  dict  devices/iommu  fields=iommu
    An IOMMU for the guest.
- redirdevs  items  devices/redirdev  live fields=redirdevs
    USB devices that the one who looks at the guest's display can give it.
- redirfilter  items  devices/redirfilter/usbdev  fields=redirfilter
    Which of them. The list is the whole list, the first one that fits counts.
- smartcards  items  devices/smartcard  fields=smartcards
    Smart card readers.
- hubs  items  devices/hub  fields=hubs
    USB hubs.
- nvram_device  dict  devices/nvram  fields=nvram_device
    Place of the NVRAM of a pSeries guest.
- pstore  dict  devices/pstore  fields=pstore
    Memory in which the guest's last words outlive a crash, from libvirt 10.7.
- cryptos  items  devices/crypto  fields=cryptos
    Virtual crypto devices. libvirt 9.0 does not know them yet.
- cloud_init  dict  -  fields=cloud_init
    A NoCloud seed for cloud-init, made as a volume and attached as a cdrom. The same content gives the same
    bytes.
- ignition  dict  -  fields=ignition
    A config for Ignition (Fedora CoreOS, Flatcar), kept as a volume and handed to the guest by QEMU's fw_cfg as
    V(opt/com.coreos/config).
- xml  text  -
    libvirt's own domain XML. Its elements count as declared; typed fields win over it. A new guest that is
    declared with it gets none of this collection's default devices.
- adopt  bool  -  live default=false
    Whether a guest that is as declared already, and was made by somebody else, is noted as declared here, so that what
    leaves the declaration later is removed. Without it that begins with the first change.
- autostart  bool  -  live
    Whether the guest starts with the host.
- state  text  -  live =present|running|stopped|paused|saved|absent|restarted|reset default=present
    V(present) defines the guest and leaves its power as it is. V(stopped) asks the guest to shut down and waits; a
    saved guest stays saved. V(saved) saves the guest's memory on the host and stops it, V(running) restores it.
    V(absent) removes the definition and keeps the disks. V(restarted) and V(reset) act on every run. A guest that sleeps
    is woken, one that crashed is cleared away and started, and a transient one is defined before it is stopped.
- restart  text  -  live =never|if_needed default=never
    Whether a running guest may be shut down and started again when a change needs it. With V(never) such changes
    wait for the guest's next start and are reported as pending.
- wait_for  dict  -  live fields=wait_for
    What to wait for when the guest runs.
- timeout  int  -  live default=120
    Seconds that a guest has to shut down, and for which jobs of others on it, such as a backup, a migration or the copy of a
    disk, are waited for when they are in the way.
- force  bool  -  live default=false
    Whether a guest that did not shut down in time is switched off.
- remove_storage  bool  -  live default=false
    With O(state=absent): delete the guest's own volumes too, and what external snapshots made of them. Never a cdrom image, what others
    use, a backing file that is no snapshot's, or anything outside a pool. What nobody uses then, and stays, is told as C(left_behind).
""",
    disks=disks.DISKS,
    interfaces=devices.INTERFACES,
    controllers=devices.CONTROLLERS,
    hostdevs=devices.HOSTDEVS,
    filesystems=devices.FILESYSTEMS,
    leases=devices.LEASES,
    serials=peripherals.SERIALS,
    parallels=peripherals.PARALLELS,
    consoles=peripherals.CONSOLES,
    channels=peripherals.CHANNELS,
    graphics=peripherals.GRAPHICS,
    videos=peripherals.VIDEOS,
    sounds=peripherals.SOUNDS,
    audios=peripherals.AUDIOS,
    inputs=peripherals.INPUTS,
    rngs=peripherals.RNGS,
    tpm=peripherals.TPM,
    watchdogs=peripherals.WATCHDOGS,
    panics=peripherals.PANICS,
    vsock=peripherals.VSOCK,
    memballoon=peripherals.MEMBALLOON,
    shmems=peripherals.SHMEMS,
    memory_devices=peripherals.MEMORY_DEVICES,
    iommu=peripherals.IOMMU,
    redirdevs=peripherals.REDIRDEVS,
    redirfilter=peripherals.REDIRFILTER,
    smartcards=peripherals.SMARTCARDS,
    hubs=peripherals.HUBS,
    nvram_device=peripherals.NVRAM_DEVICE,
    pstore=peripherals.PSTORE,
    cryptos=peripherals.CRYPTOS,
    cloud_init=CLOUD_INIT,
    ignition=IGNITION,
    wait_for=WAIT_FOR,
)

# Lists in which libvirt puts devices of its own, so that they can never hold only what is declared.
FILLED = frozenset(("controllers", "inputs", "consoles", "audios", "hubs", "panics"))

# Beside the options of the guest, and of each device.
UNSET = Field(
    "unset",
    "unset",
    effect="live",
    doc="""Options beside this one that shall not be set, such as V([title, cputune.shares]): what the definition says by them is taken
    out, as it would be without them from the start. An option that is left out, or null, is left as it is.""",
)
DEVICES = tuple(
    field._replace(fields=(*field.fields, UNSET))
    if field.type == "items" and (field.path or "").rpartition("/")[0] == "devices"
    else field
    for field in DEVICES
)

EXCLUSIVE = Field(
    "exclusive",
    "words",
    effect="live",
    choices=tuple(
        field.name
        for field in DEVICES
        if field.type == "items" and (field.path or "").startswith("devices/") and field.name not in FILLED
    ),
    doc="Lists of devices that hold what is declared and nothing else: what others put there is removed.",
)

FIELDS = (*PLAIN, *machine.FIELDS, *tuning.FIELDS, *DEVICES, EXCLUSIVE, UNSET)

DOMAIN = Kind("domain", "domains", "domain", "domain.rng", FIELDS)
