# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content of volumes: whatever goes wrong on the way, no partial file has the volume's name."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import multiprocessing
import os
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import content
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection, Overtaken
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.content import (
    fetch,
    part_name,
    place_bytes,
    place_made,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.fetch import BadContent
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.note import kept_note, read_note

HEADER = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (10 << 20).to_bytes(8, "big") + bytes(72)
IMAGE = HEADER + b"content" * 300_000
SUM = "sha256:" + hashlib.sha256(IMAGE).hexdigest()
Server = Callable[[str], str]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ANSWERS[self.path.partition("?")[0]](self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silence."""


def _send(handler: _Handler, body: bytes, length: int | None, code: int = 200, kind: str = "") -> None:
    handler.send_response(code)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    if kind:
        handler.send_header("Content-Type", kind)
    handler.end_headers()
    handler.wfile.write(body)


def _chunked(handler: _Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"100000\r\n" + b"x" * 1000)
    handler.close_connection = True


def _slow(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(IMAGE)))
    handler.end_headers()
    handler.wfile.write(IMAGE[:1_500_000])
    handler.wfile.flush()
    time.sleep(30)


def _after_a_while(handler: _Handler) -> None:
    time.sleep(1)
    _send(handler, IMAGE, len(IMAGE))


def _ranges(handler: _Handler, broken: bool) -> None:
    """The image from the byte that is asked for on; a third of it at a time if it is to break off."""
    begin = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    body = IMAGE[begin:]
    ASKED.append(begin)
    handler.send_response(206 if begin else 200)
    if begin:
        handler.send_header("Content-Range", f"bytes {begin}-{len(IMAGE) - 1}/{len(IMAGE)}")
    handler.send_header("Accept-Ranges", "bytes")
    handler.send_header("ETag", '"one"')
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(IMAGE) // 3 if broken else None])


def _packed(name: str, share: float) -> Callable[[_Handler], None]:
    body = PACKED[name][: int(len(PACKED[name]) * share)]
    return lambda handler: _send(handler, body, len(body))


def _whole(body: bytes) -> Callable[[_Handler], None]:
    return lambda handler: _send(handler, body, len(body))


def _endless(handler: _Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"\1" * (1 << 20))


def _greedy() -> bytes:
    """An xz file that asks for a dictionary of 4 GiB (the xz file format 1.2.1, 3.1 and 5.3.1)."""
    plain = bytearray(lzma.compress(b"x"))
    end = 12 + plain[12] * 4
    assert plain[14:16] == b"\x21\x01"
    plain[16] = 40
    plain[end : end + 4] = zlib.crc32(plain[12:end]).to_bytes(4, "little")
    return bytes(plain)


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


ASKED: list[int] = []
BACKED = HEADER[:8] + (512).to_bytes(8, "big") + HEADER[16:]
ELSEWHERE = HEADER[:72] + (4).to_bytes(8, "big") + HEADER[80:]
# Incompressible enough that half of it is no whole stream, with a hole.
SPARSE = HEADER + hashlib.shake_128(b"kvmfleet").digest(300_000) + bytes(4 << 20)
PACKED = {"xz": lzma.compress(SPARSE), "gz": gzip.compress(SPARSE), "bz2": bz2.compress(SPARSE)}
if shutil.which("zstd"):
    PACKED["zst"] = _zstd(SPARSE)

# 64 MiB in some KiB.
BOMBS = {
    how: pack(b"\1" * (64 << 20)) for how, pack in (("xz", lzma.compress), ("gz", gzip.compress), ("bz2", bz2.compress))
}
if shutil.which("zstd"):
    BOMBS["zst"] = _zstd(b"\1" * (64 << 20))

ANSWERS: dict[str, Callable[[_Handler], None]] = {
    "/ok.qcow2": lambda handler: _send(handler, IMAGE, len(IMAGE)),
    "/ok-after-a-while": _after_a_while,
    "/no-length": lambda handler: _send(handler, IMAGE, None),
    "/missing": lambda handler: _send(handler, b"not here", 8, 404),
    "/broken-off": lambda handler: _send(handler, IMAGE[:1000], len(IMAGE)),
    "/broken-off-in-a-chunk": _chunked,
    "/page": lambda handler: _send(handler, b"<!DOCTYPE html><html>Sign in</html>", 35, 200, "text/html"),
    "/slow": _slow,
    "/text": lambda handler: _send(handler, b"try again later", 15),
    "/empty": lambda handler: _send(handler, b"", 0),
    "/backed": lambda handler: _send(handler, BACKED, len(BACKED)),
    "/data-elsewhere": lambda handler: _send(handler, ELSEWHERE, len(ELSEWHERE)),
    "/extents-elsewhere": lambda handler: _send(handler, b"KDMV" + bytes(508), 512),
    "/ranges": lambda handler: _ranges(handler, broken=False),
    "/ranges-broken-off": lambda handler: _ranges(handler, broken=True),
    **{f"/whole.{name}": _packed(name, 1.0) for name in PACKED},
    **{f"/bomb.{name}": _whole(body) for name, body in BOMBS.items()},
    "/endless": _endless,
    "/greedy.xz": _whole(_greedy()),
    **{f"/half.{name}": _packed(name, 0.5) for name in PACKED},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.block_on_close = False
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield lambda path: f"http://127.0.0.1:{http.server_port}{path}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pool"


def _fetch(connection: Connection, pool: Any, **source: Any) -> None:
    more: dict[str, Any] = {
        name: source.pop(name) for name in ("format", "size", "expected", "replace") if name in source
    }
    fetch(connection, pool, {"name": "base.qcow2", "source": source, **more})


def test_a_url_with_its_checksum(connection: Connection, pool: Any, folder: Path, server: Server) -> None:
    digest = hashlib.sha512(IMAGE).hexdigest().upper()
    _fetch(connection, pool, url=server("/ok.qcow2"), checksum=f"sha512:{digest}", format="qcow2")
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_a_server_that_does_not_say_the_length(connection: Connection, pool: Any, folder: Path, server: Server) -> None:
    _fetch(connection, pool, url=server("/no-length"))
    assert (folder / "base.qcow2").read_bytes() == IMAGE


def test_a_file(connection: Connection, pool: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(IMAGE)
    _fetch(connection, pool, file=str(tmp_path / "image"))
    assert (folder / "base.qcow2").read_bytes() == IMAGE


@pytest.mark.parametrize(
    "places",
    [[], [0], [5 << 20], [0, 3 << 20, 40 << 20], [(64 << 20) - 5]],
    ids=["hole", "begin", "middle", "several", "end"],
)
def test_holes_of_a_file_are_not_read(
    connection: Connection, pool: Any, folder: Path, tmp_path: Path, places: list[int]
) -> None:
    source = tmp_path / "sparse.raw"
    with source.open("wb") as file:
        for place in places:
            file.seek(place)
            file.write(b"data!")
        file.truncate(64 << 20)
    _fetch(connection, pool, file=str(source))
    made = folder / "base.qcow2"
    assert made.read_bytes() == source.read_bytes()
    assert made.stat().st_blocks * 512 <= 4 << 20


@pytest.mark.parametrize("name", PACKED)
def test_what_is_compressed_is_unpacked_with_its_holes(
    connection: Connection, pool: Any, folder: Path, server: Server, name: str
) -> None:
    _fetch(connection, pool, url=server(f"/whole.{name}"), checksum=f"md5:{hashlib.md5(PACKED[name]).hexdigest()}")
    made = folder / "base.qcow2"
    assert made.read_bytes() == SPARSE
    assert made.stat().st_blocks * 512 < len(SPARSE) // 2
    assert list(folder.iterdir()) == [made]


def test_a_download_that_breaks_off_is_taken_up_again(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    ASKED.clear()
    _fetch(connection, pool, url=server("/ranges-broken-off"))
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert sorted(set(ASKED)) == ASKED
    assert len(ASKED) >= 3


def test_the_next_run_goes_on_where_one_broke_off(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    with pytest.raises(BadContent, match="broke off after 1000 of 2100104 bytes; the next run goes on from there"):
        _fetch(connection, pool, url=server("/broken-off"), checksum=SUM)
    assert [file.name for file in folder.iterdir()] == [part_name("base.qcow2", SUM[7:19])]
    ASKED.clear()
    _fetch(connection, pool, url=server("/ranges"), checksum=SUM)
    assert ASKED == [1000]
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_a_beginning_of_something_else_is_thrown_away(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    (folder / part_name("base.qcow2", SUM[7:19])).write_bytes(b"z" * 5000)
    (folder / part_name("base.qcow2", "0123456789ab")).write_bytes(b"of a checksum that nobody declares any more")
    ASKED.clear()
    _fetch(connection, pool, url=server("/ranges"), checksum=SUM)
    assert ASKED == [5000, 0]
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_a_file_says_what_it_was_made_from(connection: Connection, pool: Any, folder: Path, server: Server) -> None:
    _fetch(connection, pool, url=server("/ok.qcow2"), checksum=SUM)
    made = folder / "base.qcow2"
    note = read_note(str(made))
    if note is None:
        pytest.skip("this file system keeps no notes")
    assert (note[0]["checksum"], note[1]) == (SUM, True)
    with kept_note(str(made)):
        os.truncate(made, 5 << 20)
    assert (read_note(str(made)) or ((), False))[1]
    made.write_bytes(b"of somebody else")
    assert not (read_note(str(made)) or ((), True))[1]
    _fetch(connection, pool, url=server("/ok.qcow2"), checksum=SUM, replace=True)
    assert made.read_bytes() == IMAGE


def test_what_another_run_made_of_the_same_is_ours(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    _fetch(connection, pool, url=server("/ok.qcow2"), checksum=SUM)
    if read_note(str(folder / "base.qcow2")) is None:
        pytest.skip("this file system keeps no notes")
    _fetch(connection, pool, url=server("/missing"), checksum=SUM)
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"url": "/missing"}, "URL: the server answered 404 Not Found"),
        ({"url": "/broken-off"}, "URL broke off after 1000 of 2100104 bytes; nothing was kept"),
        ({"url": "/broken-off-in-a-chunk"}, "URL broke off after 0 bytes"),
        (
            {"url": "/ok.qcow2", "checksum": "sha256:" + "0" * 64},
            f"URL has the sha256 checksum {hashlib.sha256(IMAGE).hexdigest()}, declared is {'0' * 64}; nothing",
        ),
        ({"url": "/page"}, "URL is a web page and no image; nothing was kept"),
        (
            {"url": "/text", "expected": "qcow2"},
            "the content of URL is raw, not qcow2 as its name says; nothing was kept",
        ),
        ({"url": "/ok.qcow2", "expected": "raw"}, "the content of URL is qcow2, not raw as its name says; nothing was"),
        ({"url": "/empty"}, "URL is empty; nothing was kept"),
        ({"url": "/backed"}, "URL is a qcow2 image that refers to other files; nothing was kept"),
        ({"url": "/data-elsewhere"}, "URL is a qcow2 image that refers to other files; nothing was kept"),
        ({"url": "/extents-elsewhere"}, "URL is a vmdk image that refers to other files; nothing was kept"),
        ({"url": "/half.xz"}, "URL: is no whole xz file"),
        ({"url": "/half.gz"}, "URL: is no whole gz file"),
        ({"url": "/half.bz2"}, "URL: is no whole bz2 file"),
        ({"url": "/ok.qcow2", "compression": "xz"}, "URL: is no whole xz file"),
        (
            {"url": "/ok.qcow2", "size": 5 << 20},
            "the content of volume base.qcow2 has 10 MiB, more than the declared size of 5 MiB; nothing was kept",
        ),
        (
            {"url": "/endless", "size": 5 << 20},
            "the content of volume base.qcow2 has more than the declared size of 5 MiB",
        ),
        ({"url": "/greedy.xz"}, "URL: is no whole xz file (Memory usage limit exceeded); nothing was kept"),
        ({"file": "/nonexistent/image"}, "/nonexistent/image: No such file or directory"),
        ({"file": "/"}, "/: Is a directory"),
    ],
)
def test_what_is_not_as_declared_leaves_nothing(
    connection: Connection, pool: Any, folder: Path, server: Server, source: dict[str, Any], message: str
) -> None:
    url = server(source["url"]) if "url" in source else ""
    with pytest.raises(BadContent) as raised:
        _fetch(connection, pool, **{**source, **({"url": url} if url else {})})
    assert str(raised.value).startswith(message.replace("URL", url))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_more_than_is_declared_does_not_fill_the_disk(
    connection: Connection, pool: Any, small: Path, server: Server, name: str
) -> None:
    with pytest.raises(BadContent, match=r"has more than the declared size of 2 MiB; nothing was kept"):
        _fetch(connection, pool, url=server(f"/bomb.{name}"), size=2 << 20)
    assert list(small.iterdir()) == []


def test_nobody_listens(connection: Connection, pool: Any, folder: Path) -> None:
    with pytest.raises(BadContent, match=r"^http://127\.0\.0\.1:9/x: .*refused"):
        _fetch(connection, pool, url="http://127.0.0.1:9/x")
    assert list(folder.iterdir()) == []


def test_a_login_in_the_url_is_not_told(connection: Connection, pool: Any, server: Server) -> None:
    url = server("/missing?signature=s3cret").replace("http://", "http://user:s3cret@")
    with pytest.raises(BadContent) as raised:
        _fetch(connection, pool, url=url)
    assert "s3cret" not in str(raised.value)


def test_what_came_into_being_meanwhile_is_left(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    (folder / "base.qcow2").write_text("of somebody else")
    with pytest.raises(BadContent, match="has come into being meanwhile and is left as it is"):
        _fetch(connection, pool, url=server("/ok.qcow2"))
    assert (folder / "base.qcow2").read_text() == "of somebody else"
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_who_waited_for_another_run_does_not_touch_what_that_one_made(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    errors: list[str] = []

    def run(path: str) -> None:
        try:
            _fetch(connection, pool, url=server(path))
        except BadContent as error:
            errors.append(str(error))

    first = threading.Thread(target=run, args=("/ok-after-a-while",))
    first.start()
    _wait_for((folder / part_name("base.qcow2", "")).exists)
    late = [threading.Thread(target=run, args=("/page",)) for _number in range(3)]
    for thread in late:
        thread.start()
    for thread in [*late, first]:
        thread.join()
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]
    assert len(errors) == 3


def _wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_run_that_was_killed_leaves_a_part_that_the_next_one_takes_over(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    part = folder / part_name("base.qcow2", "")
    process = multiprocessing.get_context("fork").Process(
        target=_fetch, args=(connection, pool), kwargs={"url": server("/slow")}
    )
    process.start()
    _wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.join()
    assert [file.name for file in folder.iterdir()] == [part_name("base.qcow2", "")]
    _fetch(connection, pool, url=server("/ok.qcow2"))
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def _as_host(mark: str, connection: Connection, pool: Any, url: str) -> None:
    """Fetch as a host that shares the directory, whose locks are not those of other hosts."""
    content._this_host = lambda: mark  # type: ignore[assignment]
    _fetch(connection, pool, url=url)


def test_two_hosts_that_share_a_directory_agree(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    """Both fetch at once, each into a file of its own; whoever comes second finds it made."""
    fork = multiprocessing.get_context("fork")
    runs = [
        fork.Process(target=_as_host, args=(mark, connection, pool, server("/ok-after-a-while")))
        for mark in ("11111111", "22222222")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0]
    assert (folder / "base.qcow2").read_bytes() == IMAGE
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_what_another_host_is_at_is_left_and_what_it_left_long_ago_goes(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    fresh, old = folder / ".base.qcow2.11111111.part", folder / ".base.qcow2.22222222.part"
    for file in (fresh, old):
        file.write_bytes(b"of another host")
    os.utime(old, (1, 1))
    _fetch(connection, pool, url=server("/ok.qcow2"))
    assert {file.name for file in folder.iterdir()} == {"base.qcow2", fresh.name}


def test_what_came_into_being_while_it_was_fetched_is_left(
    connection: Connection, pool: Any, folder: Path, server: Server
) -> None:
    def run() -> None:
        with pytest.raises(BadContent, match="has come into being meanwhile and is left as it is"):
            _fetch(connection, pool, url=server("/ok-after-a-while"))
        refused.append(True)

    refused: list[bool] = []
    fetched = threading.Thread(target=run)
    fetched.start()
    _wait_for((folder / part_name("base.qcow2", "")).exists)
    (folder / "base.qcow2").write_text("of somebody else")
    fetched.join()
    assert refused
    assert (folder / "base.qcow2").read_text() == "of somebody else"
    assert [file.name for file in folder.iterdir()] == ["base.qcow2"]


def test_what_libvirt_makes_takes_its_name_when_it_is_whole(connection: Connection, pool: Any, folder: Path) -> None:
    """A run that is killed half-way leaves nothing of that name, and the next one makes it."""

    def make(name: str) -> None:
        assert name != "clone.raw"
        (folder / name).write_bytes(b"half")
        if os.getpid() != ours:
            os._exit(9)
        (folder / name).write_bytes(b"whole")

    ours = os.getpid()
    killed = multiprocessing.get_context("fork").Process(target=place_made, args=(connection, pool, "clone.raw", make))
    killed.start()
    killed.join(60)
    assert killed.exitcode == 9
    assert not (folder / "clone.raw").exists()
    place_made(connection, pool, "clone.raw", make)
    assert (folder / "clone.raw").read_bytes() == b"whole"
    assert [file.name for file in folder.iterdir()] == ["clone.raw"]
    with pytest.raises(Overtaken, match="has come into being meanwhile"):
        place_made(connection, pool, "clone.raw", make)


def test_a_link_in_the_place_of_the_part_is_not_followed(
    connection: Connection, pool: Any, folder: Path, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "precious").write_text("precious")
    (folder / part_name("base.qcow2", "")).symlink_to(tmp_path / "precious")
    with pytest.raises(BadContent, match="Too many levels of symbolic links"):
        _fetch(connection, pool, url=server("/ok.qcow2"))
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.fixture
def small(folder: Path, pool: Any) -> Iterator[Path]:
    """The pool's folder as a file system of 6 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("path", ["/endless", "/bomb.gz"])
def test_a_full_disk(connection: Connection, pool: Any, small: Path, server: Server, path: str) -> None:
    """It is not filled to the last byte, and nothing is left."""
    with pytest.raises(BadContent, match=r"\.base\.qcow2\..*part: No space left on device \(the last 61 KiB are left"):
        _fetch(connection, pool, url=server(path))
    assert list(small.iterdir()) == []


def test_bytes_take_the_place_of_older_ones(connection: Connection, pool: Any, folder: Path) -> None:
    place_bytes(connection, pool, "web1-seed.iso", b"one")
    place_bytes(connection, pool, "web1-seed.iso", b"two")
    assert (folder / "web1-seed.iso").read_bytes() == b"two"
