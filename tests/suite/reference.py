"""The module and role reference as HTML."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import command
from outcome import Outcome, failed, passed
from place import BIN, CACHE, ROOT, Run, environment

if TYPE_CHECKING:
    from command import Words

HTML = CACHE / "docs"

CONF = """\
project = "kvmfleet.libvirt"
extensions = ["sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
pygments_style = "ansible"
# Labels of Ansible's own documentation: its inventory would have to be fetched.
suppress_warnings = ["ref.ref"]
"""


def stage(run: Run) -> list[Outcome]:
    """Written to .cache/docs; a warning of Sphinx is a failure."""
    source = run.folder / "docs"
    source.mkdir()
    extract = ["collection", "--use-current", "--squash-hierarchy", "--dest-dir", str(source), "kvmfleet.libvirt"]
    build = ["-W", "--keep-going", "-q", "-b", "html", str(source), str(run.folder / "html")]
    steps: tuple[tuple[str, Words], ...] = (
        ("antsibull-docs collection", [BIN / "antsibull-docs", *extract]),
        ("sphinx-build", [BIN / "sphinx-build", *build]),
    )
    (source / "conf.py").write_text(CONF)
    for name, words in steps:
        done = command.run(words, log=run.log(name.partition(" ")[0]), cwd=ROOT, env=environment())
        if done.status:
            return [failed(name, done.tail())]
    shutil.rmtree(HTML, ignore_errors=True)
    shutil.move(run.folder / "html", HTML)
    print(f"    {HTML / 'index.html'}")
    return [passed("documentation")]
