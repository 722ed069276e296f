# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage volumes: the fields of https://libvirt.org/formatstorage.html#storage-volume-xml, and where content comes from."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  name  name  create required
    Name of the volume; with its pool it identifies the volume.
- pool  name  -  create default=default
    Pool of the volume.
- format  text  target/format/@type  create
    Format of the volume. A new file gets V(raw) when its name ends in C(.raw), C(.img) or C(.iso), else V(qcow2);
    one with O(source) is what its content is when left out, and is converted where it is another one.
- size  size  capacity  live alias=capacity
    Virtual size, with unit (V(20 GiB)). A smaller volume is grown; a larger one is refused, unless O(allow_shrink).
- allow_shrink  bool  -  live
    Whether a larger volume is cut down to O(size). What lies beyond is lost. A volume that a running guest or another
    volume uses is never cut.
- allocation  size  allocation  create
    Space to allocate at once, with unit.
- preallocation  text  -  create =off|metadata|falloc
    Whether a new volume has its tables (V(metadata), for qcow2 only) or all of its space (V(falloc)) from the start. When left out, a file
    gets its space as it is written to, unless O(xml) is given and means otherwise. An existing volume is not looked at.
- compat  text  target/compat  create =0.10|1.1
    Version of qcow2. A new volume gets V(1.1); the older one knows no dirty bitmaps, hence no incremental backup.
- cluster_size  size  target/clusterSize  create
    Size of a qcow2 cluster, with unit: a power of two from V(512 bytes) to V(2 MiB). QEMU takes 64 KiB when left out.
- lazy_refcounts  flag  target/features/lazy_refcounts  create
    Whether qcow2 writes its reference counts late.
- extended_l2  flag  target/features/extended_l2  create
    Whether qcow2 clusters have subclusters, which makes overlays faster.
- encryption  dict  target/encryption  create
    LUKS encryption of a raw or qcow2 volume.
    - format  text  @format  create =luks default=luks
        Format of the encryption.
    - secret_uuid  uuid  secret/@uuid  create implies=secret/@type:passphrase
        UUID of the libvirt secret that holds the passphrase.
    - secret_usage  line  secret/@usage  create implies=secret/@type:passphrase
        The secret by its usage, in place of its UUID.
    - cipher  dict  cipher  create
        Cipher; AES-256-XTS when left out.
        - name  line  @name  create required
            Name, such as V(aes).
        - size  int  @size  create required
            Size of the key in bits.
        - mode  line  @mode  create
            Mode, such as V(xts).
        - hash  line  @hash  create
            Hash, such as V(sha256).
- nocow  flag  target/nocow  create
    Whether a new file on Btrfs is not copied on write. An existing one is not looked at.
- permissions  dict  target/permissions  live
    Permissions of the volume's file. libvirt gives a volume to the guest that runs on it, so owner and group are made true
    when none does.
    - mode  mode  mode  live
        Mode in octal, as V('0640').
    - owner  int  owner  live
        Numeric user id of the owner.
    - group  int  group  live
        Numeric group id.
    - label  line  label  create
        SELinux label that libvirt makes the file with.
- source  dict  -  create
    Content for a new volume.
    - url  line  -  create
        Where the content is fetched from (http, https or file), by the machine that the module runs on.
    - checksum  line  -  create
        Checksum of the content as V(algorithm:hex), for example V(sha256:...): of what is downloaded, compressed or not. It is verified before the
        volume takes its name, and lets a download that broke off be resumed. When it is another one later, the content is
        fetched anew, unless a guest or another volume uses the volume: then that is told, as it is when somebody has written to
        the file.
    - file  path  -  create
        A file, on the machine that the module runs on, whose content is copied.
    - local  line  -  create
        A file on the control machine, found as C(ansible.builtin.copy) finds its own. It is brought to the machine that the module runs on
        when the volume is not there yet, or was made of another file. Without O(source.checksum), it is the file's own.
    - compression  text  -  create =none|gz|bz2|xz|zst
        How the content is compressed. Left out, the content itself tells.
    - validate_certs  bool  -  create
        Whether the server has to prove who it is. It has to when left out.
- iso  dict  -  create
    Files for an ISO image, which the volume is then, the same bytes for the same files. It is made anew when they are others; its
    name ends in C(.iso).
    - files  raw  -  create required secret
        A mapping of names, with V(/) for those in folders, to what stands in them: a text, or a mapping or list that is written as JSON
        (YAML is as well). Never shown.
    - label  line  -  create
        Label of the image, of up to 16 characters (V(cidata), V(OEMDRV)). It has none when left out.
- clone  name  -  create
    Name of a volume that is copied.
- clone_pool  name  -  create
    Pool of O(clone); O(pool) when left out.
- backing  name  -  create
    Name of a volume that this one is an overlay on. The backing volume is never written to.
- backing_pool  name  -  create
    Pool of O(backing); O(pool) when left out.
- xml  text  -  create
    libvirt's own volume XML; typed fields win over it. The size, format, properties of an image, encryption and permissions in it
    count as declared, and so does its backing file, which is never made another one. What else it says counts for a new volume.
- state  text  -  live =present|absent|wiped default=present
    V(absent) deletes the volume and its data, and refuses while a guest or another volume uses it. V(wiped) overwrites the data of a
    volume that is there, each time that it is asked, and leaves an empty one of the same size, format and backing volume; it refuses as
    V(absent) does.
- wipe  bool  -  live
    Whether O(state=absent) overwrites the data before it is deleted. It takes as long as the disk needs.
""")

VOLUME = Kind("volume", "volumes", "volume", "storagevol.rng", FIELDS)
