"""community.libvirt, from the PyPI package that carries it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

from place import CACHE

# The release of the package that goes with the ansible-core of .venv.
PACKAGE = "ansible==12.3.0"
INSIDE = "ansible_collections/community/libvirt/"


def fetch_community() -> str:
    """Have community.libvirt below .cache/bench/peers; its version."""
    target = CACHE / "peers"
    manifest = target / INSIDE / "MANIFEST.json"
    if not manifest.exists():
        print(f"bench: fetching {PACKAGE} for community.libvirt", flush=True)
        wheels = CACHE / "wheels"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(wheels)]
        subprocess.run([*command, PACKAGE], check=True)
        with zipfile.ZipFile(next(wheels.glob("ansible-12*.whl"))) as wheel:
            wheel.extractall(target, [name for name in wheel.namelist() if name.startswith(INSIDE)])
    return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
