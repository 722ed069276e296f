# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from fleet import AREA, LOOK, Host, Task, until

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
SERVER = f"""
import http.server, os, time
os.chdir('{AREA}/www')
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith('/short'):
            self.send_response(200); self.send_header('Content-Length', '1000000'); self.end_headers()
            self.wfile.write(b'x' * 1000)
        elif self.path.startswith('/slow'):
            self.send_response(200); self.send_header('Content-Length', '36'); self.end_headers()
            for _second in range(36):
                time.sleep(1); self.wfile.write(b's')
        else:
            super().do_GET()
    def log_message(self, *_what): pass
http.server.HTTPServer(('127.0.0.1', 8099), Handler).serve_forever()
"""
# The hosts have no xz.
PACK = 'import gzip, lzma; b = lambda n: open(n, "rb").read(); '
PACK += 'lzma.open("one.xz", "w").write(b("one")); gzip.open("two.gz", "w").write(b("two"))'


def image(host: Host, path: str) -> dict[str, Any]:
    """What qemu-img tells of a file."""
    return dict(json.loads(host.sh(f"qemu-img info -U --output=json {path}")))


@pytest.fixture
def www(host: Host, name: str) -> Iterator[str]:
    """The URL of a web server on the host that serves AREA/www, with two images."""
    host.put(f"{AREA}/serve.py", SERVER.encode())
    host.sh(f"mkdir -p {AREA}/www && cd {AREA}/www && qemu-img create -q -f qcow2 disk.qcow2 8M")
    host.sh(f"head -c 300000 /dev/zero | tr '\\0' k > {AREA}/www/data.raw")
    host.sh(f"cd {AREA}/www && echo '<html>Sign in' > page.raw")
    host.sh(f"cd {AREA}/www && qemu-img create -q -f qcow2 -F raw -b /etc/shadow overlay.qcow2")
    host.sh(f"systemd-run -q --unit {name}-www python3 {AREA}/serve.py")
    until(lambda: host.sh("ss -Hltn sport = :8099"), "the web server listens")
    yield "http://127.0.0.1:8099"
    host.sh(f"systemctl stop {name}-www; rm -r {AREA}/www {AREA}/serve.py")


def files(host: Host, name: str) -> list[str]:
    """All that is in a test's pool, hidden files too."""
    return host.sh(f"ls -A {AREA}/{name}").split()


@pytest.mark.both
def test_a_volume_from_nothing_to_nothing(host: Host, pool: str, name: str) -> None:
    made = host.converge("volume", name="a.qcow2", pool=pool, size="10 MiB")
    assert made.run.objects == {f"volume {pool}/a.qcow2": made.run.only}
    about = image(host, f"{AREA}/{name}/a.qcow2")
    assert (about["format"], about["virtual-size"]) == ("qcow2", 10 * MIB)
    assert about["format-specific"]["data"]["compat"] == "1.1"

    same = [{"size": size} for size in ("10240 KiB", "10485760 bytes")]
    for result in host.play(*(Task("volume", {"name": "a.qcow2", "pool": pool, **options}) for options in same)):
        assert (result.failed, result.changed) == (False, False), result.data

    grown = host.converge("volume", name="a.qcow2", pool=pool, size="20 MiB")
    assert grown.run.changes == {"size": ("10 MiB", "20 MiB")}
    assert image(host, f"{AREA}/{name}/a.qcow2")["virtual-size"] == 20 * MIB

    wrong = [({"size": "5 MiB"}, "shrunk"), ({"format": "raw"}, "format")]
    host.refuses("volume", [({"name": "a.qcow2", "pool": pool, **options}, part) for options, part in wrong])

    host.converge("volume", name="a.qcow2", pool=pool, state="absent")
    assert files(host, name) == []


def test_a_name_alone_changes_nothing(host: Host, pool: str) -> None:
    host.virsh(f"vol-create-as {pool} a.raw 1M")
    host.converge("volume", changed=False, name="a.raw", pool=pool)


def test_content_from_a_url(host: Host, pool: str, name: str, www: str) -> None:
    digest = hashlib.sha256(b"k" * 300000).hexdigest()
    source = {"url": f"{www}/data.raw", "checksum": f"sha256:{digest}"}
    host.converge("volume", name="data.raw", pool=pool, source=source)
    assert host.sh(f"sha256sum < {AREA}/{name}/data.raw").split()[0] == digest

    grown = {"url": f"{www}/disk.qcow2"}
    host.converge("volume", name="disk.qcow2", pool=pool, source=grown, size="16 MiB")
    about = image(host, f"{AREA}/{name}/disk.qcow2")
    assert (about["format"], about["virtual-size"]) == ("qcow2", 16 * MIB)
    assert files(host, name) == ["data.raw", "disk.qcow2"]


