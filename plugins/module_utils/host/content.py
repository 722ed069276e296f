# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content of volumes: fetched, verified, made ready, and only then given its name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import filecmp
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Callable

from .. import tree
from ..plan.current import DIRECTORY_POOLS
from ..plan.image import QCOW2
from ..plan.values import size_text, whole
from ..progress import metered
from .connection import Connection, Overtaken, code_name, libvirt
from .fetch import BadContent, BrokenOff, Look, copy_source, opened, shown, verify
from .image import check_fits, check_growing, convert, grow, looked_at, packing, unpack
from .language import says
from .note import read_note, write_note

# File systems without hard links.
_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
# What libvirt makes beside the file that holds its lock.
_ASIDE = ".made"
# Seconds after which nobody writes to a file any more that does not grow.
_ABANDONED = 86400
# Bytes in which libvirt finds out the format of a file (storage_file_probe.c); the last ones, an ISO image's, are at 32769.
_HEAD = 1 << 16
# Bytes of a name beside which there is room for what tells one such file from another.
_LONG = 190


def fetch(connection: Connection, pool: Any, args: Mapping[str, Any]) -> None:
    """Make a volume from a URL or a file, or replace one whose content is another by now.

    args: name; source {url, file, checksum, compression, validate_certs}; size; format, compat and so on as declared, which the
    content is converted to; expected: the format that the source's name promises; permissions; replace.
    """
    source = args["source"]
    checksum = source.get("checksum")
    # What is pieced together over several runs has to be of one whole: the checksum tells, and its file has it in its name.
    tag = checksum.partition(":")[2][:12].lower() if checksum else ""
    note = {"from": shown(source), "checksum": (checksum or "").lower()}

    def write(part: IO[bytes], path: str) -> str:
        if not connection.is_local and _is_ready(args):
            return str(source["file"])
        _download(source, part, look)
        return _made_ready(part, path, args, look)

    def look(file: IO[bytes], count: int) -> None:
        if args.get("size"):
            check_growing(file, count, args["size"], args["name"], shown(source))

    _place(connection, pool, args, write, tag, note)


def _is_ready(args: Mapping[str, Any]) -> bool:
    """Whether a source is a file of this machine that can be sent as it stands. Raises BadContent if it is not what is declared."""
    source = args["source"]
    if not source.get("file") or source.get("compression") not in (None, "none"):
        return False
    with opened(source) as image:
        if source.get("compression") is None and packing(image):
            return False
        found, virtual = looked_at(image, shown(source))
        form, options = (args.get("format") or args.get("expected") or found), [args.get(name) for name in QCOW2]
        too_small = virtual is not None and args.get("size") and virtual < args["size"]
        if form != found or too_small or any(option is not None for option in options):
            return False
        check_fits(virtual, args.get("size"), args["name"])
        verify(source, image)
    return True


def _download(source: Mapping[str, Any], part: IO[bytes], look: Look) -> None:
    try:
        copy_source(source, part, look)
    except BrokenOff as error:
        kept = "the next run goes on from there" if source.get("checksum") else "nothing was kept"
        raise BrokenOff(f"{error}; {kept}") from error
    part.flush()


def _made_ready(part: IO[bytes], path: str, args: Mapping[str, Any], look: Look) -> str:
    """Unpack, check and convert what was downloaded. Returns the path of the image, which is this one or beside it."""
    source, where = args["source"], shown(args["source"])
    how = source.get("compression") or packing(part)
    if how and how != "none":
        unpack(part, how, path + ".unpacked", where, look)
        part.truncate(0)
        path += ".unpacked"
    with open(path, "rb") as image:
        found, virtual = looked_at(image, where)
    expected = args.get("expected")
    if expected and expected != found and "qcow2" in (expected, found):
        raise BadContent(f"the content of {where} is {found}, not {expected} as its name says; nothing was kept")
    check_fits(virtual, args.get("size"), args["name"])
    options = [args.get(name) for name in QCOW2]
    form = args.get("format") or found
    if form != found or any(option is not None for option in options):
        convert(path, found, path + ".converted", args)
        os.truncate(path, 0)
        path += ".converted"
        with open(path, "rb") as image:
            _found, virtual = looked_at(image, where)
        check_fits(virtual, args.get("size"), args["name"])
    if virtual is not None and args.get("size") and virtual < args["size"]:
        grow(path, form, args["size"], args["name"])
    return path


