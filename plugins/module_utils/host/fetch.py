# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source, copied into a file: fetched in pieces where it has to be, and held against its checksum."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Callable, NamedTuple

from ..plan.words import shown_url
from ..progress import metered

CHUNK = 1 << 20
_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)
# How often a download that broke off is taken up again in one run, as long as each time brings something.
_TRIES = 5


Look = Callable[[IO[bytes], int], None]
"""Sees a file that is being written, and how many bytes it has so far. Raises BadContent if it is not wanted."""

# Of a file system this stays free: 1 in so many parts of it, but no more bytes than that.
_SHARE, _MOST = 100, 64 << 20


class BadContent(Exception):
    """The content of a volume could not be had as declared. Nothing carries the volume's name."""


class BrokenOff(BadContent):
    """A source ended before its end."""


class Answer(NamedTuple):
    """A source that is being read. begin: where it begins in the whole; length: of the whole, None when not told.
    resumes: whether a part of it can be asked for; tag: what tells this version of it from others.
    """

    stream: Any
    begin: int
    length: int | None
    resumes: bool
    tag: str | None


def copy_source(source: Mapping[str, Any], part: IO[bytes], look: Look) -> None:
    """Copy a source into a file. What is in the file already is taken for its beginning, if a checksum can tell.

    Raises BadContent; BrokenOff when the source ended early.
    """
    held = part.seek(0, os.SEEK_END) if source.get("checksum") else 0
    part.truncate(held)
    _copy_whole(source, part, held, look)
    try:
        verify(source, part)
    except BadContent:
        if not held:
            raise
        # The beginning was of something else.
        part.truncate(0)
        _copy_whole(source, part, 0, look)
        verify(source, part)


def _copy_file(source: Mapping[str, Any], part: IO[bytes], look: Look) -> None:
    """Copy a file of this machine. Its holes are not even read: an image of some GiB may hold some MiB."""
    part.truncate(0)
    with _opened(source, 0, None) as answer:
        end = answer.length or 0
        with metered(shown(source), end) as through:
            for begin, hole in data_ranges(answer.stream.fileno(), end):
                answer.stream.seek(begin)
                part.seek(begin)
                count = begin
                while count < hole:
                    chunk = answer.stream.read(min(CHUNK, hole - count))
                    if not chunk:
                        raise BrokenOff(f"{shown(source)} broke off after {count} of {end} bytes")
                    write_sparse(part, chunk)
                    count += len(chunk)
                    look(part, count)
                    through(count)
    part.truncate(end)


