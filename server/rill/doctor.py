"""rill doctor: what runs on this machine, how fast, and what to install for the rest.

It runs every backend on a bundled recording and checks its text. The status is 1 where a text is wrong,
for then something is broken; what is merely absent is no fault.
"""

from __future__ import annotations

import argparse
import platform
import socket
from importlib.util import find_spec

import msgspec
import numpy
import onnxruntime

from server.client.microphone import MicrophoneError, default_microphone
from server.client.stream import DEFAULT_URL
from server.processes import machine
from server.rill.trial import FAULTY, Trial, processor_features, try_backend
from stream import __version__
from stream.backends import BACKENDS
from stream.bundled import model_path
from stream.engine.channel_memory import channel_bytes, megabytes
from stream.extras import EXTRAS, MissingExtraError, install_command
from stream.model.network import open_model
from stream.process import reports_errors, run_main
from stream.progress import show_line

PORT = int(DEFAULT_URL.rpartition(":")[2])


class Findings(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        versions: of Rill and of what it computes with.
        processor: cores and model; `features` are those of its instructions that backends gain from.
        backends: how each fared.
        channel_bytes: memory of a channel of the bundled model, by length of chunk in milliseconds.
        microphone: its name, or why there is none.
        extras: the packages that each lacks; none where it is installed.
        port: whether the server's usual port is free.
    """

    versions: dict[str, str]
    processor: str
    features: tuple[str, ...]
    backends: tuple[Trial, ...]
    channel_bytes: dict[int, int]
    microphone: str
    extras: dict[str, tuple[str, ...]]
    port: bool
    schema: str = "rill.doctor/1"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill doctor",
        description="Say what runs on this machine, how fast, and what to install for the rest.",
        epilog="Example: rill doctor. The status is 1 where a backend gives a wrong text.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    found = examine()
    print(msgspec.json.encode(found).decode() if arguments.json else report(found))
    return 1 if any(trial.fault == FAULTY for trial in found.backends) else 0


def examine() -> Findings:
    """Look at the machine; it takes some seconds, most of them in backends."""
    backends = []
    for name in BACKENDS:
        show_line(f"trying {name}")
        backends.append(try_backend(name))
    show_line("")
    return Findings(
        {
            "rill": __version__,
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "onnxruntime": onnxruntime.__version__,
            platform.system(): f"{platform.release()} {platform.machine()}",
        },
        machine(),
        processor_features(),
        tuple(backends),
        channel_bytes(open_model(model_path())),
        _microphone(),
        {
            extra: tuple(
                package
                for package, of in EXTRAS.items()
                if of == extra and find_spec(package) is None
            )
            for extra in sorted(set(EXTRAS.values()))
        },
        _is_free(PORT),
    )


def report(found: Findings) -> str:
    """Return the findings as text for people."""
    lines = [
        ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        f"processor: {found.processor}",
        f"           {' '.join(found.features) or 'its features are not known'}",
        "",
        "backends, with the bundled model and one stream:",
    ]
    for trial in found.backends:
        fared = f"{trial.speed:.1f} times real time" if not trial.fault else trial.fault
        lines.append(f"  {trial.backend:<14}{fared}")
    lines.append(
        f"  a channel takes {megabytes(found.channel_bytes)}; rill show says it of any model"
    )
    lines += ["", "extras:"]
    for extra, missing in found.extras.items():
        state = f"lacks {', '.join(missing)}: {install_command(extra)}" if missing else "installed"
        lines.append(f"  {extra:<14}{state}")
    free = "is free" if found.port else "is taken: rill serve --port N"
    return "\n".join([*lines, "", f"microphone: {found.microphone}", f"port {PORT}:  {free}"])


def _microphone() -> str:
    try:
        return default_microphone()
    except (MicrophoneError, MissingExtraError) as error:
        return f"none; {error}"


def _is_free(port: int) -> bool:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    run_main(main)