def place_bytes(
    connection: Connection, pool: Any, name: str, data: bytes, permissions: Mapping[str, Any] | None = None
) -> None:
    """Make a volume of these bytes, or replace the one of this name."""

    def write(part: IO[bytes], path: str) -> str:
        part.truncate(0)
        part.write(data)
        part.flush()
        return path

    _place(connection, pool, {"name": name, "replace": True, "permissions": permissions}, write, "", None)


def _place(
    connection: Connection,
    pool: Any,
    args: Mapping[str, Any],
    write: Callable[[IO[bytes], str], str],
    tag: str,
    note: Mapping[str, str] | None,
) -> None:
    """Write content under another name and give it the volume's name at the end, so that no partial file ever has it.

    note: where it is from, kept on the file.
    """
    directory = _directory(pool) if connection.is_local else None
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="kvmfleet-") as folder, _part(folder, args["name"], "") as (part, path):
            ready_path = write(part, path)
            with open(ready_path, "rb") as ready:
                _upload(connection, pool, args, ready)
        return
    if not os.path.isdir(directory):
        refresh(pool)  # It fails, and libvirt knows then that the pool is no longer active.
    final = os.path.join(directory, args["name"])
    with _seen_then(pool), _part(directory, args["name"], tag) as (part, path):
        if os.path.exists(final) and not args.get("replace"):
            _check_made(final, note)
            os.unlink(path)
        else:
            ready_path = write(part, path)
            _finish(ready_path, args, note)
            if ready_path != path:
                _forget(path)
            if args.get("replace"):
                os.rename(ready_path, final)
            else:
                _give_name(ready_path, final, note)
            _sync(directory)
        _clear(directory, args["name"])


