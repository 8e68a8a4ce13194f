"""Write a hardware bundle: the integers of a model as flat arrays, a C header and reference, golden vectors.

docs/hardware-bundle.md describes the folder. The tokens of every stream are compared with those of the engine, on
the backend `integer` and the fixed front end, before anything is written.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.hardware.arrays import (
    ModelArray,
    layer_entries,
    model_arrays,
    model_constants,
    network_layers,
)
from export.hardware.costs import cost_lines, costs
from export.hardware.directed import DIRECTED, Directed
from export.hardware.directed_front_end import directed_gain, directed_normaliser
from export.hardware.front_end import fixed_stages
from export.hardware.header import header
from export.hardware.signals import signals
from export.hardware.trace import stream_arrays, trace_stream
from hwckpt.hardware_bundle import (
    ARRAYS,
    BINARY,
    FORMAT,
    HEX,
    MANIFEST,
    VECTORS,
    ArrayEntry,
    CaseEntry,
    Kind,
    LayerEntry,
    Manifest,
    Type,
    file_entry,
    to_binary,
    to_hex,
)
from stream.errors import ArgumentError
from stream.files.atomic import folder_beside
from stream.integer.network import IntegerNetwork, to_integers
from stream.model.network import Network
from stream.recogniser import Recogniser
from stream.vocabulary import Vocabulary

INTEGER_VERSION = 1  # of docs/integer.md
REFERENCE = Path(__file__).resolve().parent / "reference"
SOURCES = ("rill.c", "rill.h", "rill_dump.c", "rill_transcribe.c")
HEADER, COSTS, CASES = "rill_model.h", "costs.md", "cases.txt"
TOKENS_PER_SECOND = 3.0  # of the table of costs
NOTES = ("license", "language", "author", "knows")
Progress = Callable[[str], None]
BEFORE = "_before"  # ends the name of what is given as it was before a step
GAIN_CASE, NORMALISER_CASE = "gain-control", "normaliser"
# Arrays of single steps: type and meaning.
STEP_ARRAYS: Mapping[str, tuple[Type, str]] = {
    "log2_mel": ("i32", "frame before gain control, 10.17"),
    "frames": ("i32", "frame after gain control, 10.19"),
    "background": ("i32", "background of gain control, 10.18"),
    "peak": ("i32", "peak, 10.18"),
    "gain": ("i32", "gain of the frame, 10.19"),
    "level": ("i32", "level of the gate, of 80 bins, 10.20"),
    "level_background": ("i32", "its background, 10.20"),
    "frames_left": ("u32", "frames left, 10.21"),
    "mean": ("i32", "running mean, 10.12"),
    "variance": ("u32", "running variance, 10.14"),
    "x": ("i8", "input of a layer; normalised frame, 10.16"),
    "acc": ("i32", "accumulators"),
    "z": ("i16", "inputs of the gates i, f, g, o, rule 3"),
    "c": ("i16", "cell"),
    "h": ("i8", "hidden state: input of a projection, result of an LSTM layer"),
    "e": ("i16", "projected frame, rule 5; input of the joint"),
    "g": ("i16", "projected prediction network, input of the joint"),
    "a": ("u8", "the joint's hidden vector, rule 6"),
    "logits": ("i32", "logits, rule 7"),
    "best": ("u16", "class of the largest, the lowest of equals"),
}


def write_bundle(
    network: Network,
    output: Path,
    recordings: Mapping[str, NDArray[np.int16]],
    texts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write a bundle.

    Args:
        network: a model with a quantisation.
        output: folder to write; an older bundle there is replaced.
        recordings: streams of the vectors, 16 kHz, by a name without spaces, in ASCII; directed ones are added.
        texts: what is said in them.
        progress: is told each stream.
    Raises:
        ModelError: the model has no integers, or its front end no fixed form.
        ExportError: the engine says other tokens than the vectors.
        ArgumentError: there is something else at `output`, or a recording has the name of a directed case.
    """
    if output.exists() and not (output / MANIFEST).is_file() and any(output.iterdir()):
        raise ArgumentError(f"{output}: not empty, and no hardware bundle; name another folder")
    integers = to_integers(network)
    arrays = model_arrays(network, integers)
    constants, layers = model_constants(network, integers), layer_entries(integers)
    digest = _digest(arrays)
    texts_of_tokens = _token_texts(network.vocabulary)
    table = costs(constants, layers, [array.entry for array in arrays])
    output.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(output) as place:
        folder = place / output.name
        (folder / ARRAYS).mkdir(parents=True)
        for array in arrays:
            _write_array(folder / ARRAYS, array)
        for name in SOURCES:
            shutil.copyfile(REFERENCE / name, folder / name)
        made = header(constants, layers, arrays, texts_of_tokens, digest)
        (folder / HEADER).write_text(made, "ascii")
        (folder / COSTS).write_text("\n".join(cost_lines(table, TOKENS_PER_SECOND)) + "\n", "utf-8")
        cases = [*_streams(network, integers, folder, recordings, texts or {}, progress)]
        cases += _front_end_steps(network, constants, folder)
        cases += _layer_steps(integers, layers, folder)
        lines = [f"{case.kind} {case.name} {case.layer or '-'}\n" for case in cases]
        (folder / VECTORS / CASES).write_text("".join(lines), "ascii")
        files = {
            path.relative_to(folder).as_posix(): file_entry(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        manifest = Manifest(
            format=FORMAT,
            integer_version=INTEGER_VERSION,
            model=digest,
            notes={name: network.notes[name] for name in NOTES if name in network.notes},
            constants=constants,
            layers=layers,
            arrays=tuple(array.entry for array in arrays),
            tokens=tuple(text.decode(errors="backslashreplace") for text in texts_of_tokens),
            costs=table,
            cases=tuple(cases),
            files=files,
        )
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        (folder / MANIFEST).write_bytes(content + b"\n")
        if output.exists():
            output.rename(Path(place) / "older")
        folder.rename(output)
    return manifest


def _digest(arrays: tuple[ModelArray, ...]) -> str:
    found = hashlib.sha256()
    for entry, values in arrays:
        found.update(entry.name.encode() + b"\0" + to_binary(values, entry.type))
    return found.hexdigest()


def _token_texts(vocabulary: Vocabulary) -> list[bytes]:
    """Return what each class adds to the text, blank last."""
    texts = [text if isinstance(text, bytes) else text.encode() for text in vocabulary.texts]
    return [*texts, b""]


def _write_array(folder: Path, array: ModelArray) -> None:
    entry, values = array
    (folder / f"{entry.name}{BINARY}").write_bytes(to_binary(values, entry.type))
    (folder / f"{entry.name}{HEX}").write_bytes(to_hex(values, entry.type))


def _streams(
    network: Network,
    integers: IntegerNetwork,
    folder: Path,
    recordings: Mapping[str, NDArray[np.int16]],
    texts: Mapping[str, str],
    progress: Progress | None,
) -> list[CaseEntry]:
    """Write the vectors of all streams."""
    directed = signals(network.specification, dict(recordings))
    layers = [name for name, _ in network_layers(integers)]
    of_steps = (GAIN_CASE, NORMALISER_CASE, *layers)
    if taken := [name for name in (*directed, *of_steps) if name in recordings]:
        raise ArgumentError(f"a recording is called {taken[0]}, as a directed case is: rename it")
    recogniser = Recogniser(network, "integer", front_end="fixed")
    cases = []
    for name, pcm in {**recordings, **directed}.items():
        if progress:
            progress(name)
        values = trace_stream(network, integers, pcm)
        said = [(token.id, token.step) for token in recogniser.transcribe(pcm).tokens]
        traced = list(zip(values["tokens"].tolist(), values["steps"].tolist(), strict=True))
        if said != traced:
            raise ExportError(
                f"{name}: the engine says {said[:5]} ..., the vectors {traced[:5]} ..."
            )
        entries = _write_case(folder, name, stream_arrays(integers), values)
        text = texts.get(name, "")
        cases.append(CaseEntry(name=name, kind="stream", given=("pcm",), arrays=entries, text=text))
    return cases


def _write_case(
    folder: Path, name: str, entries: tuple[ArrayEntry, ...], values: Mapping[str, NDArray[Any]]
) -> tuple[ArrayEntry, ...]:
    """Write the arrays of a case; returns their entries with the shapes that they have."""
    (folder / VECTORS / name).mkdir(parents=True)
    found = []
    for entry in entries:
        shaped = msgspec.structs.replace(entry, shape=values[entry.name].shape)
        _write_array(folder / VECTORS / name, ModelArray(shaped, values[entry.name]))
        found.append(shaped)
    return tuple(found)


def _front_end_steps(
    network: Network, constants: Mapping[str, int], folder: Path
) -> Iterator[CaseEntry]:
    """Write the directed vectors of gain control, where there is one, and of the normaliser; yields the cases."""
    stages, rng = fixed_stages(network), np.random.default_rng(0)
    if stages.gain:
        made = directed_gain(stages.gain, constants, rng)
        yield _write_steps(folder, GAIN_CASE, "gain", made)
    made = directed_normaliser(stages.normaliser, constants, rng)
    yield _write_steps(folder, NORMALISER_CASE, "normaliser", made)


def _layer_steps(
    integers: IntegerNetwork, layers: tuple[LayerEntry, ...], folder: Path
) -> Iterator[CaseEntry]:
    """Write the directed vectors of every layer; yields the cases."""
    named = zip(layers, network_layers(integers), strict=True)
    for number, (layer, (name, computes)) in enumerate(named):
        made = DIRECTED[layer.kind](computes, np.random.default_rng(number))
        yield _write_steps(folder, name, layer.kind, made, name)


def _write_steps(folder: Path, name: str, kind: Kind, made: Directed, layer: str = "") -> CaseEntry:
    values = made.given | made.computed
    return CaseEntry(
        name=name,
        kind=kind,
        layer=layer,
        given=tuple(made.given),
        arrays=_write_case(folder, name, tuple(map(_step_entry, values, values.values())), values),
        events=made.events,
        unreachable=made.unreachable,
    )


def _step_entry(name: str, values: NDArray[Any]) -> ArrayEntry:
    kind, meaning = STEP_ARRAYS[name.removesuffix(BEFORE)]
    if name.endswith(BEFORE):
        meaning += ", before the step"
    return ArrayEntry(name=name, type=kind, shape=values.shape, meaning=meaning)
