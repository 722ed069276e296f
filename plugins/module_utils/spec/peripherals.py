# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a domain by which it is seen, heard and watched, and those that the platform has,
https://libvirt.org/formatdomain.html#devices: consoles, displays, sound, inputs, TPM, memory devices and so on.
"""

from __future__ import annotations

from .parts import ALIAS, PLACE, SECLABELS, VIRTIO
from .table import rows

# The host's end of a character device, without its type.
SOURCE = (
    rows("""
- path  text  source/@path
    Path of the file, device or socket at the host's end.
- append  on_off  source/@append
    Whether a file is written on after its end.
- mode  text  source/@mode  =bind|connect
    Whether a socket is listened on or connected to.
- host  line  source/@host
    Address, for V(tcp) and V(udp).
- service  line  source/@service
    Port, for V(tcp) and V(udp).
- protocol  text  protocol/@type  =raw|telnet|telnets|tls
    What is spoken over V(tcp).
- tls  yes_no  source/@tls
    Whether V(tcp) is encrypted.
- reconnect  yes_no  source/reconnect/@enabled
    Whether a lost connection is made again.
- reconnect_timeout  int  source/reconnect/@timeout
    Seconds between two attempts.
""")
    + SECLABELS
)

CHARACTER = (
    rows("""
- type  text  @type  =pty|unix|file|dev|tcp|udp|null|stdio|vc|pipe|spicevmc|spiceport|qemu-vdagent|dbus|nmdm
    What is at the host's end.
""")
    + SOURCE
    + rows("""
- log  path  log/@file
    A file on the host to which all output is written as well.
- log_append  on_off  log/@append
    Whether that file is written on after its end.
""")
    + ALIAS
)

SPICE = rows("""
- spice_channel  line  source/@channel
    Name of the channel, for V(spiceport) and V(dbus).
""")

SERIALS = (
    CHARACTER
    + SPICE
    + rows("""
- master  line  source/@master
    Master end of V(nmdm).
- slave  line  source/@slave
    Slave end of V(nmdm).
- port  int  target/@port
    Number of the port in the guest, from 0.
- target  text  target/@type  =isa-serial|usb-serial|pci-serial|spapr-vio-serial|system-serial|sclp-serial|isa-debug
    Kind of port in the guest.
- model  text  target/model/@name
    Device the guest sees, for example V(isa-serial) or V(16550a).
""")
)

PARALLELS = CHARACTER + rows("""
- port  int  target/@port
    Number of the port in the guest, from 0.
""")

CONSOLES = PARALLELS + rows("""
- target  text  target/@type  =serial|virtio|sclp|sclplm|xen|lxc|openvz|uml
    Kind of device in the guest.
""")

CHANNELS = (
    rows("""
- name  text  target/@name  create required
    Name of the channel in the guest, such as V(org.qemu.guest_agent.0); it identifies the channel.
""")
    + CHARACTER
    + SPICE
    + rows("""
- clipboard  yes_no  source/clipboard/@copypaste
    Whether V(qemu-vdagent) shares the clipboard.
- mouse  text  source/mouse/@mode  =server|client
    Whose pointer V(qemu-vdagent) uses.
- target  text  target/@type  =virtio|xen
    Kind of device in the guest. A new one gets V(virtio).
""")
)

GRAPHICS = rows("""
- type  text  @type  create required =vnc|spice|sdl|egl-headless|dbus|rdp
    Protocol; it identifies the display.
- listen  text  @listen
    Address that QEMU listens on, V(127.0.0.1) when left out.
- listens  items  listen
    Where QEMU listens, in place of O(graphics[].listen). The list is the whole list.
    - type  text  @type  required =address|network|socket|none
        Kind of place.
    - address  line  @address
        An address.
    - network  line  @network
        A libvirt network, whose address it is.
    - socket  path  @socket
        A socket.
- socket  path  @socket
    A socket for VNC, in place of an address.
- port  int  @port
    Port; V(-1) lets libvirt choose one.
- tls_port  int  @tlsPort
    Port of SPICE with TLS; V(-1) lets libvirt choose one.
- websocket  int  @websocket
    Port of VNC for websockets; V(-1) lets libvirt choose one.