def _give_name(path: str, final: str, note: Mapping[str, str] | None) -> None:
    """Give a file its name, unless there is one by now: another host may share the directory, and its locks need not be ours."""
    try:
        os.link(path, final)
    except FileExistsError:
        _check_made(final, note, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(path, final)
        return
    os.unlink(path)


def _check_made(final: str, note: Mapping[str, str] | None, ours: str | None = None) -> None:
    """What another run has made meanwhile is ours if it was made of the same, or is the same as what we made."""
    found = read_note(final)
    key = "checksum" if note and note["checksum"] else "from"
    if found is not None and note is not None and found[1] and found[0].get(key) == note[key]:
        return
    if ours is None or not filecmp.cmp(ours, final, shallow=False):
        raise BadContent(f"{final} has come into being meanwhile and is left as it is")


def place_made(connection: Connection, pool: Any, name: str, make: Callable[[str], None]) -> None:
    """Let libvirt make a volume, which takes a while, under another name, so that no partial file ever has its own.

    make: makes a volume of the name that it is given. Where that cannot be renamed, it is the volume's own.
    """
    directory = _directory(pool) if connection.is_local else None
    if directory is None:
        make(name)
        return
    if not os.path.isdir(directory):
        refresh(pool)
    final = os.path.join(directory, name)
    with _seen_then(pool), _part(directory, name, "") as (_held_part, path):
        if os.path.exists(final):
            raise Overtaken(f"{final} has come into being meanwhile and is left as it is")
        aside = path + _ASIDE
        _clear_aside(pool, aside)
        make(os.path.basename(aside))
        _give_name(aside, final, None)
        _forget(path)
        _sync(directory)


def _clear_aside(pool: Any, aside: str) -> None:
    """Take away what a run has left that was killed while libvirt made something for it, whose lock is ours by now. libvirt may still
    be at it, and knows it, even where its file is gone, until it looks anew.
    """
    name = os.path.basename(aside)
    if os.path.lexists(aside) or any(volume.name() == name for volume in pool.listAllVolumes(0)):
        refresh(pool)
        _forget(aside)
        refresh(pool)


@contextmanager
def _seen_then(pool: Any) -> Iterator[None]:
    """Let libvirt see what is in a pool after this, also what came into being there meanwhile and stopped us."""
    try:
        yield
    except (BadContent, Overtaken):
        with contextlib.suppress(libvirt.libvirtError):
            refresh(pool)
        raise
    refresh(pool)


def see_newcomer(connection: Connection, pool: Any, name: str) -> None:
    """Let libvirt see a file that came into being beside it: what makes some images would write over it."""
    directory = _directory(pool) if connection.is_local else None
    if directory is not None and os.path.lexists(os.path.join(directory, name)):
        refresh(pool)


def _finish(path: str, args: Mapping[str, Any], note: Mapping[str, str] | None) -> None:
    permissions = args.get("permissions") or {}
    with open(path, "rb") as file:
        owner, group = (permissions.get(name) for name in ("owner", "group"))
        if owner is not None or group is not None:
            os.fchown(file.fileno(), -1 if owner is None else owner, -1 if group is None else group)
        os.fchmod(file.fileno(), int(permissions.get("mode") or "0600", 8))
        if note is not None:
            write_note(path, note)
        os.fsync(file.fileno())


def _sync(directory: str) -> None:
    """The new name lasts through a loss of power."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _directory(pool: Any) -> str | None:
    root = tree.parse(pool.XMLDesc(0))
    return tree.get(root, "target/path") if root.get("type") in DIRECTORY_POOLS else None


@contextmanager
def _part(directory: str, name: str, tag: str) -> Iterator[Any]:
    """A file for content on its way, held by a lock: a run that was killed leaves one that the next run takes over.

    tag: of the content that it is the beginning of; what broke off is kept then.
    """
    path = os.path.join(directory, part_name(name, tag))
    with _held(path) as part:
        try:
            yield part, path
        except BrokenOff:
            if not tag:
                _forget(path)
            raise
        except OSError as error:
            _forget(path)
            raise BadContent(f"{error.filename or path}: {error.strerror or error}") from error
        except BaseException:
            _forget(path)
            raise
        finally:
            for stage in (".unpacked", ".unpacked.converted", ".converted", _ASIDE):
                _forget(path + stage)


def part_name(name: str, tag: str) -> str:
    """The name of the file in which a volume's content is on its way on this host."""
    return ".".join((_stem(name), *([tag] if tag else ()), _this_host(), "part"))


def _stem(name: str) -> str:
    """How the names of such files begin. A long name is told by its digest: a file's name has 255 bytes."""
    return "." + (name if len(name.encode()) < _LONG else hashlib.sha256(name.encode()).hexdigest())


@functools.cache
def _this_host() -> str:
    """What tells this host from others that share a directory with it."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    return hashlib.sha256(f"{machine}/{os.uname().nodename}".encode()).hexdigest()[:8]


def _clear(directory: str, name: str) -> None:
    """Take away what other content of this volume has left on its way, unless somebody is still at it. Whether another host
    is, a lock may not tell, but the time does.
    """
    for entry in os.listdir(directory):
        if not (entry.startswith(f"{_stem(name)}.") and entry.endswith(".part")):
            continue
        path = os.path.join(directory, entry)
        with contextlib.suppress(OSError), open(path, "r+b") as part:
            if not entry.endswith(f".{_this_host()}.part") and time.time() - os.stat(path).st_mtime < _ABANDONED:
                continue
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def _held(path: str) -> IO[bytes]:
    """The file of this path, locked. Another run may have finished and renamed it while we waited for the lock: what we
    hold then is its volume, which is not to be touched, so the path is opened anew.
    """
    while True:
        try:
            part = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        except PermissionError as error:
            raise BadContent(f"{os.path.dirname(path)} is another account's; the task needs become: true") from error
        except OSError as error:
            raise BadContent(f"{path}: {error.strerror or error}") from error
        fcntl.flock(part, fcntl.LOCK_EX)
        if os.path.exists(path) and os.path.samestat(os.fstat(part.fileno()), os.stat(path)):
            return part
        part.close()


def _forget(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _upload(connection: Connection, pool: Any, args: Mapping[str, Any], part: IO[bytes]) -> None:
    name = args["name"]
    length = part.seek(0, os.SEEK_END)
    # libvirt renames no volume. Where volumes are files, a copy that the hypervisor makes by itself is next to it. Its head comes
    # last: libvirt looks at a file whenever one was sent, and then it would not copy an image but convert it.
    is_file = tree.parse(pool.XMLDesc(0)).get("type") in DIRECTORY_POOLS
    aside = f".{name}.part" if is_file else name
    root = tree.element("volume")
    root.append(tree.element("name", aside))
    for key, value in (args.get("permissions") or {}).items():
        if value is not None:
            tree.put(root, f"target/permissions/{key}", str(value))
    root.append(tree.element("capacity", str(length), unit="bytes"))
    root.append(tree.element("allocation", "0", unit="bytes"))
    tree.put(root, "target/format/@type", "raw")
    for left in {aside, name} if args.get("replace") and not is_file else {aside} - {name}:
        _delete_existing(pool, left)
    head = b""
    if is_file:
        _check_space(pool, part)
        head = os.pread(part.fileno(), _HEAD, 0)
    made = [pool.createXML(tree.text_of(root), 0)]
    try:
        _send(connection, made[0], part, len(head), length)
        if is_file:
            if args.get("replace"):
                _delete_existing(pool, name)
            root.find("name").text = name
            made.insert(0, _renamed(pool, root, made[0], length))
            _send_head(connection, made[0], head)
            made.pop().delete(0)
    except BaseException:
        for volume in made:
            volume.delete(0)
        raise
    refresh(pool)


def _renamed(pool: Any, root: tree.Element, volume: Any, length: int) -> Any:
    """Have the hypervisor make a raw volume of these bytes, by qemu-img if no blocks can be shared.

    libvirt's own copy of raw files reads every hole and waits for the disk: up to ten times as long. It takes an ISO image for
    raw bytes that qemu-img shall copy, and for what they are when it looks at the pool anew. qemu-img fills up the last sector.
    """
    ways = [("raw", libvirt.VIR_STORAGE_VOL_CREATE_REFLINK)] + [("iso", 0)] * (whole(length) == length)
    for form, flags in ways:
        tree.put(root, "target/format/@type", form)
        with contextlib.suppress(libvirt.libvirtError):
            return pool.createXMLFrom(tree.text_of(root), volume, flags)
    tree.put(root, "target/format/@type", "raw")
    return pool.createXMLFrom(tree.text_of(root), volume, 0)


def _check_space(pool: Any, part: IO[bytes]) -> None:
    """Raise BadContent if a pool has no room for a file: libvirt's daemon does not survive a stream to a full disk (11.3)."""
    refresh(pool)
    takes, free = os.fstat(part.fileno()).st_blocks * 512, pool.info()[3]
    if takes > free:
        sizes = f"it has {size_text(free)}, the content takes {size_text(takes)}"
        raise BadContent(f"No space left in pool {pool.name()}: {sizes}")


def _send(connection: Connection, volume: Any, part: IO[bytes], begin: int, length: int) -> None:
    """Send what a file of this length has from a place on to the same place of a volume, without its holes."""
    if begin == length:
        return
    stream = connection.open.newStream(0)
    fd = part.fileno()
    os.lseek(fd, begin, os.SEEK_SET)
    volume.upload(stream, begin, length - begin, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    with metered(f"to volume {volume.name()}", length) as through:

        def send(_stream: Any, count: int, source: int) -> bytes:
            through(os.lseek(source, 0, os.SEEK_CUR))
            return os.read(source, count)

        stream.sparseSendAll(send, _section, _skip, fd)
    stream.finish()


def _send_head(connection: Connection, volume: Any, head: bytes) -> None:
    """Send the first bytes of a volume that has zeros there. A stream with holes would cut off what is behind its last one."""
    if not head.strip(b"\0"):
        return
    stream = connection.open.newStream(0)
    volume.upload(stream, 0, len(head), 0)
    while head:
        head = head[stream.send(head) :]
    stream.finish()


def copied(pool: Any, root: tree.Element, volume: Any, flags: int = 0) -> Any:
    """Have the hypervisor make a volume from another one. One whose bytes stay as they are shares them with it, where the
    file system can.
    """
    text, raw = tree.text_of(root), tree.get(root, "target/format/@type") == "raw"
    if raw and tree.get(tree.parse(volume.XMLDesc(0)), "target/format/@type") == "raw":
        with contextlib.suppress(libvirt.libvirtError):
            return pool.createXMLFrom(text, volume, flags | libvirt.VIR_STORAGE_VOL_CREATE_REFLINK)
    return pool.createXMLFrom(text, volume, flags)


def _section(_stream: Any, fd: int) -> tuple[bool, int]:
    """Whether there is data where a file stands, and how many bytes that goes on."""
    here = os.lseek(fd, 0, os.SEEK_CUR)
    end = os.lseek(fd, 0, os.SEEK_END)
    try:
        data = os.lseek(fd, here, os.SEEK_DATA)
        until = os.lseek(fd, here, os.SEEK_HOLE) if data == here else data
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        data, until = end, end  # A hole until the end.
    os.lseek(fd, here, os.SEEK_SET)
    return data == here and here < end, until - here


def _skip(_stream: Any, length: int, fd: int) -> int:
    return os.lseek(fd, length, os.SEEK_CUR)


def _delete_existing(pool: Any, name: str) -> None:
    try:
        pool.storageVolLookupByName(name).delete(0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise


def refresh(pool: Any, deadline: float = 120) -> None:
    """Let libvirt look at a pool anew. A pool on which volumes are being made refuses that, so it is asked again."""
    end = time.monotonic() + deadline
    while True:
        try:
            pool.refresh(0)
        except libvirt.libvirtError as error:
            is_busy = says(code_name(error.get_error_code()), str(error), "asynchronous jobs running")
            if not is_busy or time.monotonic() > end:
                raise
        else:
            return
        time.sleep(0.2)
