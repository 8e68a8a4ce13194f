"""Checks of training's arithmetic and of the text normalisers against vector files.

Called by `hwckpt.conformance`; see `hwckpt.comparison` for what a check is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stream.backends.numpy import join_pairs
from stream.error_rate import ErrorRate, character_error_rate, mixed_error_rate, word_error_rate
from stream.normaliser import Normaliser, utterance_normalise
from stream.words import emission_latencies, group
from train.data.mixing import blend, lengthened
from train.layers import LSTM
from train.loss import Penalties, transducer_loss
from train.optimiser import Ema, Lamb, learning_rate
from train.schedules import linear_delay_penalty, noise_ranges, normalisation_ratio, wer_switch
from train.statistics import Statistics
from train.text.normaliser import (
    CHARSET,
    normalise,
    normalise_v1_4,
    punctuation_marks,
    standardise_wer,
)

__all__ = ["CHECKS", "Comparison"]

# (stage, got, want, allowed): hwckpt, on which train does not stand, makes a row of its table of it.
Comparison = tuple[str, Any, Any, float]
Arrays = dict[str, Any]


def loss(z: Arrays) -> Iterator[Comparison]:
    """loss: the losses and the gradient of their mean, float64."""
    logits = torch.from_numpy(z["logits"]).requires_grad_()
    penalties = Penalties(
        z["delay_penalty"],
        z["eos_idx"] if z["eos_idx"] >= 0 else None,
        z["eos_penalty"],
        z["star_idx"] if z["star_idx"] >= 0 else None,
        z["star_penalty"],
    )
    losses = transducer_loss(
        logits,
        torch.from_numpy(z["targets"]),
        torch.from_numpy(np.atleast_1d(z["logit_lens"])),
        torch.from_numpy(np.atleast_1d(z["target_lens"])),
        z["blank"],
        penalties,
    )
    losses.mean().backward()
    yield "loss", losses.detach().numpy(), np.atleast_1d(z["loss"]), 1e-9
    assert logits.grad is not None
    yield "loss gradient", logits.grad.numpy(), z["grad_of_mean"], 1e-9


class _TinyTransducer(nn.Module):
    """The network of a train_grad file, of whatever sizes it has, under its own names."""

    def __init__(self, z: Arrays, hard: bool) -> None:
        super().__init__()
        self.values = nn.ParameterDict(
            {
                name[2:].replace(".", "/"): nn.Parameter(torch.from_numpy(z[name]))
                for name in z
                if name.startswith("w:")
            }
        )
        self.hard = hard

    def value(self, name: str) -> Tensor:
        value: Tensor = self.values[name.replace(".", "/")]
        return value

    def stack(self, name: str, x: Tensor) -> Tensor:
        n = 0
        while f"{name}.weight_ih_l{n}".replace(".", "/") in self.values:
            weight = self.value(f"{name}.weight_hh_l{n}")
            layer = LSTM(x.shape[2], weight.shape[1], "hard" if self.hard else "soft").double()
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                delattr(layer, key)
                setattr(layer, key, self.value(f"{name}.{key}_l{n}"))
            zeros = x.new_zeros(len(x), weight.shape[1])
            x, _ = layer.step(x, (zeros, zeros))
            n += 1
        return x

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, T, I), y (B, U) -> logits (B, ceil(T / 2), U + 1, C)."""
        h = self.stack("encoder.pre_rnn.lstm", x)
        h = join_pairs(nn.functional.pad(h, (0, 0, 0, h.shape[1] % 2)))
        f = self.stack("encoder.post_rnn.lstm", h)
        embedded = nn.functional.embedding(y, self.value("prediction.embed.weight"))
        start = embedded.new_zeros(len(y), 1, embedded.shape[2])
        g = self.stack("prediction.dec_rnn.lstm", torch.cat([start, embedded], dim=1))

        def linear(name: str, v: Tensor) -> Tensor:
            return nn.functional.linear(v, self.value(f"{name}.weight"), self.value(f"{name}.bias"))

        hidden = linear("joint_enc", f)[:, :, None] + linear("joint_pred", g)[:, None]
        return linear("joint_net.2", torch.relu(hidden))