def test_content_that_takes_longer_than_libvirt_waits_for_a_silent_client(
    host: Host, pool: str, name: str, www: str
) -> None:
    """libvirt hangs up after half a minute, and a fetch makes no call as long as it takes."""
    host.run("volume", name="slow.raw", pool=pool, source={"url": f"{www}/slow.raw"})
    assert host.sh(f"cat {AREA}/{name}/slow.raw") == "s" * 36


def test_content_is_unpacked_converted_and_fetched_anew_when_it_is_another(
    host: Host, pool: str, name: str, www: str
) -> None:
    www_dir, made = f"{AREA}/www", f"{AREA}/{name}/base.qcow2"
    for file in ("one", "two"):
        host.sh(f"cd {www_dir} && printf {file} > {file} && truncate -s 4M {file}")
    host.sh(f"cd {www_dir} && python3 -c '{PACK}' && cp one.xz image.raw.xz")
    one, two = (host.sh(f"sha256sum < {www_dir}/{file}").split()[0] for file in ("one.xz", "two.gz"))
    first = {"url": f"{www}/image.raw.xz", "checksum": f"sha256:{one}"}
    volume: dict[str, Any] = {"name": "base.qcow2", "pool": pool, "format": "qcow2", "size": "8 MiB"}
    host.converge("volume", **volume, source=first, cluster_size="128 KiB", permissions={"mode": "0644"})
    about = image(host, made)
    assert (about["format"], about["virtual-size"], about["cluster-size"]) == ("qcow2", 8 * MIB, 128 << 10)
    assert "6f 6e 65" in host.sh(f"qemu-io -r -c 'read -v 0 512' {made}")
    assert host.sh(f"stat -c %a {made}").strip() == "644"
    # Growing it is no change of its content.
    volume["size"] = "16 MiB"
    host.converge("volume", **volume, source=first)

    second = {"url": f"{www}/two.gz", "checksum": f"sha256:{two}"}
    host.run("volume", name="over.qcow2", pool=pool, backing="base.qcow2")
    digest = host.sh(f"sha256sum < {made}")
    used = host.converge("volume", changed=False, name="base.qcow2", pool=pool, source=second)
    assert used.run.pending == {"source.checksum"}
    assert host.sh(f"sha256sum < {made}") == digest
    host.run("volume", name="over.qcow2", pool=pool, state="absent")
    anew = host.converge("volume", **volume, source=second)
    assert anew.run.changes == {"source.checksum": (f"sha256:{one}", f"sha256:{two}")}
    assert "74 77 6f" in host.sh(f"qemu-io -r -c 'read -v 0 512' {made}")

    host.sh(f"qemu-io -c 'write -P 0x6b 1M 64k' {made}")
    drifted = host.converge("volume", changed=False, **volume, source=second)
    assert drifted.run.pending == {"source.checksum"}
    assert files(host, name) == ["base.qcow2"]


BAD_CONTENT: list[tuple[dict[str, str], tuple[str, ...]]] = [
    ({"url": "{}/data.raw", "checksum": "sha256:" + "0" * 64}, ("checksum", "sha256")),
    ({"url": "{}/none.raw"}, ("404",)),
    ({"url": "{}/page.raw"}, ("web page",)),
    ({"url": "{}/overlay.qcow2"}, ("refers to other files",)),
    ({"url": "{}/short.raw"}, ("1000 of 1000000",)),
    ({"url": "http://127.0.0.1:1/x.raw"}, ("refused",)),
    ({"file": "/nowhere/x.raw"}, ("/nowhere/x.raw",)),
]


def test_content_that_is_not_as_declared_leaves_nothing(host: Host, pool: str, name: str, www: str) -> None:
    sources = [{key: text.format(www) for key, text in source.items()} for source, _parts in BAD_CONTENT]
    for (_source, parts), failed in zip(
        BAD_CONTENT,
        host.play(*(Task("volume", {"name": "a.raw", "pool": pool, "source": source}) for source in sources)),
    ):
        assert failed.failed
        assert all(part in failed.msg for part in parts), failed.msg
        assert not failed.changed
    assert files(host, name) == []
    assert f"{pool}/a.raw" not in host.see().all["volumes"]


