"""Pythons to be had here, other processors' and other versions' among them, each as a line of shell.

1. A Python is what runs when its line is followed by arguments. The line passes on "$0", so that the
   Python goes by the name under which it was called: it then finds the virtual environment that it is
   the `bin/python` of, and a process that it starts as `sys.executable` is emulated as it is.
2. qemu-user translates one process and leaves system calls to the kernel of this machine. A file that
   is under its -L folder stands for the file of that path.
3. A Python from another release of Debian brings the C library that it was linked with, and is started
   by that library's loader.
"""

from __future__ import annotations

import glob
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.portability.debian import Unavailable, unpacked

__all__ = ["ARM_CPUS", "Interpreter", "emulated_arm", "emulated_x86", "of_version", "this"]

PACKAGES = (
    "libstdc++6",
    "libgomp1",
)  # libraries that wheels take from the system, beside Python's own
DEBIAN_RELEASES = {
    "3.11": "bookworm",
    "3.13": "trixie",
    "3.14": "forky",
}  # that carry such a Python
# What Linux writes into /proc/cpuinfo: of each core the instructions it has, and its part number.
ARM_CPUS = {
    "neoverse-n1": (
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
        "asimddp ssbs",
        "0xd0c",
    ),
    "cortex-a72": ("fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid", "0xd08"),
}
ASKED = "import sys; print(sys._base_executable, sys.base_prefix, sys.version, sep='\\n')"


@dataclass(frozen=True)
class Interpreter:
    """A Python that can be run here.

    Attributes:
        line: of a POSIX shell with `exec -a`; see rule 1.
        home: the folder of its executable, from which it finds its standard library.
        emulated: whether it runs on another CPU than this machine's.
    """

    line: str
    home: Path
    emulated: bool = False


def this() -> Interpreter:
    """Return the Python that runs this."""
    executable, home = _installed(sys.executable, platform.python_version())
    return Interpreter(f'exec -a "$0" {shlex.quote(executable)}', home)


def of_version(version: str, cache: Path) -> Interpreter:
    """Return a Python of a version, as "3.14": one on PATH or of pyenv, else Debian's, unpacked.

    Raises:
        Unavailable: there is none here, and none to be had.
    """
    pyenv = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    of_pyenv = sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python{version}"))
    for path in [on_path, *of_pyenv] if on_path else of_pyenv:
        try:
            executable, home = _installed(path, f"{version}.")
        except Unavailable:  # a shim of pyenv for a version that is not chosen, say
            continue
        return Interpreter(f'exec -a "$0" {shlex.quote(executable)}', home)
    release = DEBIAN_RELEASES.get(version)
    if release is None or platform.machine() != "x86_64":
        raise Unavailable(f"no python{version} on PATH or in {pyenv}")
    root = unpacked([f"python{version}", *PACKAGES], release, "amd64", cache / f"{release}-amd64")
    home = root / "usr/bin"
    loader = shlex.quote(str(next(root.rglob("ld-linux-x86-64.so.2"))))
    libraries = ":".join(sorted({str(path.parent) for path in root.rglob("lib*.so.*")}))
    python = shlex.join(["--library-path", libraries, str(home / f"python{version}")])
    return Interpreter(f'exec {loader} --argv0 "$0" {python}', home)


def emulated_x86(cpu: str) -> Interpreter:
    """Return the Python that runs this on another CPU of the x86-64 family, by QEMU's name of it.

    Raises:
        Unavailable: there is no qemu-x86_64, or this is another processor.
    """
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise Unavailable("wants Linux on x86-64")
    executable, home = _installed(sys.executable, platform.python_version())
    python = shlex.join(["-cpu", cpu, executable])
    return Interpreter(f'exec {_emulator("x86_64")} -0 "$0" {python}', home, emulated=True)


def emulated_arm(cpu: str, cache: Path) -> Interpreter:
    """Return Debian's Python 3.11 on a CPU of `ARM_CPUS`.

    Raises:
        Unavailable: there is no qemu-aarch64, or no Debian to take that Python from.
    """
    emulator = _emulator("aarch64")
    packages = ["python3.11", *PACKAGES]
    root = unpacked(packages, "bookworm", "arm64", cache / f"bookworm-arm64-{cpu}")
    # QEMU 7.2 shows a program the /proc/cpuinfo of this machine (10 shows one of its own). ONNX Runtime
    # 1.31 looks for ARM cores there, finds none, and reads address 0 when it is imported.
    features, part = ARM_CPUS[cpu]
    core = (
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
    )
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(
        "".join(f"processor\t: {n}\n{core}\n" for n in range(os.cpu_count() or 1))
    )
    home = root / "usr/bin"
    command = shlex.join(["-cpu", cpu, "-L", str(root), str(home / "python3.11")])
    return Interpreter(f'exec {emulator} -0 "$0" {command}', home, emulated=True)


def _installed(python: str, version: str) -> tuple[str, Path]:
    """Return the executable behind a Python, which may be that of an environment, and its folder."""
    try:
        asked = subprocess.run([python, "-c", ASKED], capture_output=True, text=True)
    except OSError as error:
        raise Unavailable(f"{python}: {error.strerror}") from error
    said = asked.stdout.splitlines()
    if asked.returncode or not said[2].startswith(version):
        raise Unavailable(f"{python} is no Python {version}")
    return said[0], Path(said[1]) / "bin"


def _emulator(architecture: str) -> str:
    for name in (f"qemu-{architecture}", f"qemu-{architecture}-static"):
        if path := shutil.which(name):
            return shlex.quote(path)
    raise Unavailable(f"no qemu-{architecture}: apt-get install qemu-user")