def gradients(z: Arrays) -> Iterator[Comparison]:
    """train_grad: logits, loss, every gradient, their norm, and one LAMB update."""
    model = _TinyTransducer(z, hard="hard" in z["name"])
    logits = model(torch.from_numpy(z["x"]).transpose(0, 1), torch.from_numpy(z["y"]))
    losses = transducer_loss(
        logits,
        torch.from_numpy(z["y"]),
        torch.from_numpy(z["encoder_lens"].astype(np.int64)),
        torch.from_numpy(z["y_lens"].astype(np.int64)),
        logits.shape[-1] - 1,
        Penalties(z["delay_penalty"]),
    )
    losses.mean().backward()
    yield "logits", logits.detach().numpy(), z["logits"], 1e-9
    yield "losses", losses.detach().numpy(), z["loss"], 1e-9
    for name in (key[2:] for key in z if key.startswith("g:")):
        gradient = model.value(name).grad
        yield f"gradient {name}", gradient, z[f"g:{name}"], 1e-9
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    yield "gradient norm", norm.item(), z["global_grad_norm"], 1e-6
    yield from _one_update(z, model)


def _one_update(z: Arrays, model: _TinyTransducer) -> Iterator[Comparison]:
    names = [key[3:] for key in z if key.startswith("w1:")]
    weights = {}
    for name in names:
        weights[name] = nn.Parameter(model.value(name).detach().float())
        gradient = model.value(name).grad
        assert gradient is not None
        weights[name].grad = gradient.float()
    last = [weights[n] for n in names if n.startswith("joint_net")]
    rest = [weights[n] for n in names if not n.startswith("joint_net")]
    rate, factor = 0.004, 0.343  # of the golden set's README
    optimiser = Lamb(
        [{"params": rest, "lr": rate}, {"params": last, "lr": rate * factor}], weight_decay=0.01
    )
    optimiser.step()
    for name in names:
        yield f"updated {name}", weights[name].detach(), z[f"w1:{name}"], 1e-6


def schedule(z: Arrays) -> Iterator[Comparison]:
    """lr_schedule: the rate of every group at every step."""
    fields = [str(name) for name in z["params_fields"]]
    for k in range(z["num"]):
        given = dict(zip(fields, np.atleast_1d(z[f"params_{k}"]).tolist(), strict=True))
        got = [
            [
                learning_rate(
                    int(step),
                    rate=given["peak_lr"] * factor,
                    min_rate=given["min_lr"],
                    warmup=given["warmup"],
                    hold=given["hold"],
                    half_life=given["half_life"],
                )
                for factor in np.atleast_1d(z[f"factors_{k}"])
            ]
            for step in z["steps"]
        ]
        yield f"learning rate {k}", got, z[f"lr_{k}"], 1e-12


def lamb(z: Arrays) -> Iterator[Comparison]:
    """lamb_step: several updates of tensors in groups."""
    parameters = [
        nn.Parameter(torch.from_numpy(z[f"param_{i}_init"])) for i in range(z["num_params"])
    ]
    groups: dict[int, list[nn.Parameter]] = {}
    for parameter, number in zip(parameters, z["group_of_param"].tolist(), strict=True):
        groups.setdefault(number, []).append(parameter)
    beta1, beta2 = z["betas"].tolist()
    optimiser = Lamb(
        [{"params": groups[number]} for number in sorted(groups)],
        betas=(beta1, beta2),
        eps=z["eps"],
        weight_decay=z["weight_decay"],
        max_norm=z["max_grad_norm"],
    )
    for step in range(z["steps"]):
        rates = np.atleast_1d(z[f"lr_step{step}"]).tolist()
        for group_, rate in zip(optimiser.param_groups, rates, strict=True):
            group_["lr"] = rate
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.from_numpy(z[f"grad_{i}_step{step}"])
        optimiser.step()
        for i, parameter in enumerate(parameters):
            yield (
                f"weights {i}, update {step}",
                parameter.detach(),
                z[f"param_{i}_step{step}"],
                1e-6,
            )
            state = optimiser.state[parameter]
            for key in ("exp_avg", "exp_avg_sq"):
                if f"{key}_{i}_step{step}" in z:
                    yield f"{key} {i}, update {step}", state[key], z[f"{key}_{i}_step{step}"], 1e-6