def test_content_of_a_file(host: Host, pool: str, name: str) -> None:
    host.sh(f"qemu-img create -q -f qcow2 {AREA}/{name}-from.qcow2 4M")
    made = host.converge("volume", name="copy.qcow2", pool=pool, source={"file": f"{AREA}/{name}-from.qcow2"})
    assert made.after.volume(f"{pool}/copy.qcow2", "target/format/@type") == "qcow2"
    assert host.sh(f"cmp {AREA}/{name}-from.qcow2 {AREA}/{name}/copy.qcow2 && echo same").strip() == "same"


@pytest.mark.both
def test_clones_and_overlays(host: Host, pool: str, name: str) -> None:
    base = f"{AREA}/{name}/base.qcow2"
    host.virsh(f"vol-create-as {pool} base.qcow2 8M --format qcow2")
    host.sh(f"qemu-io -c 'write -P 0x6b 0 64k' {base}")
    digest = host.sh(f"sha256sum < {base}")
    host.converge("volume", name="clone.qcow2", pool=pool, clone="base.qcow2", size="12 MiB")
    about = image(host, f"{AREA}/{name}/clone.qcow2")
    assert (about["virtual-size"], about.get("backing-filename")) == (12 * MIB, None)
    read = host.sh(f"qemu-io -r -c 'read -P 0x6b 0 64k' {AREA}/{name}/clone.qcow2")
    assert "read 65536/65536" in read
    assert "verification failed" not in read
    host.converge("volume", name="over.qcow2", pool=pool, backing="base.qcow2")
    about = image(host, f"{AREA}/{name}/over.qcow2")
    assert (about["backing-filename"], about["backing-filename-format"]) == (base, "qcow2")
    assert about["virtual-size"] == 8 * MIB

    host.refuses(
        "volume",
        [
            ({"name": "base.qcow2", "pool": pool, "state": "absent"}, "over.qcow2"),
            ({"name": "clone.qcow2", "pool": pool, "backing": "base.qcow2"}, "clone.qcow2"),
            ({"name": "small.qcow2", "pool": pool, "backing": "base.qcow2", "size": "1 MiB"}, "smaller"),
            ({"name": "x.qcow2", "pool": pool, "backing": "nope"}, "nope"),
        ],
    )
    host.converge("volume", name="over.qcow2", pool=pool, state="absent")
    host.converge("volume", name="base.qcow2", pool=pool, state="absent")
    assert host.sh(f"sha256sum < {base} 2>&1", check=False) != digest


def test_a_volume_in_use_is_not_deleted_and_grows_under_its_guest(host: Host, pool: str, name: str) -> None:
    host.virsh(f"vol-create-as {pool} used.qcow2 8M --format qcow2")
    path = f"{AREA}/{name}/used.qcow2"
    guest = f"<domain type='qemu'><name>{name}g</name><memory>65536</memory><os><type>hvm</type></os><devices>"
    guest += f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>"
    guest += "<target dev='vda'/></disk></devices></domain>"
    host.put(f"{AREA}/{name}-g.xml", guest.encode())
    host.virsh(f"define {AREA}/{name}-g.xml")
    assert f"{name}g" in host.refused("volume", name="used.qcow2", pool=pool, state="absent")
    # The same file, by another name of its directory.
    host.sh(f"ln -s {AREA}/{name} {AREA}/{name}l && virsh -q pool-create-as {name}l dir --target {AREA}/{name}l")
    assert f"{name}g" in host.refused("volume", name="used.qcow2", pool=f"{name}l", state="absent")
    host.virsh(f"start {name}g")
    assert f"{name}g" in host.refused("volume", name="used.qcow2", pool=pool, state="absent")
    host.converge("volume", name="used.qcow2", pool=pool, size="16 MiB")
    assert f"{16 * MIB}" in host.virsh(f"domblkinfo {name}g vda")
    assert host.see().state(f"{name}g") == "running"