- autoport  yes_no  @autoport
    Whether libvirt chooses the port.
- keymap  text  @keymap
    Keyboard layout.
- password  text  @passwd  live secret
    Password. It is compared, and never shown.
- password_valid_to  line  @passwdValidTo  live
    Time in UTC from which the password is not taken any more, such as V(2030-01-31T12:00:00).
- connected  text  @connected  live =keep|disconnect|fail
    What becomes of who is connected when the password changes.
- share_policy  text  @sharePolicy  =allow-exclusive|force-shared|ignore
    Whether several may use VNC at once.
- power_control  yes_no  @powerControl
    Whether VNC may shut the guest down.
- default_mode  text  @defaultMode  =any|secure|insecure
    Whether the channels of SPICE need TLS.
- channels  items  channel
    Channels of SPICE that differ from O(graphics[].default_mode). The list is the whole list.
    - name  text  @name  required =main|display|inputs|cursor|playback|record|smartcard|usbredir
        Name of the channel.
    - mode  text  @mode  required =any|secure|insecure
        Whether it needs TLS.
- image_compression  text  image/@compression  =auto_glz|auto_lz|quic|glz|lz|off
    How SPICE compresses images.
- jpeg_compression  text  jpeg/@compression  =auto|never|always
    Whether SPICE compresses with losses over slow lines.
- zlib_compression  text  zlib/@compression  =auto|never|always
    Whether SPICE compresses with zlib over slow lines.
- playback_compression  on_off  playback/@compression
    Whether SPICE compresses sound.
- streaming  text  streaming/@mode  =filter|all|off
    What SPICE sends as video.
- clipboard  yes_no  clipboard/@copypaste
    Whether SPICE shares the clipboard.
- mouse  text  mouse/@mode  =server|client
    Whose pointer SPICE uses.
- filetransfer  yes_no  filetransfer/@enable
    Whether SPICE takes files.
- gl  yes_no  gl/@enable
    Whether OpenGL is used.
- rendernode  path  gl/@rendernode
    The host's device for OpenGL.
- audio_id  int  audio/@id
    Number of the one of O(audios) that a VNC or D-Bus client hears.
- display  line  @display
    X display for SDL.
- xauth  path  @xauth
    File with the authority of the X display.
- fullscreen  yes_no  @fullscreen
    Whether SDL takes the whole screen.
- address  line  @address
    Address of the D-Bus bus.
- p2p  yes_no  @p2p
    Whether D-Bus is spoken without a bus.
- username  line  @username
    Name of the user, for RDP.
- replace_user  yes_no  @replaceUser
    Whether a new RDP user puts the old one out.
- multi_user  yes_no  @multiUser
    Whether several may use RDP at once.
""")

VIDEOS = (
    rows("""
- model  text  model/@type  required
    Video device the guest sees, for example V(virtio) or V(vga).
- vram  int  model/@vram
    Video memory in KiB.
- ram  int  model/@ram
    Memory of the primary bar of QXL in KiB.
- vram64  int  model/@vram64
    Memory of the secondary 64-bit bar of QXL in KiB.
- vgamem  int  model/@vgamem
    Memory of the VGA frame buffer of QXL in KiB.
- heads  int  model/@heads
    Number of screens.
- primary  yes_no  model/@primary
    Whether it is the first one.
- blob  on_off  model/@blob
    Whether virtio uses blob resources.
- accel3d  yes_no  model/acceleration/@accel3d
    Whether 3D is accelerated.
- accel2d  yes_no  model/acceleration/@accel2d
    Whether 2D is accelerated.
- rendernode  path  model/acceleration/@rendernode
    The host's device for it, with O(videos[].driver=vhostuser).
- resolution  dict  model/resolution
    Least resolution of the screen.
    - x  int  @x  required
        Width.
    - y  int  @y  required
        Height.
- driver  text  driver/@name  =qemu|vhostuser
    Who draws.
- vgaconf  text  driver/@vgaconf  =io|on|off
    VGA registers, for bhyve.
""")
    + VIRTIO
    + PLACE
)

# The daemon that gives randomness to a guest.
EGD = (
    rows("""
- type  text  @type  =unix|tcp|udp|pty|dev|file|pipe  required
    How it is reached.