def data_ranges(fd: int, end: int, at: int = 0) -> Iterator[tuple[int, int]]:
    """The ranges of a file, from one byte to another, in which there is data: begin and end in bytes."""
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
            hole = os.lseek(fd, at, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # Nothing but a hole is left.
            hole = end  # A file system that knows no holes.
        yield at, min(hole, end)
        at = hole


def _copy_whole(source: Mapping[str, Any], part: IO[bytes], begin: int, look: Look) -> None:
    if source.get("file"):
        _copy_file(source, part, look)
        return
    count, tag = begin, None
    for attempt in range(_TRIES):
        before, resumes = count, False
        try:
            with _opened(source, count, tag) as answer:
                if answer.begin not in (0, count):
                    raise BadContent(f"{shown(source)}: the server gave another part than was asked for")
                count, resumes, tag = answer.begin, answer.resumes, answer.tag
                part.seek(count)
                part.truncate(count)
                with metered(shown(source), answer.length) as through:
                    for chunk in _chunks(answer, shown(source), count):
                        write_sparse(part, chunk)
                        count += len(chunk)
                        look(part, count)
                        through(count)
            part.truncate(count)
        except BrokenOff:
            part.flush()
            count = part.seek(0, os.SEEK_END)
            last = attempt == _TRIES - 1 or count <= before
            if last or not resumes or not (tag or source.get("checksum")):
                raise
        else:
            return


def _chunks(answer: Answer, where: str, count: int) -> Iterator[bytes]:
    """What a source gives. What goes wrong there is told apart from what goes wrong with the file written to."""
    while True:
        try:
            chunk = bytes(answer.stream.read(CHUNK))
        except (OSError, http.client.HTTPException) as error:
            raise BrokenOff(f"{where} broke off after {count} bytes ({error})") from error
        if not chunk:
            break
        count += len(chunk)
        yield chunk
    if answer.length is not None and count != answer.length:
        raise BrokenOff(f"{where} broke off after {count} of {answer.length} bytes")


def write_sparse(file: IO[bytes], data: bytes) -> None:
    """Write, leaving holes where there are only zeros. The caller sets the length at the end.

    Raises OSError for a file system that is full but for a little: a guest whose write finds no room at all is paused.
    """
    about = os.fstatvfs(file.fileno())
    left = min(about.f_blocks * about.f_frsize // _SHARE, _MOST)
    if about.f_bavail * about.f_frsize < left + len(data) and data.strip(b"\0"):
        raise OSError(
            errno.ENOSPC, f"No space left on device (the last {left >> 10} KiB are left to guests and others)"
        )
    view = memoryview(data)
    for start in range(0, len(view), _BLOCK):
        block = view[start : start + _BLOCK]
        if block == _ZEROS[: len(block)]:
            file.seek(len(block), os.SEEK_CUR)
        else:
            file.write(block)


def digest_of(file: IO[bytes], algorithm: str) -> str:
    """The digest of a whole file in hexadecimal."""
    digest = hashlib.new(algorithm)
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def verify(source: Mapping[str, Any], part: IO[bytes]) -> None:
    """Hold a file against the declared checksum of its source, if there is one. Raises BadContent."""
    if not source.get("checksum"):
        return
    algorithm, _colon, declared = source["checksum"].partition(":")
    part.flush()
    found = digest_of(part, algorithm)
    if found != declared.lower():
        raise BadContent(
            f"{shown(source)} has the {algorithm} checksum {found}, declared is {declared.lower()}; nothing was kept"
        )


def shown(source: Mapping[str, Any]) -> str:
    """Where a source is, without its login."""
    return str(shown_url(source.get("url") or source.get("local") or source.get("file")))


def opened(source: Mapping[str, Any]) -> IO[bytes]:
    """The file of this machine that a source names. Raises BadContent."""
    try:
        return os.fdopen(os.open(source["file"], os.O_RDONLY), "rb")
    except OSError as error:
        raise BadContent("{}: {}".format(source["file"], error.strerror or error)) from error


@contextmanager
def _opened(source: Mapping[str, Any], begin: int, tag: str | None) -> Iterator[Answer]:
    """A source, from this byte on if it can be had so. tag: the version that is wanted."""
    if source.get("file"):
        with opened(source) as stream:
            yield Answer(stream, 0, os.fstat(stream.fileno()).st_size, False, None)
        return
    if not source.get("url"):
        raise BadContent(f"{source.get('local')} is on the control machine, and was not brought here")
    try:
        with _part_of(source, begin, tag) as stream:
            yield _answer(stream)
    except urllib.error.HTTPError as error:
        error.close()
        raise BadContent(f"{shown(source)}: the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise BadContent(f"{shown(source)}: {getattr(error, 'reason', error)}") from error


def _part_of(source: Mapping[str, Any], begin: int, tag: str | None) -> Any:
    """What a server answers who is asked for all from this byte on; all of it where it has no such byte."""
    headers = {"Accept-Encoding": "identity"}
    if not begin:
        return _request(source, headers)
    wanted = {"Range": f"bytes={begin}-", **({"If-Range": tag} if tag else {})}
    try:
        return _request(source, {**headers, **wanted})
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return _request(source, headers)


def _request(source: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
    """What a server answers. Proxies are those of the environment; a login in the URL goes to its own server only."""
    parts = urllib.parse.urlsplit(source["url"])
    request = urllib.request.Request(  # noqa: S310 - the planner allows http, https, ftp and file
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.scheme != "ftp" else source["url"],
        headers={"User-Agent": "kvmfleet.libvirt", **headers},
    )
    if parts.username is not None and parts.scheme != "ftp":
        login = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    context = ssl.create_default_context()
    if source.get("validate_certs") is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # ansible-core's own open_url is not there where the kept library runs.
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)).open(request, timeout=60)


def _answer(stream: Any) -> Answer:
    headers = stream.headers
    text = headers.get("Content-Length")
    length, begin = (int(text) if text else None), 0
    partial = getattr(stream, "code", None) == http.client.PARTIAL_CONTENT
    if partial:
        # "bytes 1000-1999/2000"
        begin = int((headers.get("Content-Range") or "").partition(" ")[2].partition("-")[0])
        length = None if length is None else length + begin
    tag = headers.get("ETag")
    # A weak tag does not promise the same bytes (RFC 9110, 13.1.5).
    tag = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    return Answer(stream, begin, length, partial or headers.get("Accept-Ranges") == "bytes", tag)