def averaged(z: Arrays) -> Iterator[Comparison]:
    """ema_step: averaged weights after each update."""
    module = nn.ParameterDict({"w": nn.Parameter(torch.from_numpy(z["ema"][0]))})
    average = Ema(module, z["decay"])
    for step, weights in enumerate(z["weights"]):
        module["w"].data = torch.from_numpy(weights)
        average.update(module)
        yield f"average {step}", average.state_dict()["w"], z["ema"][step + 1], 1e-6


def schedules(z: Arrays) -> Iterator[Comparison]:
    """schedules: delay penalty, noise levels, switches by WER, normalisation ratio."""
    start, _, first, end, last = z["linear_dp_params"].tolist()
    got = [
        linear_delay_penalty(s, start=start, end=end, first=first, last=last)
        for s in z["linear_dp_steps"].tolist()
    ]
    yield "linear delay penalty", got, z["linear_dp_values"], 1e-12
    ranges = [np.ravel(noise_ranges(s)) for s in z["noise_steps"].tolist()]
    yield "noise ranges", ranges, z["noise_low_high_bg_babble"], 0.0
    wers = z["step_schedule_wers"].tolist()
    for row in z["step_schedule_values"]:
        # The threshold is not in the file: it lies between the last WER before and the first after.
        before, after = row[0], row[-1]
        switched = int(np.argmax(row != before))
        yield (
            f"switch to {after:g}",
            wer_switch(wers, before, after, np.nextafter(wers[switched], 1.0)),
            row,
            1e-12,
        )
    for (start, end, ratio), row in zip(z["norm_ratio_params"], z["norm_ratio"], strict=True):
        got = [
            normalisation_ratio(s, start=start, end=end, first=ratio)
            for s in z["norm_ratio_steps"].tolist()
        ]
        yield f"normalisation ratio from {ratio:g}", got, row, 1e-12


def blending(z: Arrays) -> Iterator[Comparison]:
    """norm: the blend of global and per-utterance normalisation in training."""
    frames = np.ascontiguousarray(z["logmel"].T)[None]
    normaliser = Normaliser(z["means"], z["vars"], 0.0)
    fixed = normaliser.step(frames, normaliser.initial_state(1))[0]
    own = utterance_normalise(frames)
    start, end = z["ramp"].tolist()
    for key in (k for k in z if k.startswith("blend_step")):
        ratio = normalisation_ratio(
            int(key.removeprefix("blend_step")), start=start, end=end, first=z["starting_ratio"]
        )
        yield key, (ratio * fixed + (1.0 - ratio) * own)[0].T, z[key], 1e-4


def statistics(z: Arrays) -> Iterator[Comparison]:
    """melstats: mean, variance and frames of several utterances; relative to the value."""
    found = Statistics()
    for key in (k for k in z if k.startswith("logmel_")):
        found.add(z[key].T)
    mean, variance = found.result()
    yield "statistics: mean", mean / z["melmeans"], np.ones_like(mean), 1e-5
    yield "statistics: variance", variance / z["melvars"], np.ones_like(mean), 1e-5
    yield "statistics: frames", found.frames, np.ravel(z["meln"])[0], 0.0


def noise(z: Arrays) -> Iterator[Comparison]:
    """noise_blend: mixtures at a ratio, and noises that were lengthened."""
    for key in z:
        if key.startswith("blend_snr"):
            snr, place = key.removeprefix("blend_snr").split("_start")
            yield key, blend(z["speech"], z["noise"], float(snr), float(place)), z[key], 1e-4
        elif key.startswith("dup_"):
            yield key, lengthened(z[f"noise_{key[4:]}"], len(z["speech"]) + 1), z[key], 1e-4
        elif key.startswith("dupblend_"):
            kind, snr = key.removeprefix("dupblend_").split("_snr")
            mixed = blend(z["speech"], z[f"noise_{kind}"], float(snr), 0.5)
            yield key, mixed, z[key], 1e-4


