# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab host: all that libvirt has there, as virsh tells it, in one JSON document.

One virsh for the names and one for everything else. What changes by itself (times, space in use) is left out, so
that two documents are equal exactly when nothing was written between them.
"""

import json
import os
import re
import subprocess

VOLATILE = re.compile(r"\s*<(timestamps>.*?</timestamps|(allocation|available|physical)\b[^>]*>[^<]*</\w+)>", re.DOTALL)


def virsh(commands):
    """Outputs of virsh commands, by command; an error's text where one fails."""
    found = {}
    if commands:
        script = "; ".join("echo =mark=; echo; %s" % command for command in commands)
        done = subprocess.run(["virsh", "-q", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for command, part in zip(commands, done.stdout.split("=mark=")[1:]):
            found[command] = part.strip()
    return found


def names(text):
    """The lines of a list."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def facts(text):
    """The lines of an information command, "Key: value", as a dictionary."""
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, _colon, value in pairs}


def links():
    """Each network device with its number, the bridge that it belongs to and whether it carries."""
    found = {}
    for name in os.listdir("/sys/class/net"):
        base = "/sys/class/net/" + name
        master = os.path.realpath(base + "/master").rpartition("/")[2] if os.path.exists(base + "/master") else None
        with open(base + "/ifindex") as file:
            found[name] = {"ifindex": int(file.read()), "master": master}
    return found


def main():
    """Print the document."""
    lists = virsh(["list --all --name", "net-list --all --name", "pool-list --all --name"])
    domains, networks, pools = (names(lists[key]) for key in lists)
    wanted = []
    for name in domains:
        wanted += ["domstate " + name, "dominfo " + name]
        wanted += ["dumpxml --security-info " + name, "dumpxml --inactive --security-info " + name]
    for name in networks:
        wanted += ["net-info " + name, "net-dumpxml " + name, "net-dumpxml --inactive " + name]
    for name in pools:
        wanted += ["pool-info " + name, "pool-dumpxml " + name, "pool-dumpxml --inactive " + name]
        wanted += ["vol-list " + name]
    told = virsh(wanted)
    volumes = {}
    for pool in pools:
        for line in told["vol-list " + pool].splitlines():
            if not line.startswith("error:"):
                volumes.setdefault(pool, []).append(line.split()[0])
    told.update(virsh(["vol-dumpxml %s --pool %s" % (name, pool) for pool in volumes for name in volumes[pool]]))
    document = {"domains": {}, "networks": {}, "pools": {}, "volumes": {}, "links": links()}
    for name in domains:
        about = facts(told["dominfo " + name])
        document["domains"][name] = {
            "state": told["domstate " + name],
            "id": about.get("Id"),
            "autostart": about.get("Autostart") == "enable",
            "saved": about.get("Managed save") == "yes",
            "persistent": about.get("Persistent") == "yes",
            "live": told["dumpxml --security-info " + name],
            "inactive": told["dumpxml --inactive --security-info " + name],
        }
    for kind, word in (("networks", "net"), ("pools", "pool")):
        for name in {"networks": networks, "pools": pools}[kind]:
            about = facts(told["%s-info %s" % (word, name)])
            document[kind][name] = {
                "active": about.get("Active") == "yes" or about.get("State") == "running",
                "autostart": about.get("Autostart") == "yes",
                "live": VOLATILE.sub("", told["%s-dumpxml %s" % (word, name)]),
                "inactive": VOLATILE.sub("", told["%s-dumpxml --inactive %s" % (word, name)]),
            }
    for pool in volumes:
        for name in volumes[pool]:
            text = told["vol-dumpxml %s --pool %s" % (name, pool)]
            document["volumes"]["%s/%s" % (pool, name)] = {"xml": VOLATILE.sub("", text)}
    print(json.dumps(document, sort_keys=True))


main()
