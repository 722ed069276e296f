"""The lab host of the benchmarks: brought up, made a KVM host, and spoken to by ssh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from place import BIN, CACHE, LAB, POOL, ROOT

HOST = "bench1"
INVENTORY = CACHE / "inventory.yml"
TINY = "/var/lib/libvirt/bench-tiny"


class HostFailed(Exception):
    """A command on the lab host, or one that brings it up, failed."""


def bring_up(count: int = 1) -> tuple[str, ...]:
    """Have so many lab hosts run, with libvirt and the default network; their names, the first one always the same."""
    hosts = tuple(f"bench{number}" for number in range(1, count + 1))
    run([str(LAB), "up", "--prefix", "bench", "--hosts", str(count)])
    _write_inventory(hosts)
    ready = "python3 -c 'import libvirt, lxml' && virsh -q net-info default && virsh -q list"
    missing = [host for host in hosts if not _answers(ready, host)]
    if missing:
        print(f"bench: making KVM hosts of {', '.join(missing)} (a minute each)", flush=True)
        playbook = [str(BIN / "ansible-playbook"), "-i", str(INVENTORY), str(ROOT / "playbooks" / "host.yml")]
        run([*playbook, "--limit", ",".join(missing), "--forks", "2"])
    return hosts


def _answers(command: str, host: str) -> bool:
    try:
        on_host(command, host=host)
    except HostFailed:
        return False
    return True


def _write_inventory(hosts: tuple[str, ...]) -> None:
    """The lab's inventory with these hosts alone: others may bring up and end theirs meanwhile."""
    group = yaml.safe_load((ROOT / ".lab" / "inventory.yml").read_text(encoding="utf-8"))["kvm_hosts"]
    group["hosts"] = {host: group["hosts"][host] for host in hosts}
    CACHE.mkdir(parents=True, exist_ok=True)
    INVENTORY.write_text(yaml.safe_dump({"kvm_hosts": group}), encoding="utf-8")


def on_host(command: str, stdin: str | bytes = "", host: str = HOST) -> str:
    """What a shell command prints on a lab host. Raises HostFailed."""
    return run(["ssh", "-F", str(ROOT / ".lab" / "ssh_config"), host, command], stdin)


def run(command: list[str], stdin: str | bytes = "") -> str:
    """What a command on this machine prints. Raises HostFailed."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        raise HostFailed(f"{' '.join(command)}: {(done.stderr or done.stdout).decode()[-2000:]}")
    return done.stdout.decode()


def make_volumes(names: list[str]) -> None:
    """A pool bench that holds an empty volume for each of these guests, and nothing else."""
    files = "\n".join(f"{name}.qcow2" for name in names)
    on_host(
        f"set -e; mkdir -p {POOL}; cd {POOL}; qemu-img create -q -f qcow2 /var/tmp/bench-volume 1G;"
        "rm -f bench-*.qcow2; xargs -I@ cp /var/tmp/bench-volume @;"
        f"virsh -q pool-info bench 2>/dev/null || virsh -q pool-define-as bench dir --target {POOL};"
        "virsh -q pool-start bench 2>/dev/null || true; virsh -q pool-refresh bench",
        files,
    )


_FORGET = """
import libvirt, sys
connection = libvirt.open("qemu:///system")
for domain in connection.listAllDomains():
    if domain.name().startswith("bench-"):
        if domain.isActive():
            domain.destroy()
        if domain.isPersistent() and sys.argv[1] == "undefine":
            domain.undefine()
"""


def remove_guests() -> None:
    """No guest of the benchmarks is on the host."""
    on_host("python3 - undefine", _FORGET)


def stop_guests() -> None:
    """No guest of the benchmarks runs."""
    on_host("python3 - stop", _FORGET)


def template_of(guest: str) -> str:
    """The definition of a guest as a template for others: GUEST instead of its name, neither UUID nor MAC address."""
    script = """
import libvirt, sys
from lxml import etree
flags = libvirt.VIR_DOMAIN_XML_INACTIVE
root = etree.fromstring(libvirt.open("qemu:///system").lookupByName(sys.argv[1]).XMLDesc(flags))
root.remove(root.find("uuid"))
for interface in root.iterfind("devices/interface"):
    interface.remove(interface.find("mac"))
print(etree.tostring(root, encoding="unicode"))
"""
    return on_host(f"python3 - {guest}", script).replace(guest, "GUEST")


def tiny_guest() -> dict[str, Any]:
    """The options of a guest that boots the lab's tiny Linux; its files are put on the host."""
    folder = CACHE / "tiny"
    run([sys.executable, str(ROOT / "tests" / "lab" / "guest.py"), "--out", str(folder)])
    on_host(f"mkdir -p {TINY}")
    for file in ("vmlinuz", "initrd.img"):
        on_host(f"cat > {TINY}/{file}", (folder / file).read_bytes())
    return {
        "memory": "256 MiB",
        "vcpus": 1,
        "virt_type": "qemu",
        "cpu": {"mode": "maximum"},
        "kernel": f"{TINY}/vmlinuz",
        "initrd": f"{TINY}/initrd.img",
        "cmdline": (folder / "cmdline").read_text(encoding="utf-8").strip(),
    }


# A file of 4 GiB with 256 MiB of data in 64 places; the shell command wants its path.
SPARSE_FILE = "/var/lib/libvirt/bench-sparse.raw"
SPARSE = (
    'python3 -c \'import os, sys; file = open(sys.argv[1], "wb"); '
    "[(file.seek(place << 26), file.write(os.urandom(4 << 20))) for place in range(64)]; file.truncate(4 << 30)'"
)


def sparse_file() -> Path:
    """The same on this machine."""
    path = CACHE / "sparse.raw"
    run(["sh", "-c", f"{SPARSE} {path}"])
    return path


def make_image() -> None:
    """The pool bench holds one image, from which guests are made."""
    make_volumes([])
    on_host(f"cd {POOL} && qemu-img create -q -f qcow2 bench-base.qcow2 1G && virsh -q pool-refresh bench")


def remove_with_storage() -> None:
    """No guest of the benchmarks is there, nor what was made from the image."""
    remove_guests()
    on_host(f"cd {POOL} && rm -f bench-[0-9]* user-data && virsh -q pool-refresh bench")


def ssh_words(script: str) -> tuple[str, ...]:
    """The command that runs a shell script on the lab host."""
    return ("ssh", "-F", str(ROOT / ".lab" / "ssh_config"), HOST, script)
