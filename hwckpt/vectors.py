"""`python -m hwckpt.vectors --output DIR`: write conformance vectors from our references.

The names and arrays are those that `hwckpt.conformance` reads. Every wanted value comes from the
NumPy references, in float64 where the stage allows; the training files from torch in float64. Signals
and weights are random, from a seed; nobody's recordings or models are in them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hwckpt.check_models import decode_steps, encode_batch, predict_tokens, stacked_frames
from hwckpt.comparison import installed
from hwckpt.layout import Format
from hwckpt.reader import network_of, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from stream.backends import load_backend
from stream.bfp16 import bf16, bfp
from stream.decoding.greedy import GreedyConfig
from stream.features import (
    CARD_FLOOR,
    FFT,
    SAMPLE_RATE,
    FrontEnd,
    hann,
    mel_matrix,
    streamed_log_mel,
)
from stream.lstm import lstm_stack
from stream.network import Activation, Network, NumberFormat, Specification
from stream.normaliser import Normaliser
from stream.process import run_main
from stream.stage import map_state

__all__ = ["write_vectors"]

Rng = np.random.Generator
GENERATIONS = {"v1.4": False, "v1.14": True}
ALPHAS = (0.0, 0.001, 0.05, 0.5)
LSTM_CASES: dict[str, tuple[Activation, NumberFormat, int, float]] = {
    "hard_1layer": ("hard", "float32", 1, 1.0),
    "hard_2layer": ("hard", "float32", 2, 1.0),
    "hard_saturated": ("hard", "float32", 1, 6.0),
    "soft_1layer": ("soft", "float32", 1, 1.0),
    "soft_2layer": ("soft", "float32", 2, 1.0),
    "quant_hard_2layer": ("hard", "bfp16", 2, 1.0),
    "quant_soft": ("soft", "bfp16", 1, 1.0),
}


def write_vectors(folder: Path, tokenizer: bytes, seed: int) -> list[Path]:
    """Write a set of vector files into a folder.

    Args:
        folder: is made where it does not exist; files of the same name are replaced.
        tokenizer: SentencePiece model of the small networks.
        seed: of all signals and weights.
    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    files: list[Path] = []

    def save(name: str, **arrays: Any) -> None:
        files.append(folder / name)
        np.savez_compressed(folder / name, **arrays)

    save("melmat.npz", **_mel())
    for name, signal in _signals(rng).items():
        for generation, padded in GENERATIONS.items():
            save(f"logmel_{generation}_{name}.npz", **_log_mel(signal, generation, padded))
    for alpha in ALPHAS:
        save(f"ewma_a{alpha:g}.npz", **_ewma(rng, alpha))
    save("bfp16_quant.npz", **_bfp16(rng))
    for name, case in LSTM_CASES.items():
        save(f"lstm_{name}.npz", **_lstm(rng, *case))
    for format, version, activation in (("1.4", "v1.4.0", "hard"), ("1.14", "v1.14.0", "soft")):
        checkpoint = folder / f"hwckpt_{version}.pt"
        network = _network(rng, tokenizer, format)  # type: ignore[arg-type]
        write_checkpoint(
            from_network(network, format, epoch=0, step=0, best_wer=1e6),  # type: ignore[arg-type]
            checkpoint,
        )
        files.append(checkpoint)
        network = network_of(read_checkpoint(checkpoint))
        suffix = f"_{activation}" if format == "1.4" else ""
        save(f"transducer_{version}{suffix}.npz", **_transducer(rng, network, checkpoint.name))
        kind = "reset" if format == "1.4" else "greedy"
        save(f"pcm_to_tokens_{version}_{kind}.npz", **_pcm_to_tokens(rng, network, checkpoint.name))
    if installed("torch"):
        from train.vectors import TRAINING_FILES

        for name, make in TRAINING_FILES.items():
            save(name, **make(rng))
    return files


def _mel() -> dict[str, Any]:
    return {
        "melmat_dali": mel_matrix().astype(np.float32),
        "melmat_exact": mel_matrix(),
        "sample_rate": SAMPLE_RATE,
        "n_fft": FFT,
        "hann320": hann(320),
        "hann400": hann(400),
    }


