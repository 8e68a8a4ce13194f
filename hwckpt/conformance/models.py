"""The models of vector files: checkpoints checked by themselves, small random networks, and what runs them.

Other files name a hardware checkpoint that lies beside them. Networks are drawn until they say something,
and what they say holds: files want tokens exactly, so where a draw leaves two classes so close that another
order of sums could swap them, it is drawn again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.checkpoint import HardwareCheckpoint
from hwckpt.conformance.comparison import Kind, Rng, Row, VectorError, Vectors, exact, on_each
from hwckpt.conversion import convert
from hwckpt.layout import FINAL_PADDING, Format
from hwckpt.reader import network_of, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from stream.backends import Backend, Logits, load_backend
from stream.backends.onnx import OnnxBackend
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS, CARD_FLOOR, streamed_log_mel
from stream.front_end.stacking import STACK, stack
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import Floats, Integers, State
from stream.vocabulary import Vocabulary

TOKENIZER = Path(__file__).parent / "data" / "tokenizer.model"  # of 111 words and letters
VERSIONS: dict[Format, str] = {"1.4": "v1.4.0", "1.14": "v1.14.0"}
EOS = 1  # a piece like any other here
MARGIN = 1e-3  # between the best logit and the next: a hundred times what backends differ by
TRIES = 50  # draws that may say nothing, before one is taken for want of another
PROBABILITY = 1e-4


def network_file(format: Format) -> str:
    """Return the name of the checkpoint that the other files of a generation refer to."""
    return f"hwckpt_{VERSIONS[format]}.pt"


def _make_checkpoint(rng: Rng, folder: Path, format: Format) -> HardwareCheckpoint:
    """Draw a hardware checkpoint. Its tokenizer is not the bundled model's: a seed gives the same file for any."""
    tokenizer = TOKENIZER.read_bytes()
    hard = format == "1.4"
    specification = Specification(
        floor=CARD_FLOOR,
        initial_padding=not hard,
        final_padding=0 if hard else FINAL_PADDING,
        alpha=0.001 if hard else 0.0,
        post_layers=3,
        hidden=40,
        prediction_layers=2,
        prediction_hidden=36,
        joint=44,
        vocabulary=len(Vocabulary(tokenizer)),
        activation="hard" if hard else "soft",
    )
    network = None
    while network is None:
        network = _talkative(rng, specification, tokenizer)
    return from_network(network, format, epoch=0, step=0, best_wer=1e6)


def _check_checkpoint(z: Vectors) -> Iterator[Row]:
    """Check that a checkpoint is read, opened as a network, rewritten in its generation, reread equal."""
    original = read_checkpoint(z.path)
    yield exact("read as a network", "numpy", [network_of(original).path], [z.path])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / z.path.name
        write_checkpoint(original, copy)
        different = original.differences(read_checkpoint(copy))
    yield exact("rewritten and reread", "numpy", different, [])


def _check_training_checkpoint(z: Vectors) -> Iterator[Row]:
    """Check the conversion, by the statistics, tokenizer and YAML beside the file."""
    folder, version = z.path.parent, z.path.stem.removeprefix("train_ckpt_")
    format: Format = "1.4" if version.removeprefix("v").startswith("1.4.") else "1.14"
    wanted = read_checkpoint(folder / f"hwckpt_{version}.pt")
    statistics = None
    if format == "1.4":
        statistics = (folder / f"melmeans_{version}.pt", folder / f"melvars_{version}.pt")
    converted = convert(z.path, folder / f"config_{version}.yaml", format, statistics=statistics)
    yield exact("converted", "numpy", wanted.differences(converted), [])