def test_raw_xml_for_a_new_volume(host: Host, pool: str, name: str) -> None:
    text = "<volume><name>x</name><capacity unit='MiB'>3</capacity><target><format type='qcow2'/>"
    text += "<compat>1.1</compat><features><lazy_refcounts/></features></target></volume>"
    host.converge("volume", name="x.qcow2", pool=pool, xml=text)
    assert image(host, f"{AREA}/{name}/x.qcow2")["format-specific"]["data"]["lazy-refcounts"] is True


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"size": "lots"}, "lots"),
    ({"size": "-1 GiB"}, "-1"),
    ({}, "size"),
    ({"size": "1 MiB", "pool": "nowhere"}, "nowhere"),
    ({"source": {"url": "http://x/y", "checksum": "sha256:12"}}, "checksum"),
    ({"source": {"url": "http://x/y", "file": "/x"}}, "url"),
    ({"source": {}}, "source"),
    ({"clone": "a", "backing": "b"}, "exclude"),
    ({"name": "../a.raw", "size": "1 MiB"}, "name"),
    ({"name": "a/b.raw", "size": "1 MiB"}, "name"),
]


def test_what_cannot_be_is_refused(host: Host, pool: str, name: str) -> None:
    host.refuses("volume", [({"name": "a.qcow2", "pool": pool, **options}, part) for options, part in REFUSED])
    assert files(host, name) == []