""")
    + SOURCE
)

RNGS = (
    rows(
        """
- model  text  @model
    Device the guest sees. A new one gets V(virtio).
- backend  text  backend/@model  =random|egd|builtin
    Where the randomness comes from. A new one gets V(random).
- source  text  backend
    Device for O(rngs[].backend=random). A new one gets V(/dev/urandom).
- egd  dict  backend  fields=egd
    The daemon for O(rngs[].backend=egd).
- rate  dict  rate
    Limit of what the guest takes.
    - bytes  int  @bytes  required
        Bytes in a period.
    - period  int  @period
        Milliseconds of a period.
""",
        egd=EGD,
    )
    + VIRTIO
    + PLACE
)

TPM = ALIAS + rows("""
- model  text  @model  =tpm-tis|tpm-crb|tpm-spapr|spapr-tpm-proxy
    Device the guest sees. A new one gets V(tpm-crb), V(tpm-tis) for a device of the host.
- backend  text  backend/@type  =emulator|passthrough|external
    What stands behind it. A new one gets V(emulator).
- version  text  backend/@version  =1.2|2.0
    Version of the emulated TPM.
- persistent_state  yes_no  backend/@persistent_state
    Whether the state is kept when a transient guest ends.
- debug  int  backend/@debug
    Level of what swtpm logs, from libvirt 10.1.
- secret  uuid  backend/encryption/@secret
    UUID of the libvirt secret with which the state is encrypted.
- active_pcr_banks  dict  backend/active_pcr_banks
    Banks of registers that are in use.
    - sha1  flag  sha1
        SHA-1.
    - sha256  flag  sha256
        SHA-256.
    - sha384  flag  sha384
        SHA-384.
    - sha512  flag  sha512
        SHA-512.
- source_type  text  backend/source/@type  =file|dir|unix
    Kind of O(tpm.source).
- source  path  backend/source/@path
    Where the emulated TPM's state is, from libvirt 10.10, or the socket of an external one.
- profile  dict  backend/profile
    What the emulated TPM can do, from libvirt 10.10.
    - source  line  @source
        A profile of swtpm's.
    - remove_disabled  text  @removeDisabled  =check|fips-host
        Whether algorithms that the host has disabled are left out.
- device  path  backend/device/@path
    The host's TPM, for O(tpm.backend=passthrough).
""")

SOUNDS = (
    rows("""
- model  text  @model  required =sb16|es1370|pcspk|ac97|ich6|ich7|ich9|usb|virtio
    Sound device the guest sees.
- codecs  words  codec/@type  =duplex|micro|output
    What an ICH device has.
- audio_id  int  audio/@id
    Number of the one of O(audios) that plays it.
- multichannel  yes_no  @multichannel
    Whether a USB device has more than two channels.
- streams  int  @streams
    Number of streams of a virtio device, from libvirt 10.4.
""")
    + VIRTIO
    + PLACE
)

AUDIO_STREAM = rows("""
- mixing_engine  yes_no  @mixingEngine
    Whether QEMU mixes.
- fixed_settings  yes_no  @fixedSettings
    Whether the settings below hold whatever the guest asks for.
- voices  int  @voices
    Number of voices.
- buffer_length  int  @bufferLength
    Length of the buffer in microseconds.
- buffer_count  int  @bufferCount
    Number of buffers.
- dev  line  @dev
    Device of the host, for ALSA and OSS.
- name  line  @name
    Name of the sink or source, for PulseAudio and PipeWire.
- stream_name  line  @streamName
    Name that PulseAudio and PipeWire show.
- latency  int  @latency
    Latency in microseconds, for PulseAudio and PipeWire.
- server_name  line  @serverName
    Server of JACK.
- client_name  line  @clientName
    Name at the server of JACK.
- connect_ports  line  @connectPorts
    A pattern of ports to connect to, for JACK.
- exact_name  yes_no  @exactName
    Whether the name at the server of JACK has to be free.
- try_poll  yes_no  @tryPoll
    Whether OSS is polled.
- frequency  int  settings/@frequency
    Samples in a second.
- channels  int  settings/@channels
    Number of channels.
- format  text  settings/@format  =s8|u8|s16|u16|s32|u32|f32
    Format of a sample.
