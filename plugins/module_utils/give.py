# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a volume's content, to be copied to the control machine: what there is of it, or a piece."""

from __future__ import annotations

from .host.connection import Connection, HypervisorError, MissingLibrary
from .host.download import look_at, write_piece
from .host.fetch import BadContent
from .module import Module


def give_volume(module: Module) -> None:
    """Run the module volume_fetch, as its action plugin asks."""
    params = module.params
    pool, name, piece = params["pool"], params["name"], params.get("piece")
    try:
        connection = Connection(params["uri"])
        try:
            if piece:
                given = write_piece(connection, pool, name, piece["begin"], piece["path"])
                module.exit_json(changed=False, ranges=given.ranges, end=given.end)
            looked = look_at(connection, pool, name)
        finally:
            connection.close()
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error))
    except BadContent as error:
        module.fail_json(msg=f"volume {pool}/{name}: {error}")
    if looked.writers:
        guests = ", ".join(looked.writers)
        module.fail_json(
            msg=f"volume {pool}/{name}: guest {guests} runs and writes to it, so a copy would be of no one moment; "
            "stop the guest, or take an external snapshot and copy the volume that it stands on"
        )
    module.exit_json(changed=False, length=looked.length, checksum=looked.checksum)
