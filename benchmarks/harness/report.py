"""The table for a person and the file for a program."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from figure import Figure
from place import RESULTS, ROOT

Row = tuple[str, ...]

NOTES = """\
Ratio: median (min-max) over {rounds} interleaved rounds. "command" is all of ansible-playbook, as a user waits for it,
and what targets are judged by: met or not met in all rounds, else open. "task" is the task alone, from the
controller's first step to its result. "controller" is processor time of ansible-playbook and its ssh, which a busy
machine hardly changes.
Seconds are medians of the command, and true of this machine at this moment only.
Terraform's libvirt provider is not measured: it comes from registries that this bench does not reach."""


def table(figures: list[Figure]) -> str:
    """The figures as lines of text."""
    rows: list[Row] = [("what", "against", "command", "target", "", "task", "controller", "seconds")]
    for item in figures:
        sign = ">=" if item.at_least else "<="
        target = "" if item.target is None else f"{sign} {item.target:g}"
        seconds = "{:.1f} / {:.1f}".format(*item.seconds)
        ratios = (str(item.task), str(item.controller))
        rows.append((item.what, item.against, str(item.command), target, item.verdict, *ratios, seconds))
    return aligned(rows)


def aligned(rows: list[Row]) -> str:
    """Rows as columns of text."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_json(figures: list[Figure], tables: list[list[Row]], facts: Mapping[str, Any]) -> Path:
    """The figures as a file below results/, with what they were measured on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%S}.json"
    entries = [
        {
            **item._asdict(),
            "command": item.command._asdict(),
            "task": item.task._asdict(),
            "controller": item.controller._asdict(),
            "verdict": item.verdict,
        }
        for item in figures
    ]
    answer = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine(),
        **facts,
        "figures": entries,
        "tables": tables,
    }
    path.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "commit": commit,
        "processors": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