""")

AUDIOS = rows(
    """
- id  int  @id  create required
    Number, from 1; it identifies the entry.
- type  text  @type  required =none|alsa|coreaudio|dbus|file|jack|oss|pipewire|pulseaudio|sdl|spice
    What plays the guest's sound on the host.
- timer_period  int  @timerPeriod
    Microseconds between two looks at the guest.
- server_name  line  @serverName
    Server, for PulseAudio.
- runtime_dir  path  @runtimeDir
    Directory of the socket, for PipeWire.
- path  path  @path
    File for V(file).
- driver  text  @driver  =esd|alsa|arts|pulseaudio
    Driver, for SDL.
- try_mmap  yes_no  @tryMMap
    Whether OSS uses mapped memory.
- exclusive  yes_no  @exclusive
    Whether OSS has the device for itself.
- dsp_policy  int  @dspPolicy
    Policy of OSS; V(-1) for none.
- input  dict  input  fields=stream
    What the guest hears.
- output  dict  output  fields=stream
    What the guest plays.
""",
    stream=AUDIO_STREAM,
)

INPUTS = (
    rows("""
- type  text  @type  create required =tablet|mouse|keyboard|passthrough|evdev
    Kind of device.
- bus  text  @bus  create =usb|ps2|virtio|xen
    Its bus. It identifies the device together with O(inputs[].type) and its source. V(usb) when left out, V(virtio)
    for V(passthrough).
- evdev  path  source/@evdev  create
    The host's event device, for V(passthrough).
- device  path  source/@dev  create
    The host's event device, for V(evdev).
- grab  text  source/@grab  =all
    Whether all devices of the guest are grabbed together with this one.
- grab_toggle  text  source/@grabToggle  =ctrl-ctrl|alt-alt|shift-shift|meta-meta|scrolllock|ctrl-scrolllock
    Keys that change between host and guest.
- repeat  on_off  source/@repeat
    Whether keys repeat.
- model  text  @model  =virtio|virtio-transitional|virtio-non-transitional
    Kind of virtio device.
""")
    + VIRTIO
    + PLACE
)

WATCHDOGS = (
    rows("""
- model  text  @model  required =i6300esb|ib700|diag288|itco
    Device the guest sees.
- action  text  @action  =reset|shutdown|poweroff|pause|none|dump|inject-nmi
    What happens when the guest does not answer.
""")
    + PLACE
)

PANICS = ALIAS + rows("""
- model  text  @model  create required =isa|pvpanic|hyperv|pseries|s390
    Device by which the guest tells that it crashed; it identifies the device.
""")

VSOCK = (
    rows("""
- model  text  @model  =virtio|virtio-transitional|virtio-non-transitional
    Kind of virtio device. A new one gets V(virtio).
- auto  yes_no  cid/@auto
    Whether libvirt chooses the guest's number at each start. A new one without O(vsock.cid) gets V(true).
- cid  int  cid/@address
    The guest's number, from 3.
""")
    + VIRTIO
    + PLACE
)

MEMBALLOON = (
    rows("""
- model  text  @model  =virtio|virtio-transitional|virtio-non-transitional|xen|none
    Kind of balloon, or V(none).
- autodeflate  on_off  @autodeflate
    Whether the balloon gives memory back before the guest runs out of it.
- free_page_reporting  on_off  @freePageReporting
    Whether the guest tells which pages it does not use.
- stats_period  int  stats/@period  live
    Seconds between two statistics of the guest's memory.
""")
    + VIRTIO
    + PLACE
)

SHMEMS = (
    rows("""
- name  line  @name  create required
    Name of the shared memory; it identifies it.
- role  text  @role  =master|peer
    Whether the memory goes along when the guest is migrated.
- model  text  model/@type  =ivshmem-plain|ivshmem-doorbell
    Device the guest sees. A new one gets V(ivshmem-plain).
- size  size  size
    Size of the memory, with unit; a power of two.
- server  path  server/@path
    Socket of the server, for V(ivshmem-doorbell).
- vectors  int  msi/@vectors
    Number of interrupt vectors.
- ioeventfd  on_off  msi/@ioeventfd
    Whether another thread works on the interrupts.
