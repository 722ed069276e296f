# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fleet import AREA, Host, Seen, Task

VALUES = ("V4lue-one", "V4lue-two")


def value_of(seen: Seen, usage: str) -> str:
    """The value that libvirt has for a use."""
    (found,) = [secret["value"] for secret in seen.all["secrets"].values() if f">{usage}<" in secret["inactive"]]
    return base64.b64decode(found).decode()


@pytest.mark.both
def test_a_secret_from_nothing_to_nothing(host: Host, name: str) -> None:
    made = host.converge("secret", type="ceph", name=name, description="A key", value=VALUES[0])
    assert value_of(made.after, name) == VALUES[0]
    host.converge("secret", changed=False, type="ceph", name=name)
    turned = host.converge("secret", type="ceph", name=name, value_base64=base64.b64encode(VALUES[1].encode()).decode())
    assert set(turned.run.changes) == {"value"}
    assert value_of(turned.after, name) == VALUES[1]
    described = host.converge("secret", type="ceph", name=name, description="Another key", ephemeral=False)
    assert value_of(described.after, name) == VALUES[1]
    told = host.run("stack_info", secrets=[name], pools=[], networks=[], volumes=[], domains=[])
    (exported,) = told.data["stack"]["secrets"]
    assert "value" not in exported
    host.converge("secret", changed=False, **exported)
    gone = host.converge("secret", type="ceph", name=name, state="absent")
    assert gone.after.all["secrets"] == {}
    for value in VALUES:
        assert value not in host.output


USES: list[dict[str, Any]] = [
    {"type": "volume", "name": f"{AREA}/{{}}.luks"},
    {"type": "iscsi", "name": "{}-target"},
    {"type": "tls", "name": "{}"},
    {"type": "vtpm", "name": "{}"},
    {"type": "none", "name": "{}", "description": "{}"},
]


def test_every_use(host: Host, name: str) -> None:
    """One name may have several uses."""
    items = [{key: text.format(name) for key, text in item.items()} for item in USES]
    secrets = [{**item, "value": VALUES[0], "ephemeral": True} for item in items]
    made = host.converge("stack", secrets=secrets)
    assert len(made.after.all["secrets"]) == len(USES)
    gone = host.converge("stack", secrets=[{**item, "state": "absent"} for item in items])
    assert gone.after.all["secrets"] == {}


def test_a_private_secret_is_set_when_that_is_said(host: Host, name: str) -> None:
    options = {"type": "tls", "name": name, "private": True}
    host.converge("secret", **options, value=VALUES[0])
    host.converge("secret", changed=False, **options, value=VALUES[1])
    always = Task("secret", {**options, "value": VALUES[1], "set_value": "always"})
    for done in host.play(always, always):
        assert (done.changed, done.failed, set(done.changes)) == (True, False, {"value"}), done.data
    assert VALUES[1] not in host.output
    assert "private" in host.refused("secret", **{**options, "private": False})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "volume", "name": "no-path"}, "the volume's path"),
    ({"type": "ceph", "name": ""}, "name"),
    ({"type": "cheese", "name": "x"}, "cheese"),
    ({"type": "ceph", "name": "x", "value": "a", "value_base64": "YQ=="}, "exclude"),
    ({"type": "ceph", "name": "x", "value_base64": "###"}, "value_base64"),
    ({"type": "ceph", "name": "x", "value": ""}, "empty"),
]


def test_what_cannot_be_is_refused(host: Host) -> None:
    host.refuses("secret", REFUSED)
