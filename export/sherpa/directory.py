"""Write a model for sherpa-onnx, and run it before it is moved into place.

The files are encoder.onnx, decoder.onnx, joiner.onnx and tokens.txt, which sherpa-onnx 1.13.5 and later
loads as a streaming transducer; of a CTC head model.onnx and tokens.txt, which it loads as NeMo's streaming CTC model.
Beside them lies bpe.vocab, by which sherpa-onnx spells hotwords for its beam search of a transducer.
With int8 they hold the model directory's own int8 graphs, with u8
weights: products of u8 and s8 saturate on a CPU without VNNI, about which sherpa-onnx does not warn. The
files are fed as sherpa-onnx feeds them, with Rill's features of the bundled recordings. If the tokens are
not Rill's, nothing is left behind.

sherpa-onnx itself still differs: its frames begin 120 samples earlier and are mirrored at both ends, its
Hann window is periodic, a frame has at most 10 tokens, and the last part of a step is dropped. It has no
muting, does not print `<unk>`, and its endpoints reset the running statistics too. It has no gate of the
statistics, no gain control (docs/normaliser.md says what that costs) and no KenLM n-gram models: such a
model is written, and compared, without them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import sentencepiece
from numpy.typing import NDArray

from export.errors import ExportError
from stream.backends.onnx import OnnxBackend, located
from stream.backends.session import open_session
from stream.backends.unsigned_weights import unsigned_weights
from stream.bundled import recordings
from stream.decoding.greedy import Greedy, GreedyConfig
from stream.files.atomic import folder_beside
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.model.directory import CTC_GRAPH, GRAPHS, INT8_GRAPHS
from stream.model.network import Network
from stream.model.specification import Head, ModelError
from stream.stage import Floats, whole

SYMBOLS_PER_STEP = 10  # of sherpa-onnx
MODEL = "model.onnx"  # of a CTC head


def export(
    network: Network,
    output: Path,
    *,
    head: Head | None = None,
    int8: bool = False,
    signed_weights: bool = False,
) -> int:
    """Write and verify a directory for sherpa-onnx.

    Args:
        network: the model, of number format float32.
        output: folder to write; there is none yet, or an empty one.
        head: "transducer" or "ctc"; None: the first that the model has.
        int8: take the int8 graphs of the network's model directory.
        signed_weights: leave their weights s8, for CPUs with VNNI, AMX or of ARM only.
    Returns:
        the tokens that were compared.
    Raises:
        ModelError: sherpa-onnx cannot compute this model, there are no int8 graphs, or the folder
            has something in it.
        ExportError: what was written computes other tokens; nothing was left behind.
    """
    import onnx

    from export.build import build
    from export.sherpa.graph import wrap

    head = network.specification.head(head)
    if head == "transducer" and network.specification.prediction.family != "lstm":
        raise ModelError(
            "sherpa-onnx' streaming transducers have an LSTM for prediction network, and the model's is of the "
            f"family {network.specification.prediction.family!r}",
            network.path,
        )
    network.specification.require_common_features("a directory for sherpa-onnx")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ModelError("exists and is not an empty folder; choose another place", output)
    network = _without_gate(network)
    encoder, *transducer = INT8_GRAPHS if int8 else GRAPHS
    names = [encoder, *(transducer if head == "transducer" else [CTC_GRAPH])]
    if int8:
        paths = located(network, names, "has no int8 graphs; write them: python -m export.onnx")
        graphs = {
            n: onnx.load(path).SerializeToString() for n, path in paths.items()
        }  # weights inside
        if not signed_weights:
            graphs = {name: unsigned_weights(graph) for name, graph in graphs.items()}
    else:
        built = build(network, inside=True)
        graphs = {name: built[name] for name in names}
    files = wrap(network, {name.partition(".")[0]: graph for name, graph in graphs.items()})
    output.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(output) as temporary:
        written = temporary / output.name
        written.mkdir()
        for name, content in files.items():
            (written / name).write_bytes(content)
        (written / "tokens.txt").write_text(_tokens(network), encoding="utf-8")
        (written / "bpe.vocab").write_text(_scores(network), encoding="utf-8")
        backend = OnnxBackend(network, graphs)
        compared = verify(network, backend, written)
        written.rename(output)
    return compared


def _without_gate(network: Network) -> Network:
    """Return the model without what sherpa-onnx' front end cannot do."""
    changed = msgspec.structs.replace(network.specification, gain_control=None, gate=None)
    return replace(network, specification=changed)


def _tokens(network: Network) -> str:
    """Return tokens.txt: a piece and its id a line, blank last."""
    pieces = [*network.vocabulary.pieces, "<blk>"]
    for piece in pieces:
        if not piece or any(map(str.isspace, piece)):
            raise ModelError(f"piece {piece!r}: tokens.txt cannot hold white space", network.path)
    return "".join(f"{piece} {n}\n" for n, piece in enumerate(pieces))