def _signals(rng: Rng) -> dict[str, NDArray[Any]]:
    time = np.arange(6400) / SAMPLE_RATE
    tone = 0.4 * np.sin(2 * np.pi * 440.0 * time) + 0.1 * np.sin(2 * np.pi * 2500.0 * time)
    noise = rng.normal(0.0, 3000.0, 4800)
    signals: dict[str, NDArray[Any]] = {
        "tone": np.rint(32767 * tone),
        "clipped": np.clip(np.rint(90000 * tone), -32768, 32767),
        "noise": np.rint(noise),
        "silence": np.zeros(1600),
        "impulse": np.eye(1, 2000, 777)[0] * 32767,
        "dc": np.full(1600, 12000.0),
    }
    signals |= {f"len{n}": np.rint(noise[:n]) for n in (1, 159, 241, 399, 400, 401, 560)}
    return {name: signal.astype(np.int16) for name, signal in signals.items()} | {
        "float": (1.3 * tone + rng.normal(0.0, 1e-3, 6400)).astype(np.float32)
    }


def _log_mel(signal: NDArray[Any], generation: str, padded: bool) -> dict[str, Any]:
    exact = signal.astype(np.float64) / (32768 if signal.dtype == np.int16 else 1)
    arrays: dict[str, Any] = {
        "pcm": signal,
        "sample_rate": SAMPLE_RATE,
        "generation": generation,
    }
    for tag, window in (("w20", 320), ("w25", 400)):
        frames = streamed_log_mel(exact[None], FrontEnd(window, CARD_FLOOR, padded))[0].T
        arrays |= {
            f"logmel_{tag}": frames.astype(np.float32),
            f"exact_{tag}": frames.astype(np.float32),
            f"accepted_{tag}": int(frames.shape[1] > 0),
        }
    return arrays


def _ewma(rng: Rng, alpha: float) -> dict[str, Any]:
    mean = rng.normal(-9.0, 2.0, 80).astype(np.float32)
    variance = rng.uniform(2.0, 12.0, 80).astype(np.float32)
    normaliser = Normaliser(mean, variance, alpha)
    frames = {name: rng.normal(-9.0, 3.0, (n, 80)).astype(np.float32) for name, n in
              (("a", 61), ("b", 37))}  # fmt: skip
    arrays: dict[str, Any] = {"alpha": alpha, "means0": mean, "vars0": variance}
    arrays |= {f"logmel_{name}": value for name, value in frames.items()}

    def run(key: str, name: str, state: Any, dtype: type, suffix: str) -> Any:
        y, after = normaliser.step(frames[name].astype(dtype)[None], state)
        arrays[f"out_{key}{suffix}"] = y[0]
        arrays[f"means_after_{key}{suffix}"] = after[0][0]
        arrays[f"vars_after_{key}{suffix}"] = after[1][0]
        return after

    start = normaliser.initial_state(1)
    after = run("a", "a", start, np.float32, "")
    run("b_carry", "b", after, np.float32, "")
    run("b_reset", "b", start, np.float32, "")
    run("a", "a", map_state(lambda leaf: leaf.astype(np.float64), start), np.float64, "_f64")
    return arrays


def _bfp16(rng: Rng) -> dict[str, Any]:
    x = (rng.normal(0.0, 1.0, (5, 24)) * 2.0 ** rng.integers(-20, 20, (5, 24))).astype(np.float32)
    columns, short = (
        rng.normal(0.0, 1.0, shape).astype(np.float32) for shape in ((19, 6), (3, 13))
    )
    return {
        "block": 8,
        "bf16_in": x,
        "bf16_out": bf16(x),
        "bfp_dim1_in": x,
        "bfp_dim1_out": bfp(x),
        "bfp_dim0_in": columns,
        "bfp_dim0_out": bfp(np.ascontiguousarray(columns.T)).T,
        "bfp_dim1_pad_in": short,
        "bfp_dim1_pad_out": bfp(short),
    }