def texts(path: Path) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """text: normalisers, error rates, word grouping and latency, exact; later parts are skipped."""
    content = json.loads(path.read_text("utf-8"))
    charset = content.get("charset", CHARSET)
    cased = content.get("charset_cased_punct", charset)
    dashes = [("-", " ")]
    normalisers: dict[str, Callable[[str], str]] = {
        "normalize": normalise_v1_4,
        "with_charset_incl_hyphen_period": lambda t: normalise_v1_4(t, charset + "-."),
        "identity": lambda t: normalise(t, "identity", charset),
        "scrub": lambda t: normalise(t, "scrub", charset),
        "ascii": lambda t: normalise(t, "ascii", charset),
        "digit_to_word": lambda t: normalise(t, "digit_to_word", charset),
        "lowercase": lambda t: normalise(t, "lowercase", charset),
        "lowercase_standardize": lambda t: normalise(t, "lowercase", charset, standard=True),
        "lowercase_replacements_keep_tags": lambda t: normalise(
            t, "lowercase", charset, replacements=dashes, remove_tags=False
        ),
        "scrub_cased_punct": lambda t: normalise(t, "scrub", cased),
        "digit_to_word_cased_punct": lambda t: normalise(t, "digit_to_word", cased),
        "user_symbol_eos": lambda t: normalise(
            t, "lowercase", charset, standard=True, user_symbols=["<EOS>"]
        ),
        "standardize_wer": standardise_wer,
        "punctuation_normalize": punctuation_marks,
    }
    for name, function in normalisers.items():
        if name in content:
            rows = content[name]
            yield name, [function(row["input"]) for row in rows], [row["output"] for row in rows]
    yield from _error_rates(content["wer"])
    if "group_timestamps" in content:
        of = content["group_timestamps"]
        words = [
            [[word.text, word.first, word.last] for word in group(pieces, frames)]
            for pieces, frames in zip(of["subwords"], of["frames"], strict=True)
        ]
        yield "word grouping", words, of["words"]
    if "latency" in content:
        of = content["latency"]
        files = sorted({row[3] for row in of["gt"]})
        late: list[float] = []
        for file in files:
            wanted, found = (
                [(word, end) for word, _, end, name in of[side] if name == file]
                for side in ("gt", "pred")
            )
            late += emission_latencies(wanted, found, frame_seconds=0.0)
        yield "latencies", np.round(late, 9).tolist(), np.round(of["latencies"], 9).tolist()


def _error_rates(of: dict[str, Any]) -> Iterator[tuple[str, list[Any], list[Any]]]:
    rates: dict[str, Callable[[list[str], list[str]], ErrorRate]] = {
        "word": word_error_rate,
        "char": character_error_rate,
        "mixture": mixed_error_rate,
    }
    cases = {k: v for k, v in of.items() if isinstance(v, dict)} or {"word_std0": of}
    hypotheses, references = (list(side) for side in zip(*of["pairs_hyp_ref"], strict=True))
    for name, want in cases.items():
        unit, standard = name.split("_std")
        if standard == "1":
            said, heard = ([standardise_wer(t) for t in side] for side in (references, hypotheses))
        else:
            said, heard = references, hypotheses
        found = rates[unit](said, heard)
        edits = found.substitutions + found.deletions + found.insertions
        got = [edits, found.words, round(found.wer, 9)]
        yield f"error rate {name}", got, [want["errors"], want["words"], round(want["wer"], 9)]


CHECKS: dict[str, Callable[[Arrays], Iterator[Comparison]]] = {
    "loss_": loss,
    "train_grad_": gradients,
    "lr_schedule": schedule,
    "lamb_step": lamb,
    "ema_step": averaged,
    "schedules": schedules,
    "norm_": blending,
    "melstats": statistics,
    "noise_blend": noise,
}
