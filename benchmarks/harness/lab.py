"""The lab host of the benchmarks: brought up, made a KVM host, and spoken to by ssh."""

from __future__ import annotations

import subprocess

import yaml
from place import BIN, CACHE, LAB, ROOT

HOST = "bench1"
INVENTORY = CACHE / "inventory.yml"
POOL = "/var/lib/libvirt/bench"


class HostFailed(Exception):
    """A command on the lab host, or one that brings it up, failed."""


def bring_up() -> None:
    """Have the lab host run, with libvirt, the default network, and a pool of volumes called bench."""
    _run([str(LAB), "up", "--prefix", "bench", "--hosts", "1"])
    _write_inventory()
    try:
        on_host("python3 -c 'import libvirt, lxml' && virsh -q net-info default && virsh -q list")
    except HostFailed:
        print("bench: making the lab host a KVM host (a minute)", flush=True)
        _run([str(BIN / "ansible-playbook"), "-i", str(INVENTORY), str(ROOT / "playbooks" / "host.yml")])


def _write_inventory() -> None:
    """The lab's inventory with this host alone: others may bring up and end theirs meanwhile."""
    group = yaml.safe_load((ROOT / ".lab" / "inventory.yml").read_text(encoding="utf-8"))["kvm_hosts"]
    group["hosts"] = {HOST: group["hosts"][HOST]}
    CACHE.mkdir(parents=True, exist_ok=True)
    INVENTORY.write_text(yaml.safe_dump({"kvm_hosts": group}), encoding="utf-8")


def on_host(command: str, stdin: str | bytes = "") -> str:
    """What a shell command prints on the lab host. Raises HostFailed."""
    return _run(["ssh", "-F", str(ROOT / ".lab" / "ssh_config"), HOST, command], stdin)


def _run(command: list[str], stdin: str | bytes = "") -> str:
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
