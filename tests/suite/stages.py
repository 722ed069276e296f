"""The stages of the suite, in the order in which they run: the quickest answer first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ansible_test
import command
import junit
import lab
import lint
import matrix
import reference
import workspace
from outcome import Outcome, failed, passed
from place import BIN, ROOT, Run, environment

if TYPE_CHECKING:
    from collections.abc import Callable


class Stage(NamedTuple):
    """A named part of the suite; `by_default` ones make up `make test`.

    Neighbours with the same `beside` run at the same time: each keeps one core busy, and one waits for downloads.
    """

    name: str
    outcomes: Callable[[Run], list[Outcome]]
    needs_lab: bool = False
    by_default: bool = True
    beside: str = ""


def unit(run: Run) -> list[Outcome]:
    """The pure rooms and the tool chain's own promises."""
    return _pytest("unit", run, "-n", "2")


def host(run: Run) -> list[Outcome]:
    """The libvirt room, against the driver that libvirt brings for tests."""
    return _pytest("host", run)


def integration(run: Run) -> list[Outcome]:
    """The modules, against libvirt and QEMU on the lab hosts, both at once."""
    trouble = lab.up(run)
    return [trouble] if trouble else _pytest("integration", run, "-n", "2", timeout=3000)


def guests(run: Run) -> list[Outcome]:
    """Whole guests on both lab hosts: booted, found, configured over ssh and their agents, rebooted, seeded anew."""
    trouble = lab.up(run)
    return [trouble] if trouble else _pytest("guests", run, timeout=3600)


def corpus(run: Run) -> list[Outcome]:
    """Libvirt's own test documents against the planner, and a sample of them against libvirt on the lab hosts."""
    return _corpus(run)


def whole_corpus(run: Run) -> list[Outcome]:
    """The same with all documents on the lab hosts."""
    return _corpus(run, "--whole")


def _corpus(run: Run, *options: str) -> list[Outcome]:
    """The corpus, both hosts at once. Prints its counts."""
    trouble = lab.up(run)
    if trouble:
        return [trouble]
    outcomes = _pytest("corpus", run, "-n", "2", *options, timeout=2400)
    for line in run.log("corpus").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("corpus: "):
            print("  " + line.partition(": ")[2], flush=True)
    return outcomes


def lab_itself(run: Run) -> list[Outcome]:
    """The lab, in a state of its own beside the one that the other stages use."""
    return _pytest("lab", run)


def sanity(run: Run) -> list[Outcome]:
    """ansible-test sanity, on the pinned ansible-core."""
    return ansible_test.sanity(workspace.make(run.folder / "sanity"), BIN, run.log("sanity"))


def molecule(run: Run) -> list[Outcome]:
    """The roles, each scenario one test on lab hosts of its own.

    A `default` scenario without a converge playbook only makes what the others share.
    """
    folder = ROOT / "extensions" / "molecule"
    names = [path.parent.name for path in sorted(folder.glob("*/molecule.yml"))]
    return [_scenario(name, run) for name in names if name != "default" or (folder / name / "converge.yml").exists()]


def _scenario(name: str, run: Run) -> Outcome:
    done = command.run(
        [BIN / "molecule", "test", "--scenario-name", name],
        log=run.log(f"molecule-{name}"),
        cwd=ROOT / "extensions",
        env=environment(ANSIBLE_FORCE_COLOR="false", NO_COLOR="1"),
        timeout=900,
    )
    return failed(f"molecule {name}", done.tail()) if done.status else passed(f"molecule {name}")


def _pytest(name: str, run: Run, *options: str, timeout: float = 600) -> list[Outcome]:
    """The tests of tests/NAME; a suite that stops before any test is a failure with its output."""
    report = run.folder / f"{name}.xml"
    done = command.run(
        [BIN / "python", "-m", "pytest", f"tests/{name}", f"--junitxml={report}", "--color=no", *options],
        log=run.log(name),
        cwd=ROOT,
        env=environment(),
        timeout=timeout,
    )
    return junit.with_status(junit.outcomes(report), done, f"pytest tests/{name}")


STAGES = (
    Stage("unit", unit),
    Stage("host", host),
    Stage("lint", lint.stage, beside="static"),
    Stage("sanity", sanity, beside="static"),
    Stage("lab", lab_itself, needs_lab=True),
    Stage("integration", integration, needs_lab=True),
    # Ten minutes alone on two processors, and three times that beside others: its guests are emulated.
    Stage("guests", guests, needs_lab=True),
    Stage("corpus", corpus, needs_lab=True),
    Stage("molecule", molecule, needs_lab=True),
    # Not by default: it takes a quarter of an hour.
    Stage("whole-corpus", whole_corpus, needs_lab=True, by_default=False),
    Stage("matrix", matrix.stage, by_default=False),
    Stage("docs", reference.stage, by_default=False),
)