def _talkative(rng: Rng, specification: Specification, tokenizer: bytes) -> Network | None:
    """Draw a network that says about a token for every encoder frame, and not always the same.

    What blank wants for that is found by trying: without it random weights say nothing at all, or as
    much as the cap allows. Returns None where nothing does.
    """
    arrays = {name: _weights(rng, name, shape) for name, shape in specification.shapes().items()}
    front_end = replace(specification.front_end, final_padding=0)
    frames = streamed_log_mel((utterance(rng, 16_000) / 32768)[None], front_end)
    mean, variance = frames.mean(axis=(0, 1)), frames.var(axis=(0, 1))
    arrays["normaliser.mean"] = (mean + rng.normal(0.0, 0.3, BINS)).astype(np.float32)
    arrays["normaliser.variance"] = (variance * rng.uniform(0.7, 1.4, BINS)).astype(np.float32)
    network = Network(specification, arrays, tokenizer)
    backend = load_backend("numpy", network)
    f = encode_batch(backend, features(network, rng, 16_000))[0]
    for bias in np.arange(16.0, -16.0, -0.5).tolist():
        config = GreedyConfig()
        said = [token.id for token in decode_steps(_Watched(backend, config, bias), f, config)]
        if len(said) > 2 * len(f):
            return None
        if len(said) > 0.7 * len(f) and len(set(said)) > 3:
            arrays["joint.output.bias"][-1] += bias
            return network
    return None


def _weights(rng: Rng, name: str, shape: tuple[int, ...]) -> Floats:
    if name == "prediction.embedding":
        return rng.normal(0.0, 1.0, shape).astype(np.float32)
    return draw_weight(rng, shape, recurrent="weight_hh" in name)


def draw_weight(rng: Rng, shape: tuple[int, ...], *, recurrent: bool) -> Floats:
    """Draw a weight or a bias: inputs tell, and recurrence is no chaos, in which float32 decides on nothing."""
    deviation = 0.2 if len(shape) == 1 else (0.8 if recurrent else 2.0) / shape[1] ** 0.5
    return rng.normal(0.0, deviation, shape).astype(np.float32)


def utterance(rng: Rng, samples: int) -> NDArray[np.int16]:
    """Draw noise that swells, in which a network of random weights hears this and that."""
    envelope = 5000.0 * np.abs(np.sin(np.arange(samples) / rng.uniform(500, 1500)))
    pcm = np.clip(np.rint(rng.normal(0.0, 1.0, samples) * envelope), -32768, 32767)
    return pcm.astype(np.int16)


def features(network: Network, rng: Rng, samples: int) -> Floats:
    """Draw an utterance; returns its stacked frames, (1, S, 240), without final padding."""
    return stacked_frames(changed(network, final_padding=0), utterance(rng, samples))[0]


def stacked_frames(
    network: Network, pcm: NDArray[np.int16], statistics: State | None = None
) -> tuple[Floats, State]:
    """Return the normalised and stacked frames of an utterance, (1, S, 240), and the statistics after it.

    Args:
        pcm: (samples,).
        statistics: of the normaliser, one row; None for the network's own.
    """
    frames = streamed_log_mel(pcm[None].astype(np.float32) / 32768, network.front_end)
    state = network.normaliser.initial_state(1) if statistics is None else statistics
    z, after = network.normaliser.step(frames, state)
    return whole_stacks(z), after


def whole_stacks(z: Floats) -> Floats:
    """Stack frames, (B, S, 80); the last stack is filled with zeros."""
    return cast(Floats, stack(np.pad(z, ((0, 0), (0, -z.shape[1] % STACK), (0, 0)))))


def network_beside(z: Vectors) -> Network:
    """Open the checkpoint that a file names.

    Raises:
        VectorError: it does not lie beside the file.
    """
    checkpoint = z.path.parent / str(z["checkpoint"])
    if not checkpoint.is_file():
        raise VectorError(f"{z.path}: wants {checkpoint.name} beside it")
    return network_of(read_checkpoint(checkpoint))


def changed(network: Network, **fields: Any) -> Network:
    """Return a network with other fields in its specification."""
    specification = msgspec.structs.replace(network.specification, **fields)
    return replace(network, specification=specification)


def on_backends(
    stage: str,
    network: Network,
    names: tuple[str, ...],
    rows: Callable[[str, Backend], Iterator[Row]],
) -> Iterator[Row]:
    """Check a network on backends; see `on_each`."""

    def of(name: str) -> Iterator[Row]:
        if name != "onnx":
            return rows(name, load_backend(name, network))
        from export.build import build

        return rows(name, OnnxBackend(network, build(network, inside=True)))

    return on_each(stage, names, of)


def encode_batch(backend: Backend, x: Floats) -> Floats:
    """Encode a padded batch as one, frames past its end being absent."""
    batch, frames, _ = x.shape
    x = np.pad(x, ((0, 0), (0, -frames % PAIR), (0, 0)))
    present = np.broadcast_to(np.arange(x.shape[1]) < frames, x.shape[:2])
    return backend.encode(x, backend.initial_state(batch)[0], np.ascontiguousarray(present))[0]


