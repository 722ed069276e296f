"""The lab hosts, for the stages that need some."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import command
from outcome import Outcome, failed
from place import ROOT, Run, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

LAB = ROOT / "tests" / "lab" / "lab"
HOSTS: Sequence[str] = ("--hosts", "2", "--releases", "bookworm,trixie")
"""One host of each Debian release in the support matrix."""


def obstacle() -> str | None:
    """Why this machine cannot have a lab, None if it can."""
    return None if os.geteuid() == 0 else "the lab needs root: run as root, or name stages without it (--stages)"


def up(run: Run) -> Outcome | None:
    """Bring the hosts up, which is quick where they are; what went wrong otherwise."""
    done = command.run([LAB, "up", *HOSTS], log=run.log("lab-up"), cwd=ROOT, env=environment(), timeout=900)
    return failed("lab up", done.tail()) if done.status else None


def down(run: Run) -> Outcome | None:
    """Stop the hosts; what went wrong otherwise, for a lab that stays is a fault of its own."""
    done = command.run([LAB, "down"], log=run.log("lab-down"), cwd=ROOT, env=environment(), timeout=180, cleans_up=True)
    return failed("lab down", done.tail()) if done.status else None