def _lstm(
    rng: Rng, activation: Activation, number_format: NumberFormat, count: int, gain: float
) -> dict[str, Any]:
    frames, batch, inputs, hidden = 13, 2, 14, 9
    layers = []
    for n in range(count):
        width = inputs if n == 0 else hidden
        shapes = ((4 * hidden, width), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        layers.append(
            {
                # Large recurrent weights are chaos, in which float32 decides on nothing.
                k: rng.normal(0, (1.0 if k == "weight_hh" else gain) / 3, s).astype(np.float32)
                for k, s in zip(names, shapes, strict=True)
            }
        )
    x = rng.normal(0.0, 1.0, (frames, batch, inputs)).astype(np.float32)
    h0, c0 = rng.normal(0.0, 0.5, (2, count, batch, hidden)).astype(np.float32)
    state = tuple(zip(h0, c0, strict=True))
    y, after = lstm_stack(layers, activation, number_format).step(x.transpose(1, 0, 2), state)
    return {
        "x": x,
        "y": y.transpose(1, 0, 2),
        "h0": h0,
        "c0": c0,
        "hn": np.stack([h for h, _ in after]),
        "cn": np.stack([c for _, c in after]),
        "hard": int(activation == "hard"),
        "quantize": int(number_format == "bfp16"),
        "num_layers": count,
        **{f"{k}_l{n}": a for n, layer in enumerate(layers) for k, a in layer.items()},
    }


def _network(rng: Rng, tokenizer: bytes, format: Format) -> Network:
    from stream.vocabulary import Vocabulary

    hard = format == "1.4"
    specification = Specification(
        floor=CARD_FLOOR,
        initial_padding=not hard,
        final_padding=0 if hard else 3840,
        alpha=0.001 if hard else 0.0,
        post_layers=3,
        hidden=40,
        prediction_layers=2,
        prediction_hidden=36,
        joint=44,
        vocabulary=len(Vocabulary(tokenizer)),
        activation="hard" if hard else "soft",
    )
    arrays = {
        name: rng.normal(0.0, 0.35 if len(shape) == 2 else 0.2, shape).astype(np.float32)
        for name, shape in specification.shapes().items()
    }
    arrays["normaliser.mean"] = rng.normal(-9.0, 1.0, 80).astype(np.float32)
    arrays["normaliser.variance"] = rng.uniform(4.0, 12.0, 80).astype(np.float32)
    arrays["joint.output.bias"][-1] += 4.0  # blank, else nearly every frame emits to the cap
    return Network(specification, arrays, tokenizer)


def _transducer(rng: Rng, network: Network, checkpoint: str) -> dict[str, Any]:
    spec = network.specification
    backend = load_backend("numpy", network)
    x = rng.normal(0.0, 1.0, (11, 2, 240)).astype(np.float32)
    batch = np.ascontiguousarray(x.transpose(1, 0, 2))
    y = rng.integers(1, spec.vocabulary, (2, 4))
    f, g = encode_batch(backend, batch), predict_tokens(backend, y)
    hidden = np.maximum(f[:, :, None] + g[:, None], 0.0)
    weight, bias = network.arrays["joint.output.weight"], network.arrays["joint.output.bias"]
    arrays: dict[str, Any] = {
        "checkpoint": checkpoint,
        "blank": spec.blank,
        "x": x,
        "x_lens": np.array([11, 11]),
        "y": y,
        "y_lens": np.array([4, 4]),
        "encoder_lens": np.array([6, 6]),
        "logits": hidden @ weight.T + bias,
    }
    pre = lstm_stack(list(network.layers("encoder.pre")), spec.activation, spec.number_format)
    post = lstm_stack(list(network.layers("encoder.post")), spec.activation, spec.number_format)
    h, after = pre.step(batch, pre.initial_state(2))
    padded = np.concatenate([h, np.zeros_like(h[:, :1])], axis=1).reshape(2, 6, -1)
    for key, (out, state) in {
        "pre": (h, after),
        "post": post.step(padded, post.initial_state(2)),
    }.items():
        arrays[f"{key}_rnn_out"] = out.transpose(1, 0, 2)
        arrays[f"{key}_h"], arrays[f"{key}_c"] = (np.stack([s[i] for s in state]) for i in (0, 1))
    arrays["stacked"] = padded.transpose(1, 0, 2)
    if spec.activation == "hard":
        arrays |= {"hard": 1, "joint_enc_out": f, "joint_pred_out": g}
    else:
        arrays |= {"eos": 1, "encoder_out": f, "pred_out": g}
    counter = "frame" if spec.activation == "hard" else "running"
    for row in range(2):
        for cap in (1, 2, 5, 30):
            tokens = decode_steps(backend, f[row], GreedyConfig(cap, counter))  # type: ignore[arg-type]
            arrays[f"greedy_tokens_b{row}_max{cap}"] = np.array([t.id for t in tokens], np.int64)
            arrays[f"greedy_frames_b{row}_max{cap}"] = np.array([t.step for t in tokens], np.int64)
    return arrays


def _pcm_to_tokens(rng: Rng, network: Network, checkpoint: str) -> dict[str, Any]:
    spec = network.specification
    backend = load_backend("numpy", network)
    arrays: dict[str, Any] = {"num": 3, "checkpoint": checkpoint, "max_symbols_per_step": 30}
    if spec.activation == "hard":
        config = GreedyConfig(30, sample_cap=300)
        arrays |= {
            "normalisation": "ewma",
            "reset": 1,
            "alpha": spec.alpha,
            "max_symbol_per_sample": 300,
        }
    else:
        config = GreedyConfig(30, "running", eos=1, eos_mode="predict")
        arrays |= {
            "normalisation": "dataset_stats",
            "initial_padding_samples": spec.window - 160,
            "final_padding_samples": spec.final_padding,
            "eos_index": 1,
            "eos_decoding": "predict",
        }
    for i, samples in enumerate((16000, 9119, 4001)):
        envelope = np.abs(np.sin(np.arange(samples) / 900.0))
        pcm = np.clip(np.rint(rng.normal(0.0, 5000.0, samples) * envelope), -32768, 32767)
        audio = (pcm / 32768).astype(np.float32)
        frames = streamed_log_mel(audio[None], spec.front_end)
        z, _ = network.normaliser.step(frames, network.normaliser.initial_state(1))
        x = stacked_frames(z)
        f = encode_batch(backend, x)
        tokens = decode_steps(backend, f[0], config)
        ids = [token.id for token in tokens]
        arrays |= {
            f"pcm_{i}": pcm.astype(np.int16),
            f"features_{i}": x[0],
            f"encoder_{i}": _unprojected(network, x) if spec.activation == "hard" else f[0],
            f"tokens_{i}": np.array(ids, np.int64),
            f"text_{i}": network.vocabulary.decode(ids),
        }
        if spec.activation == "soft":
            arrays[f"frames_{i}"] = np.array([t.step for t in tokens], np.int64)
            arrays[f"probs_{i}"] = np.exp([t.log_probability for t in tokens]).astype(np.float32)
    return arrays


def _unprojected(network: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the encoder's output before its projection, as generation 1.4's files have it."""
    identity = msgspec.structs.replace(network.specification, joint=network.specification.hidden)
    size = identity.hidden
    arrays = {name: np.zeros(shape, np.float32) for name, shape in identity.shapes().items()}
    arrays |= {k: v for k, v in network.arrays.items() if v.shape == arrays[k].shape}
    arrays["joint.encoder.weight"] = np.eye(size, dtype=np.float32)
    arrays["joint.encoder.bias"] = np.zeros(size, np.float32)
    backend = load_backend("numpy", Network(identity, arrays, network.tokenizer))
    encoder: NDArray[np.float32] = encode_batch(backend, x)[0]
    return encoder


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m hwckpt.vectors`."""
    parser = argparse.ArgumentParser(
        prog="python -m hwckpt.vectors",
        description="Write conformance vectors from Rill's references.",
        epilog="example: python -m hwckpt.vectors --output vectors && "
        "python -m hwckpt.conformance vectors",
        allow_abbrev=False,
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed (default: 0)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from stream.bundled import model_path

    arguments = build_parser().parse_args(argv)
    try:
        tokenizer = (model_path() / "tokenizer.model").read_bytes()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 3
    files = write_vectors(Path(arguments.output), tokenizer, arguments.seed)
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{arguments.output}: {len(files)} files, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    run_main(main)