def predict_tokens(backend: Backend, y: Integers) -> tuple[Floats, State]:
    """Run the prediction network over y, (B, U); returns (B, U + 1, J) and the state after."""
    start = np.full((len(y), 1), backend.specification.blank, np.int64)
    _, state = backend.initial_state(len(y))
    outputs = []
    for tokens in np.concatenate([start, y.astype(np.int64)], axis=1).T:
        g, state = backend.predict(np.ascontiguousarray(tokens), state)
        outputs.append(g)
    return np.stack(outputs, axis=1), state


def join_all(backend: Backend, f: Floats, g: Floats) -> Floats:
    """Return the logits of every frame with every token, (B, E, U, C), of f (B, E, J) and g (B, U, J)."""
    pairs = np.broadcast_arrays(f[:, :, None], g[:, None])
    flat = (np.ascontiguousarray(each).reshape(-1, each.shape[-1]) for each in pairs)
    logits = backend.join(*flat).reshape(*pairs[0].shape[:3], -1)
    return logits.astype(np.float32, copy=False)


def decode_steps(backend: Backend, f: Floats, config: GreedyConfig) -> list[Token]:
    """Decode the encoder frames f, (E, J), of one utterance."""
    greedy = Greedy(backend, config)
    (tokens,), _ = greedy.step(np.ascontiguousarray(f[None]), greedy.initial_state(1))
    return tokens


@dataclass(frozen=True)
class Decoded:
    """The result of greedy decoding.

    Attributes:
        ids, steps: (tokens,) int64, tokens and their encoder frames.
        probabilities: (tokens,) float32, of each token when it was chosen.
        margin: the smallest gap between the best logit and the next of any decision.
    """

    ids: Integers
    steps: Integers
    probabilities: Floats
    margin: float = np.inf


def decode(backend: Backend, f: Floats, config: GreedyConfig) -> Decoded:
    """Decode the encoder frames f, (E, J), of one utterance, and note the margin."""
    watched = _Watched(backend, config)
    return replace(decoded(decode_steps(watched, f, config)), margin=watched.margin)


def decoded(tokens: list[Token]) -> Decoded:
    """Return tokens as arrays."""
    return Decoded(
        np.array([token.id for token in tokens], np.int64),
        np.array([token.step for token in tokens], np.int64),
        np.exp([token.log_probability for token in tokens]).astype(np.float32),
    )


def settled(draw: Callable[[], tuple[dict[str, Any], float, bool]]) -> dict[str, Any]:
    """Draw arrays until every decision in them is clear and every row says something.

    Args:
        draw: returns arrays, the smallest margin of their decisions, and whether every row says
            something; one that does not is taken only after many, for there may be no other.
    """
    tries = 0
    while True:
        tries += 1
        arrays, margin, says = draw()
        if margin > MARGIN and (says or tries > TRIES):
            return arrays


class _Watched:
    """A backend that notes by how much each decision is made; `bias` is added to blank's logit."""

    def __init__(self, backend: Backend, config: GreedyConfig, bias: float = 0.0) -> None:
        self._backend, self._config, self._bias = backend, config, bias
        self.specification = backend.specification
        self.initial_state, self.encode = backend.initial_state, backend.encode
        self.predict, self.ctc = backend.predict, backend.ctc
        self.margin = np.inf

    def join(self, f: Floats, g: Floats) -> Logits:
        logits, blank, eos = self._backend.join(f, g), self.specification.blank, self._config.eos
        logits[:, blank] += self._bias
        scores = logits.copy()
        if self._config.eos_mode == "blank":
            scores[:, blank] = np.logaddexp(scores[:, blank], scores[:, eos])
            scores[:, eos] = -np.inf
        second, best = np.partition(scores, -2, axis=1)[:, -2:].T
        self.margin = min(self.margin, float((best - second).min()))
        return logits


KINDS = (
    Kind(
        "hwckpt_*.pt",
        _check_checkpoint,
        {network_file(format): partial(_make_checkpoint, format=format) for format in VERSIONS},
    ),
    Kind("train_ckpt_*.pt", _check_training_checkpoint),
)
