"""python -m tests.export.hardware.speech: the C reference on speech, on every machine that it can be compiled for.

Its tokens and their encoder frames have to be those of the engine's integers with the fixed front end. Printed is also what
it takes: instructions of a second of audio, counted by a plugin of qemu's; code, constants and memory, as the
compiler's tools say. Machines whose tools are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.hardware.bundle import write_bundle
from stream.bundled import model_path, recordings
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance, read_manifest, spaced
from stream.model.network import Network, open_model
from stream.process import reports_errors, run_main
from stream.recogniser import Recogniser
from tests.export.hardware.compilers import TARGETS, Target
from tests.places import REPOSITORY

Said = list[tuple[int, int]]  # tokens, and the encoder frame of each
PLUGIN = REPOSITORY / "tests/export/hardware/qemu/count_instructions.c"
RUNNER = {"gcc": ("qemu-x86_64", "-cpu", "max")}  # where counting needs one


class Size(NamedTuple):
    """What a compiled reference takes, in bytes: code and constants, and the stack of the deepest chain of calls."""

    flash: int
    stack: int


def size(target: Target, bundle: Path, folder: Path) -> Size:
    """Compile rill.c alone and return its size."""
    compiled = folder / "rill.o"
    flags = [flag for flag in target.flags if flag.startswith("-m")]
    command = [target.compiler, "-std=c99", "-O2", *flags, "-fcallgraph-info=su", "-c", "rill.c"]
    subprocess.run([*command, "-o", str(compiled)], cwd=bundle, check=True)
    tool = target.compiler.removesuffix("gcc") + "size"
    listed = subprocess.run([tool, str(compiled)], capture_output=True, text=True, check=True)
    return Size(
        int(listed.stdout.splitlines()[1].split()[0]),
        deepest_stack(compiled.with_suffix(".ci").read_text()),
    )


def deepest_stack(graph: str) -> int:
    """Return the bytes of stack of the deepest chain of calls, of what gcc writes with -fcallgraph-info=su."""
    node = r'node: { title: "([^"]+)" label: "[^"]*?(\d+) bytes'
    own = {name: int(count) for name, count in re.findall(node, graph)}
    calls: dict[str, set[str]] = {}
    for caller, called in re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', graph):
        calls.setdefault(caller, set()).add(called)

    def deepest(name: str) -> int:
        return own.get(name, 0) + max(map(deepest, calls.get(name, ())), default=0)

    return max(map(deepest, own))


def samples(utterance: Utterance) -> NDArray[np.int16]:
    """Return the samples of an utterance."""
    return np.rint(utterance.read() * 32768.0).clip(-32768, 32767).astype(np.int16)


def expected(network: Network, audio: Sequence[NDArray[np.int16]]) -> list[Said]:
    """Return what the engine says of each recording."""
    recogniser = Recogniser(network, "integer", front_end="fixed")
    return [
        [(token.id, token.step) for token in recogniser.transcribe(pcm).tokens] for pcm in audio
    ]


def counting(command: Sequence[str], plugin: Path) -> list[str]:
    """Return a command of qemu that counts instructions on stderr, too."""
    return [*command[:-1], "-plugin", str(plugin), "-d", "plugin", command[-1]]


def run(command: Sequence[str], pcm: NDArray[np.int16]) -> tuple[Said, int]:
    """Return what a program says of a recording, and the instructions that it executed."""
    done = subprocess.run(
        [*command, "-"], input=pcm.astype("<i2").tobytes(), capture_output=True, check=True
    )
    numbers = [int(word) for word in done.stdout.split()]
    return list(zip(numbers[::2], numbers[1::2], strict=True)), int(done.stderr)


def machines() -> Iterator[tuple[str, Target]]:
    """Yield the machines whose tools are here; the others are named."""
    for name, target in TARGETS.items():
        target = target._replace(runner=target.runner or RUNNER.get(name, ()), sanitisers=False)
        if not target.runner:
            continue
        if target.missing:
            print(f"{name}: {target.missing} is not installed", file=sys.stderr)
        else:
            yield name, target


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.hardware.speech",
        description="Compare the C reference with the engine on the bundled recordings and some of a manifest.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt", type=Path, default=model_path(), help="default: the bundled model"
    )
    parser.add_argument("--manifest", type=Path, help="JSONL of further utterances")
    parser.add_argument("--limit", type=int, default=50, help="how many of them (default: 50)")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    """Print a table; returns 1 where a token differs."""
    arguments = build_parser().parse_args(argv)
    network = open_model(arguments.ckpt)
    utterances = list(recordings())
    if arguments.manifest:
        utterances += spaced(read_manifest(arguments.manifest), arguments.limit)
    audio = [samples(utterance) for utterance in utterances]
    want = expected(network, audio)
    seconds = sum(map(len, audio)) / SAMPLE_RATE
    tokens = sum(map(len, want))
    print(f"{len(audio)} recordings, {seconds:.1f} s, {tokens} tokens\n")
    print(
        "| machine | recordings with other tokens | million instructions a second | flash | stack |"
    )
    print("|---|---|---|---|---|")
    differing = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = folder / "bundle"
        write_bundle(network, bundle, {"speech": min(audio, key=len)})
        plugin = folder / "count.so"
        command = ["gcc", "-std=c99", "-shared", "-fPIC", str(PLUGIN), "-o", str(plugin)]
        subprocess.run(command, check=True)
        for name, target in machines():
            program = folder / name
            built = target.build(bundle, ("rill.c", "rill_transcribe.c"), program, optimise="-O2")
            ran = [run(counting(built, plugin), pcm) for pcm in audio]
            wrong = [
                utterance.audio.name
                for utterance, (said, _), tokens in zip(utterances, ran, want, strict=True)
                if said != tokens
            ]
            million = sum(count for _, count in ran) / seconds / 1e6
            of = size(target, bundle, folder)
            print(
                f"| {name} | {len(wrong)} | {million:.0f} | {of.flash} | {of.stack} |", flush=True
            )
            print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
            differing += len(wrong)
    return int(differing > 0)


if __name__ == "__main__":
    run_main(main)