@pytest.mark.both
def test_options_of_a_new_volume(host: Host, pool: str, name: str) -> None:
    secret = {"type": "volume", "name": f"{AREA}/{name}/v.qcow2", "value": "geheim"}
    options: dict[str, Any] = {"compat": "1.1", "cluster_size": "128 KiB", "lazy_refcounts": True, "extended_l2": True}
    volume: dict[str, Any] = {"name": "v.qcow2", "pool": pool, "size": "8 MiB", **options, "preallocation": "metadata"}
    volume["permissions"] = {"mode": "0640", "owner": 64055, "group": 64055}
    sealed = {"name": "s.raw", "pool": pool, "size": "4 MiB", "encryption": {"secret_usage": secret["name"]}}
    host.converge("stack", secrets=[secret], volumes=[volume, sealed])
    host.virsh(f"pool-refresh {pool}")
    host.converge("stack", changed=False, secrets=[secret], volumes=[volume, sealed])
    about = image(host, f"{AREA}/{name}/v.qcow2")
    assert about["cluster-size"] == 128 << 10
    assert {key: about["format-specific"]["data"][key] for key in ("lazy-refcounts", "extended-l2")} == {
        "lazy-refcounts": True,
        "extended-l2": True,
    }
    assert host.sh(f"stat -c '%a %u %g' {AREA}/{name}/v.qcow2").split() == ["640", "64055", "64055"]
    assert image(host, f"{AREA}/{name}/s.raw")["format"] == "luks"

    told = host.converge("volume", changed=False, name="v.qcow2", pool=pool, cluster_size="64 KiB")
    assert told.run.pending == {"cluster_size"}
    assert "made otherwise" in told.run.msg
    assert not told.run.only["restart_required"]

    moved = host.converge("volume", name="v.qcow2", pool=pool, permissions={"mode": "0600", "owner": 0})
    assert set(moved.run.changes) == {"permissions.mode", "permissions.owner"}
    assert host.sh(f"stat -c '%a %u %g' {AREA}/{name}/v.qcow2").split() == ["600", "0", "64055"]

    host.converge("volume", name="full.raw", pool=pool, size="4 MiB", preallocation="falloc")
    assert host.sh(f"stat -c %b {AREA}/{name}/full.raw").strip() == str((4 << 20) // 512)
    host.converge("volume", name="full.raw", pool=pool, state="absent", wipe=True)
    host.converge("volume", name="thin.raw", pool=pool, size="4 MiB")
    assert host.sh(f"stat -c %b {AREA}/{name}/thin.raw").strip() == "0"


def test_a_volume_is_cut_only_when_told(host: Host, pool: str, name: str) -> None:
    host.run("volume", name="a.qcow2", pool=pool, size="64 MiB")
    host.run("volume", name="over.qcow2", pool=pool, backing="a.qcow2")
    smaller: dict[str, Any] = {"name": "a.qcow2", "pool": pool, "size": "16 MiB"}
    host.refuses("volume", [(smaller, "allow_shrink"), ({**smaller, "allow_shrink": True}, "over.qcow2")])
    host.run("volume", name="over.qcow2", pool=pool, state="absent")
    host.converge("volume", **smaller, allow_shrink=True)
    assert image(host, f"{AREA}/{name}/a.qcow2")["virtual-size"] == 16 * MIB


def test_content_of_a_file_of_the_control_machine(host: Host, pool: str, name: str) -> None:
    """Brought to the host when it is needed and not before, and anew when it is another file."""
    local = host.scratch / f"{name}.raw"
    local.write_bytes(b"one" + bytes(3 << 20))
    volume: dict[str, Any] = {"name": "a.raw", "pool": pool, "source": {"local": str(local)}}
    made = host.converge("volume", **volume)
    assert made.run.changes["source"][1]["local"] == str(local)
    assert host.sh(f"head -c 3 {AREA}/{name}/a.raw") == "one"
    assert int(host.sh(f"stat -c %b {AREA}/{name}/a.raw")) * 512 < 1 << 20
    local.write_bytes(b"two" + bytes(3 << 20))
    anew = host.converge("stack", volumes=[volume])
    assert set(anew.run.changes) == {"source.checksum"}
    assert host.sh(f"head -c 3 {AREA}/{name}/a.raw") == "two"
    assert files(host, name) == ["a.raw"]
    assert str(host.scratch) in host.refused("volume", name="b.raw", pool=pool, source={"local": f"{local}.none"})
    local.unlink()


def test_a_volume_is_uploaded_to_another_host_with_its_holes(host: Host, pool: str, name: str) -> None:
    """The module's machine is not the hypervisor's: content goes by libvirt, which would convert it."""
    remote = {"uri": f"qemu+ssh://root@{host.name}/system"}
    host.sh(f"printf begin > {AREA}/{name}-from.raw && truncate -s 64M {AREA}/{name}-from.raw")
    host.sh(f"printf end | dd status=none conv=notrunc of={AREA}/{name}-from.raw bs=1 seek=40M")
    host.sh(f"qemu-img convert -O qcow2 {AREA}/{name}-from.raw {AREA}/{name}-from.qcow2")
    ends = {"a": "raw", "b": "qcow2", "c": "qcow2"}
    volumes = [
        {"name": f"{one}.{end}", "pool": pool, "source": {"file": f"{AREA}/{name}-from.{end}"}}
        for one, end in ends.items()
    ]
    (made, again) = host.play(*[Task("stack", {"volumes": volumes, **remote})] * 2)
    assert (made.failed, made.changed, again.changed) == (False, True, False), made.data
    for one, end in ends.items():
        host.sh(f"cmp {AREA}/{name}-from.{end} {AREA}/{name}/{one}.{end}")
    assert int(host.sh(f"stat -c %b {AREA}/{name}/a.raw")) * 512 < 4 << 20


@pytest.mark.both
def test_an_image_of_files_is_made_anew_when_they_are_others(host: Host, pool: str, name: str) -> None:
    files = {"ks.cfg": "rootpw S3cret-one\n", "more/data.json": {"hosts": ["web1"]}}
    iso: dict[str, Any] = {"name": "answers.iso", "pool": pool, "permissions": {"mode": "0640"}}
    made = host.converge("volume", **iso, iso={"label": "OEMDRV", "files": files})
    assert made.run.changes["iso.files"] == (None, ["ks.cfg", "more/data.json"])
    digest = host.sh(f"sha256sum < {AREA}/{name}/answers.iso")
    assert host.sh(f"blkid -o value -s LABEL {AREA}/{name}/answers.iso").strip() == "OEMDRV"
    anew = host.converge("volume", **iso, iso={"label": "OEMDRV", "files": {**files, "ks.cfg": "rootpw S3cret-two\n"}})
    assert set(anew.run.changes) == {"iso.files"}
    assert "S3cret" not in host.output
    assert host.sh(f"grep -ao 'S3cret-[a-z]*' {AREA}/{name}/answers.iso").split() == ["S3cret-two"]
    host.converge("volume", **iso, iso={"label": "OEMDRV", "files": files})
    assert host.sh(f"sha256sum < {AREA}/{name}/answers.iso") == digest
    assert host.sh(f"stat -c %a {AREA}/{name}/answers.iso").strip() == "640"


def test_a_volume_is_wiped_when_nobody_uses_it(host: Host, pool: str, name: str) -> None:
    """What is left is empty, and of the same size, format, options and backing volume."""
    made, over = f"{AREA}/{name}/a.qcow2", f"{AREA}/{name}/over.qcow2"
    options: dict[str, Any] = {"size": "8 MiB", "lazy_refcounts": True, "permissions": {"mode": "0640"}}
    host.run("volume", name="a.qcow2", pool=pool, **options)
    host.run("volume", name="b.raw", pool=pool, size="1 MiB")
    host.sh(
        f"qemu-io -c 'write -P 0x6b 0 64k' {made}; printf S3cret | dd status=none conv=notrunc of={AREA}/{name}/b.raw"
    )
    host.run("volume", name="over.qcow2", pool=pool, backing="a.qcow2")
    host.sh(f"qemu-io -c 'write -P 0x6c 0 64k' {over}")
    wiped = [Task("volume", {"name": volume, "pool": pool, "state": "wiped"}) for volume in ("over.qcow2", "b.raw")]
    assert "over.qcow2" in host.refused("volume", name="a.qcow2", pool=pool, state="wiped")
    before, check, unwritten, run, _other = host.play(LOOK, wiped[0]._replace(check=True), LOOK, *wiped)
    assert before == unwritten
    assert not run.failed, run.data
    assert check.prediction() == run.prediction()
    assert "read 65536/65536" in host.sh(f"qemu-io -r -c 'read -P 0x6b 0 64k' {over}")
    assert "verification failed" not in host.sh(f"qemu-io -r -c 'read -P 0x6b 0 64k' {over}")
    assert host.sh(f"tr -d '\\0' < {AREA}/{name}/b.raw | wc -c").strip() == "0"
    assert host.sh(f"stat -c %s {AREA}/{name}/b.raw").strip() == str(MIB)
    host.run("volume", name="over.qcow2", pool=pool, state="absent")
    assert host.run("volume", name="a.qcow2", pool=pool, state="wiped").changed
    assert "verification failed" in host.sh(f"qemu-io -r -c 'read -P 0x6b 0 64k' {made}", check=False)
    host.converge("volume", changed=False, name="a.qcow2", pool=pool, **options)
    assert host.sh(f"stat -c %a {made}").strip() == "640"


def test_a_clone_is_of_another_pool(host: Host, pool: str, name: str) -> None:
    other = f"{AREA}/{name}-other"
    host.sh(f"virsh -q pool-create-as {name}o dir --target {other} --build")
    host.sh(f"qemu-img create -q -f qcow2 {other}/a.qcow2 4M && qemu-io -c 'write -P 0x6b 0 64k' {other}/a.qcow2")
    host.virsh(f"pool-refresh {name}o")
    clone: dict[str, Any] = {"name": "a.qcow2", "pool": pool, "clone": "a.qcow2", "clone_pool": f"{name}o"}
    host.converge("volume", **clone, size="8 MiB")
    assert image(host, f"{AREA}/{name}/a.qcow2")["virtual-size"] == 8 * MIB
    assert "verification failed" not in host.sh(f"qemu-io -r -c 'read -P 0x6b 0 64k' {AREA}/{name}/a.qcow2")
    assert files(host, name) == ["a.qcow2"]
    host.virsh(f"pool-destroy {name}o")


@pytest.mark.both
def test_a_volume_comes_back_to_the_control_machine(host: Host, pool: str, name: str) -> None:
    copy = host.scratch / f"{name}-copies" / "a.raw"
    host.sh(f"truncate -s 64M {AREA}/{name}/a.raw && printf begin | dd conv=notrunc of={AREA}/{name}/a.raw status=none")
    host.sh(f"printf end | dd status=none conv=notrunc of={AREA}/{name}/a.raw bs=1 seek=40M")
    host.virsh(f"pool-refresh {pool}")
    task = Task("volume_fetch", {"name": "a.raw", "pool": pool, "dest": f"{copy.parent}/"})
    checked, made, again, none = host.play(
        task._replace(check=True), task, task, Task("volume_fetch", {**task.options, "name": "none"})
    )
    assert (checked.failed, checked.changed, checked.diff) == (False, True, made.diff), checked.data
    assert (made.changed, again.changed, again.diff) == (True, False, "")
    assert made.data["dest"] == str(copy)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    assert made.data["checksum"] == f"sha256:{digest}"
    assert host.sh(f"sha256sum < {AREA}/{name}/a.raw").split()[0] == digest
    assert copy.stat().st_blocks * 512 < MIB
    assert [file.name for file in copy.parent.iterdir()] == ["a.raw"]
    assert none.failed
    assert "VIR_ERR_NO_STORAGE_VOL" in none.msg

    guest: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu", "state": "running"}
    host.run("domain", name=f"{name}g", **guest, disks=[{"target": "vda", "volume": "a.raw", "pool": pool}])
    (used,) = host.play(task)
    assert used.failed
    assert f"{name}g runs and writes to it" in used.msg
