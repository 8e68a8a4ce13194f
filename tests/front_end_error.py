"""`python -m tests.front_end_error JSONL...`: the fixed front end's error on real recordings.

Prints the table of docs/integer-front-end.md: differences of log-mel (natural log) and of the
normaliser's int8 values from the same in float64, recording by recording from the data set's
statistics. Frames whose samples are all zero are left out of the log-mel figures, for they are exact.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.bundled import model_path
from stream.front_end.log_mel import FrontEnd, streamed_log_mel
from stream.front_end.normaliser import Normaliser
from stream.integer.front_end import FixedFrontEnd
from stream.integer.log_mel import FRACTION, samples_of
from stream.integer.normaliser import FixedNormaliser
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.stage import whole

__all__ = ["Measured", "measure"]

EXPONENT = 4
# Of the fixed normaliser and of the float64 one that it is held against.
ALPHAS = {"EWMA": (2.0**-10, 2.0**-10), "EWMA, 0.001": (0.001, 0.001), "global": (0.0, 0.0)}


@dataclass(frozen=True)
class Measured:
    """Differences from float64.

    Attributes:
        frames: how many; log_mel: (values,) of natural log.
        int8: of each kind of statistics, (values,) of int8 values.
    """

    frames: int
    log_mel: NDArray[np.float64]
    int8: dict[str, NDArray[np.int64]]

    @property
    def row(self) -> str:
        """The figures as cells of a table."""
        e = np.abs(self.log_mel)
        rms = np.sqrt(np.mean(np.square(e)))
        cells = [f"{rms:.4f} / {np.quantile(e, 0.999):.3f} / {e.max():.2f}"]
        for d in self.int8.values():
            cells.append(f"{100 * np.mean(d > 0):.3f} %, {100 * np.mean(d > 1):.4f} %")
        return f"{self.frames} | " + " | ".join(cells)


def measure(
    recordings: Iterable[NDArray[np.float32]],
    front_end: FrontEnd,
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
) -> Measured:
    """Compare the fixed front end with float64 on recordings, rounded to 16 bits for both.

    Args:
        recordings: (samples,) float32 each.
        front_end: in float.
        mean, variance: (80,) of the data set, natural log.
    """
    fixed = FixedFrontEnd(
        front_end.window, front_end.floor, front_end.initial_padding, front_end.final_padding
    )
    wide = mean.astype(np.float64), variance.astype(np.float64)
    frames, errors = 0, []
    int8: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ALPHAS}
    for samples in recordings:
        pcm = samples_of(samples[None])
        want = streamed_log_mel(pcm / 32768.0, front_end)
        got = streamed_log_mel(pcm, fixed)
        frames += got.shape[1]
        error = np.ldexp(got * np.log(2.0), -FRACTION) - want
        errors.append(error[(want > np.log(front_end.floor)).any(axis=2)].ravel())
        for name, (alpha, reference) in ALPHAS.items():
            y = whole(FixedNormaliser(mean, variance, alpha, EXPONENT), got)
            state = tuple(leaf[None] for leaf in wide)
            z, _ = Normaliser(*wide, reference).step(want, state)  # type: ignore[arg-type]
            q = np.clip(np.rint(np.ldexp(z, EXPONENT)), -128, 127)
            int8[name].append(np.abs(np.ldexp(y, EXPONENT) - q).astype(np.int64).ravel())
    return Measured(
        frames, np.concatenate(errors), {name: np.concatenate(d) for name, d in int8.items()}
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("manifests", nargs="+", metavar="JSONL")
    arguments = parser.parse_args(argv)
    network = open_model(model_path())
    own = network.specification.front_end
    card = replace(own, floor=1e-20, initial_padding=True)
    arrays = network.arrays["normaliser.mean"], network.arrays["normaliser.variance"]
    corpora: dict[str, list[Path]] = {}
    for manifest in arguments.manifests:
        for each in read_manifest(manifest):
            corpora.setdefault(each.corpus or Path(manifest).stem, []).append(each.audio)
    for corpus, files in corpora.items():
        for name, front_end in (("model's", own), ("card's", card)):
            measured = measure(map(read_audio, files), front_end, *arrays)
            print(f"| {corpus}, {name} front end | {measured.row} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
