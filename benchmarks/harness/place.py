"""Where things are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
BIN = ROOT / ".venv" / "bin"
LAB = ROOT / "tests" / "lab" / "lab"
CACHE = ROOT / ".cache" / "bench"
POOL = "/var/lib/libvirt/bench"
"""The pool bench on the lab host."""
RESULTS = BENCHMARKS / "results"