def _scores(network: Network) -> str:
    """Return bpe.vocab: a piece and its score a line, as SentencePiece's trainer and icefall write it."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=network.tokenizer)
    pieces = enumerate(network.vocabulary.pieces)
    return "".join(f"{piece}\t{processor.get_score(n):g}\n" for n, piece in pieces)


def verify(network: Network, backend: OnnxBackend, written: Path) -> int:
    """Check what was written against a backend of the same graphs, on the bundled recordings.

    Returns:
        the tokens that were compared.
    Raises:
        ExportError: tokens differ.
    """
    ctc = (written / MODEL).exists()
    contract = _CtcContract(written) if ctc else _Contract(written)
    compared = 0
    for utterance in recordings():
        frames = streamed_log_mel(utterance.read()[None], network.front_end)
        frames = frames[:, : frames.shape[1] // contract.window * contract.window]
        x = stack(whole(network.normaliser, frames), network.specification.encoder.stack)
        f, _ = backend.encode(x, backend.initial_state(1)[0])
        if ctc:
            want = _collapsed(backend.ctc(f)[0], network.specification.blank)
        else:
            greedy = Greedy(backend, GreedyConfig(SYMBOLS_PER_STEP, "frame"))
            want = [token.id for token in greedy.step(f, greedy.initial_state(1))[0][0]]
        if (got := contract.decode(frames)) != want:
            raise ExportError(f"{utterance.id}: tokens are {got}, the model's are {want}")
        compared += len(want)
    return compared


def _collapsed(scores: Floats, blank: int) -> list[int]:
    """Return the tokens of CTC's log-probabilities, (T, C), greedily."""
    best = [blank, *map(int, scores.argmax(axis=1))]
    return [now for before, now in itertools.pairwise(best) if now not in (before, blank)]


class _CtcContract:
    """The model of a directory, fed as sherpa-onnx does: by position, a chunk of frames at a time."""

    def __init__(self, directory: Path, name: str = MODEL) -> None:
        self._encoder = open_session(str(directory / name))
        self._metadata: Mapping[str, str] = self._encoder.get_modelmeta().custom_metadata_map
        self.window = int(self._metadata["window_size"])
        self._blank = int(self._metadata["vocab_size"])

    def decode(self, frames: Floats) -> list[int]:
        """Return the tokens of log-mel frames, (1, window n, 80)."""
        return _collapsed(
            np.concatenate([scores[0] for scores in self._encode(frames)]), self._blank
        )

    def _encode(self, frames: Floats) -> Iterator[Floats]:
        """Yield the first output for each chunk."""
        caches: list[Any] = [self._cache("channel"), self._cache("time"), np.zeros(1, np.int64)]
        length = np.array([self.window], np.int64)
        for begin in range(0, frames.shape[1], self.window):
            x = frames[:, begin : begin + self.window].transpose(0, 2, 1)
            output, _, *caches = _run(self._encoder, x, length, *caches)
            yield output

    def _cache(self, name: str) -> Floats:
        shape = [int(self._metadata[f"cache_last_{name}_dim{n}"]) for n in (1, 2, 3)]
        return np.zeros((1, *shape), np.float32)


class _Contract(_CtcContract):
    """The three models of a directory, fed as sherpa-onnx does, greedily."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "encoder.onnx")
        self._decoder, self._joiner = (
            open_session(str(directory / f"{name}.onnx")) for name in ("decoder", "joiner")
        )

    def decode(self, frames: Floats) -> list[int]:
        shape = [int(self._metadata[f"pred_{name}"]) for name in ("rnn_layers", "hidden")]
        state = [np.zeros((shape[0], 1, shape[1]), np.float32)] * 2
        g, state = self._predict(self._blank, state)
        tokens = []
        encoded = np.concatenate([*self._encode(frames)], axis=2)
        for f in np.split(encoded, encoded.shape[2], axis=2):
            for _ in range(SYMBOLS_PER_STEP):
                token = int(_run(self._joiner, f, g)[0].argmax())
                if token == self._blank:
                    break
                tokens.append(token)
                g, state = self._predict(token, state)
        return tokens

    def _predict(self, token: int, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        inputs = np.array([[token]], np.int32), np.ones(1, np.int32), *state
        g, _, *state = _run(self._decoder, *inputs)
        return g, state


def _run(session: onnxruntime.InferenceSession, *values: NDArray[Any]) -> list[Any]:
    """Run a session on its inputs in their order."""
    names = [each.name for each in session.get_inputs()]
    outputs: list[Any] = session.run(None, dict(zip(names, values, strict=True)))
    return outputs
