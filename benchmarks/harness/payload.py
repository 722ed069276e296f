"""What a module costs beside its work: its size on the wire, and its processes on the host, run without Ansible."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from lab import HostFailed, on_host
from place import BENCHMARKS, ROOT

FOLDER = "/var/lib/libvirt/bench-payloads"


class Payload(NamedTuple):
    """A module with its arguments as Ansible sends it. program: what the host's Python gets. files: names within."""

    program: bytes
    files: frozenset[str]


class Process(NamedTuple):
    """One run of a module on the host. seconds: by the clock. processor: user and system time. memory: peak, in MiB."""

    seconds: float
    processor: float
    memory: float


def library_payload(module: str, arguments: Mapping[str, Any]) -> Payload:
    """What goes to a host for a task of one of our modules, by its short name."""
    _load_plugins()
    from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources  # noqa: PLC0415

    request: dict[str, Any] = {"digest": sources.digest(), "module": module, "given": dict(arguments)}
    return payload_of("kvmfleet.libvirt.library", request)


def keeping_payload(path: str) -> Payload:
    """What goes to a host besides that never met one of our modules. path: where the library is to be kept."""
    _load_plugins()
    from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources  # noqa: PLC0415

    return payload_of("kvmfleet.libvirt.keep_library", {"path": path, "source": sources.archive()})


def _load_plugins() -> None:
    """ansible-core reads its configuration when it is imported, and finds collections when its loader is made."""
    os.environ.setdefault("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    os.environ.setdefault("ANSIBLE_LIBRARY", str(BENCHMARKS / "modules"))
    from ansible.plugins.loader import init_plugin_loader  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        init_plugin_loader()


def payload_of(module: str, arguments: Mapping[str, Any]) -> Payload:
    """What ansible-core sends for a task of this module."""
    _load_plugins()
    from ansible.executor.module_common import modify_module  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.plugins.loader import module_loader  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415

    found = module_loader.find_plugin_with_context(module)
    made = modify_module(
        module_name=module,
        module_path=found.plugin_resolved_path,
        module_args=dict(arguments),
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    )
    return Payload(made.b_module_data, _files_in(made.b_module_data))


def _files_in(program: bytes) -> frozenset[str]:
    """The names of the files in the archive that the program carries, its longest string; none if it carries none."""
    text = max(re.findall(rb"[A-Za-z0-9+/=]{1000,}", program), key=len, default=None)
    if text is None:
        return frozenset()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(text))) as archive:
        return frozenset(archive.namelist())


_RACE = """
import json, os, subprocess, sys, time
times = {name: [] for name in sys.argv[2:]}
for number in range(int(sys.argv[1])):
    for name in times:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, name], stdout=subprocess.DEVNULL)
        status, usage = os.wait4(process.pid, 0)[1:]
        if status:
            sys.exit(name + " failed")
        spent = usage.ru_utime + usage.ru_stime
        times[name].append([time.monotonic() - began, spent, usage.ru_maxrss / 1024])
print(json.dumps(times))
"""


def race_on_host(payloads: Mapping[str, Payload], rounds: int) -> dict[str, list[Process]]:
    """Run modules on the host in turn, without a controller; each one's processes by round. Raises HostFailed."""
    send(payloads)
    names = " ".join(payloads)
    times = json.loads(on_host(f"cd {FOLDER} && python3 - {rounds} {names}", _RACE))
    return {name: [Process(*run) for run in runs] for name, runs in times.items()}


def send(payloads: Mapping[str, Payload]) -> None:
    """Put payloads on the host as files."""
    on_host(f"mkdir -p {FOLDER}")
    for name, payload in payloads.items():
        on_host(f"cat > {FOLDER}/{name}", payload.program)


def keep_library() -> Payload:
    """Have the library kept on the host, as the first task does; what that took beside the task. Raises HostFailed."""
    asked: dict[str, Any] = {kind: [] for kind in ("secrets", "nwfilters", "pools", "networks", "volumes", "domains")}
    send({"first": library_payload("stack_info", asked)})
    told = json.loads(on_host(f"python3 {FOLDER}/first"))
    payload = keeping_payload(told.get("path", "/root/.cache/kvmfleet.libvirt/unused.zip"))
    if told.get("library") == "missing":
        send({"keep": payload})
        on_host(f"python3 {FOLDER}/keep")
        told = json.loads(on_host(f"python3 {FOLDER}/first"))
    if "stack" not in told:
        raise HostFailed(f"the library is not kept: {told}")
    return payload


_IMPORTS = """
import glob, json, subprocess, sys
once = '''
import sys, time
sys.path.insert(0, sys.argv[1])
import ansible.module_utils.basic
began = time.process_time()
import kvmfleet_libvirt.entry
if sys.argv[2] == "stack_info":
    import kvmfleet_libvirt.tell
print((time.process_time() - began) * 1000)
'''
(library,) = glob.glob("/root/.cache/kvmfleet.libvirt/" + sys.argv[1] + "*.zip")
times = {name: [] for name in ("stack", "stack_info")}
for _ in range(int(sys.argv[2])):
    for name in times:
        command = [sys.executable, "-c", once, library, name]
        times[name].append(float(subprocess.run(command, capture_output=True, check=True).stdout))
print(json.dumps(times))
"""


def import_ms(rounds: int) -> dict[str, float]:
    """Milliseconds of processor time in which the kept library is imported for stack and for stack_info, with libvirt,
    lxml and what they bring in: all that ping does not need. The medians.
    """
    from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources  # noqa: PLC0415

    times = json.loads(on_host(f"cd {FOLDER} && python3 - {sources.digest()} {rounds}", _IMPORTS))
    return {name: median(runs) for name, runs in times.items()}
