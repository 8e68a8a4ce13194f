"""Debian packages of any release and architecture, unpacked into a folder; nothing is installed.

apt resolves and downloads with a state of its own in that folder, from the mirror that this system's apt
is set up with, and checks signatures as always. Scripts of packages are not run: what is unpacked are
files, enough for an interpreter and its libraries.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Unavailable", "unpacked"]

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


one_at_a_time = threading.Lock()  # two installations may want the same folder


class Unavailable(Exception):
    """An installation cannot be had on this system; the message says what is missing."""


def unpacked(packages: Sequence[str], release: str, architecture: str, folder: Path) -> Path:
    """Return the folder under which packages and all that they need lie unpacked.

    Args:
        packages: their names.
        release: code name, as "bookworm".
        architecture: Debian's name of it, as "arm64".
        folder: a cache; what lies there already is not fetched again.
    Raises:
        Unavailable: this is no Debian, or the packages cannot be fetched.
    """
    folder = folder.resolve()  # apt would take another for a folder of its own
    with one_at_a_time:
        return _unpacked(packages, release, architecture, folder)


def _unpacked(packages: Sequence[str], release: str, architecture: str, folder: Path) -> Path:
    root, complete = folder / "root", folder / "complete"
    wanted = " ".join([release, architecture, *packages])
    if complete.is_file() and complete.read_text() == wanted:
        return root
    mirror = _mirror()
    shutil.rmtree(folder, ignore_errors=True)
    state = folder / "apt"
    for name in ("etc/preferences.d", "lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "etc/sources.list").write_text(f"deb [signed-by={KEYS}] {mirror} {release} main\n")
    (state / "status").touch()  # of dpkg: nothing is installed, so all that is needed is fetched
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",  # the folder is ours, not that of the user _apt
        "Debug::NoLocking": "1",
        "Dir::Cache": state,
        "Dir::Etc": state / "etc",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": state,
        "Dir::State::status": state / "status",
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "--yes", "--no-install-recommends", "--download-only", "install", *packages)
    for package in sorted((state / "archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", str(package), str(root))
    shutil.rmtree(state)
    complete.write_text(wanted)
    return root


def _mirror() -> str:
    """Return the address that this system fetches Debian from."""
    if not KEYS.is_file() or not shutil.which("dpkg-deb"):
        raise Unavailable(f"needs Debian's apt-get, dpkg-deb and {KEYS}")
    targets = _run(
        *("apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(SITE)"),
        "Identifier: Packages",
    )
    for line in targets.splitlines():
        label, component, site = line.rsplit(" ", 2)
        if (label, component) == ("Debian", "main"):
            return site
    raise Unavailable("apt is not set up with a mirror of Debian")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Unavailable(f"needs {command[0]}, which is not installed") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [done.stderr]
        raise Unavailable(f"{command[0]} {command[-1]}: {' '.join(said).strip()}")
    return done.stdout