""")
    + PLACE
)

IOMMU = ALIAS + rows("""
- model  text  @model  required =intel|smmuv3|virtio
    IOMMU the guest sees.
- intremap  on_off  driver/@intremap
    Whether interrupts are remapped.
- caching_mode  on_off  driver/@caching_mode
    Whether devices of the host can be given to the guest beside it.
- eim  on_off  driver/@eim
    Whether more than 255 processors are possible.
- iotlb  on_off  driver/@iotlb
    Whether devices cache translations.
- aw_bits  int  driver/@aw_bits
    Width of addresses.
- dma_translation  on_off  driver/@dma_translation
    Whether addresses of devices are translated, from libvirt 10.7.
""")

REDIRDEVS = CHARACTER + rows("""
- bus  text  @bus  create =usb default=usb
    Bus of the device.
- boot_order  int  boot/@order
    Place in the boot order, from 1.
""")

REDIRFILTER = rows("""
- allow  yes_no  @allow  required
    Whether such devices may be redirected.
- class  hex  @class
    Class, such as V(0x08); all when left out.
- vendor  hex  @vendor
    Vendor, such as V(0x1234); all when left out.
- product  hex  @product
    Product, such as V(0xbeef); all when left out.
- version  float  @version
    Version, such as V(2.56); all when left out.
""")

SMARTCARDS = (
    rows("""
- mode  text  @mode  required =host|host-certificates|passthrough
    What stands behind it.
- certificates  words  certificate
    Names of three certificates, for V(host-certificates).
- database  path  database
    Directory of the database with them.
""")
    # Its own mode is another one than that of the socket behind it, and libvirt's schema knows no alias there.
    + tuple(
        field._replace(name="source_mode") if field.name == "mode" else field
        for field in CHARACTER
        if field.name != "alias"
    )
)

NVRAM_DEVICE = rows("""
- address  hex  address/@reg  required implies=address/@type:spapr-vio
    Register of the device, such as V(0x3000).
""")

MEMORY_DEVICES = ALIAS + rows("""
- model  text  @model  create required =dimm|nvdimm|virtio-mem|virtio-pmem|sgx-epc
    Kind of memory.
- access  text  @access  =shared|private
    Whether other processes of the host see what the guest writes.
- discard  yes_no  @discard
    Whether the host forgets the content when the guest ends.
- uuid  uuid  uuid
    UUID of an NVDIMM on pSeries.
- path  path  source/path
    File on the host behind V(nvdimm) and V(virtio-pmem).
- alignsize  size  source/alignsize  unit=KiB
    Alignment of that file.
- pmem  flag  source/pmem
    Whether that file is in persistent memory.
- pagesize  size  source/pagesize  unit=KiB
    Size of the host's pages to take.
- nodemask  cpuset  source/nodemask
    NUMA nodes of the host to take it from.
- size  size  target/size  required unit=KiB
    Size, with unit.
- node  int  target/node
    NUMA node of the guest.
- block  size  target/block  unit=KiB
    Size of the pieces of V(virtio-mem).
- requested  size  target/requested  live unit=KiB
    How much of V(virtio-mem) the guest is to have.
- label  size  target/label/size  unit=KiB
    Size of the label area of an NVDIMM.
- readonly  flag  target/readonly
    Whether the guest may only read an NVDIMM.
- dynamic_memslots  yes_no  target/@dynamicMemslots
    Whether V(virtio-mem) uses several slots, from libvirt 10.1.
- base  hex  target/address/@base
    Address in the guest's memory, from libvirt 9.4.
""")

HUBS = ALIAS + rows("""
- type  text  @type  required =usb
    Kind of hub.
""")

PSTORE = ALIAS + rows("""
- backend  text  @backend  required =acpi-erst
    Kind of store.
- path  path  path
    File on the host.
- size  size  size  required unit=KiB
    Size of the file, with unit.
""")

CRYPTOS = (
    rows("""
- model  text  @model  =virtio default=virtio
    Device the guest sees.
- type  text  @type  =qemu default=qemu
    Who stands behind it.
- backend  text  backend/@model  required =builtin|lkcf
    Who encrypts.
- queues  int  backend/@queues
    Number of queues.
""")
    + VIRTIO
    + PLACE
)
