"""TensorBoard: what is written is read again by its own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.loggers.logger import Experiment
from train.loggers.tensorboard import TensorBoard


def test_curves_texts_histograms_and_hyperparameters(tmp_path: Path) -> None:
    config: dict[str, str | int | float | bool] = {"optimiser.rate": 0.002, "keep": True}
    logger = TensorBoard(Experiment(tmp_path, "rill", config, 0, ("best/hard",)))
    logger.scalars(20, {"best/hard": 0.5, "loss": 2.5})
    logger.text(20, "validation", "said   yes\n  heard  no")
    logger.histogram(20, "weights/output", np.arange(5, dtype=np.float32))
    logger.close(finished=True)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("best/hard")] == [(20, 0.5)]
    (text,) = events.Tensors("validation/text_summary")
    assert text.tensor_proto.string_val == [b"    said   yes\n      heard  no"]
    (histogram,) = events.Histograms("weights/output")
    assert (histogram.histogram_value.num, histogram.histogram_value.max) == (5, 4)
    begun = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"optimiser.rate" in begun
    shown = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert b"best/hard" in shown


def test_what_came_after_the_resumed_update_is_not_shown(tmp_path: Path) -> None:
    for update, values in ((0, {10: 3.0, 20: 2.0}), (10, {20: 2.5})):
        logger = TensorBoard(Experiment(tmp_path, "rill", {}, update))
        for at, value in values.items():
            logger.scalars(at, {"loss": value})
        logger.close(finished=True)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(10, 3.0), (20, 2.5)]


def test_what_is_flushed_is_in_the_file(tmp_path: Path) -> None:
    logger = TensorBoard(Experiment(tmp_path, "rill", {}))
    logger.scalars(10, {"loss": 1.0})
    logger.flush()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [e.value for e in events.Scalars("loss")] == [1.0]
    logger.close(finished=True)
