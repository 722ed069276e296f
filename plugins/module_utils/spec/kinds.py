# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of object, in the order in which they are made."""

from __future__ import annotations

from .domain import DOMAIN
from .field import Field, Kind
from .network import NETWORK
from .nwfilter import NWFILTER
from .pool import POOL
from .secret import SECRET
from .snapshot import SNAPSHOT
from .table import rows
from .volume import VOLUME

KINDS: tuple[Kind, ...] = (SECRET, NWFILTER, POOL, NETWORK, VOLUME, DOMAIN)
# Those of a stack, and what is done to a guest that is there.
KIND: dict[str, Kind] = {kind.name: kind for kind in (*KINDS, SNAPSHOT)}

CONNECTION = (Field("uri", "line", default="qemu:///system", doc="URI of the hypervisor, as C(virsh -c) takes it."),)

RUN = (
    *CONNECTION,
    Field("parallel", "int", default=5, doc="Number of objects worked on at the same time."),
    Field(
        "on_error",
        default="stop",
        choices=("stop", "continue"),
        doc="After an object failed: V(stop) begins no other one, V(continue) leaves out only those that need it.",
    ),
)

STACK = RUN + tuple(
    Field(
        kind.plural,
        "items",
        doc=f"The {kind.plural} of the host. Those that are not listed are left alone.",
        fields=kind.fields,
    )
    for kind in KINDS
)

INFO = CONNECTION + tuple(
    Field(
        kind.plural,
        "words",
        doc=f"Names of {kind.plural} to tell about, shell patterns allowed. All when left out, none when empty.",
    )
    for kind in KINDS
)

FETCH = CONNECTION + rows("""
- name  name  -  required
    Name of the volume.
- pool  name  -  default=default
    Pool of the volume.
- dest  path  -  required
    The file of the control machine. One that ends in V(/), or is a folder, gets a file of the volume's name in it. Folders are made.
- piece  dict  -
    How a piece of the volume is asked for. It is not meant to be used in a play.
    - begin  int  -  required
        Where it begins, in bytes.
    - path  path  -  required
        The file, on the machine that the module runs on, that it is written to.
""")


def module_fields(kind: Kind) -> tuple[Field, ...]:
    """The options of the module that declares one object of this kind."""
    return RUN + kind.fields
