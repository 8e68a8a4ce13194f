"""Vectors of the decoders for `hwckpt.vectors`: beam search, fuzzy top-k, keywords, state resets.

Cases that hang on a difference in the seventh digit are left out: what is written stays the same if
noise of 2e-6 is added to the encoder's output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.check_decoding import BeamRun, decode_beam, perceived
from hwckpt.check_models import encode_batch, stacked_frames
from stream.backends import load_backend
from stream.decoding.beam import Beam, BeamConfig
from stream.decoding.eos import EosRule
from stream.decoding.fuzzy import fuzzy_logits
from stream.decoding.greedy import Greedy, GreedyConfig
from stream.decoding.keywords import KeywordTrie
from stream.decoding.state_resets import cut, merge
from stream.features import streamed_log_mel
from stream.network import Network

__all__ = ["KEYWORDS", "beam_cases", "fuzzy_arrays", "state_reset_arrays"]

Rng = np.random.Generator
KEYWORDS = {"be": -0.2, " six": 0.6, "qr": 0.5}
EOS = 10  # any piece serves; this one comes up
NOISE = 2e-6
PLAIN = BeamConfig(final_delay=None)
BEAMS: dict[str, tuple[dict[str, Any], BeamConfig]] = {
    "w4": ({"beam_width": 4}, PLAIN),
    "w1": ({"beam_width": 1}, replace(PLAIN, width=1)),
    "w8_t1": ({"beam_width": 8, "temperature": 1.0}, replace(PLAIN, width=8, temperature=1.0)),
    "w4_noprune": (
        {"beam_width": 4, "beam_prune_score_thresh": -1, "beam_prune_topk_thresh": -1},
        replace(PLAIN, score_threshold=None, token_threshold=None),
    ),
    "w4_kw": ({"beam_width": 4, "keyword_boost_path": "keywords_v1.14.0.json"}, PLAIN),
    "w4_maxsym1": ({"beam_width": 4, "max_symbols_per_step": 1}, replace(PLAIN, symbols_per_step=1)),
    "w4_finalthresh": (
        {"beam_width": 4, "final_emission_thresh": 0.3, "frame_width": 0.06},
        replace(PLAIN, final_delay=0.3),
    ),
    "w4_eosignore": (
        {"beam_width": 4, "eos_strategy": f"EOSIgnore(eos_idx={EOS})"},
        replace(PLAIN, eos=EosRule(EOS, "ignore")),
    ),
    "w4_eosblank": (
        {"beam_width": 4, "eos_strategy": f"EOSBlank(eos_idx={EOS})"},
        replace(PLAIN, eos=EosRule(EOS, "blank")),
    ),
    "w4_eospredict": (
        {
            "beam_width": 4,
            "eos_strategy": f"EOSPredict(eos_idx={EOS}, alpha=0.5, beta=0.0)",
            "eos_is_terminal": True,
        },
        replace(PLAIN, eos=EosRule(EOS, "predict", 0.5, terminal=True)),
    ),
}  # fmt: skip


def fuzzy_arrays(rng: Rng) -> dict[str, Any]:
    """Return a fuzzy_topk file."""
    logits = rng.normal(0.0, 3.0, (3, 512)).astype(np.float32)
    return {"logits": logits, "out": fuzzy_logits(logits), "vecs_in_packet": 8, "vec_size": 32}


def beam_cases(rng: Rng, network: Network, greedy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a beam file, on the encoder outputs of a greedy file of the same network."""
    backend = load_backend("numpy", network)
    cases = []
    for utterance in range(int(greedy["num"])):
        f = greedy[f"encoder_{utterance}"]
        noisy = (f + rng.uniform(-NOISE, NOISE, f.shape)).astype(np.float32)
        for name, (parameters, config) in BEAMS.items():
            decoder = Beam(backend, network.vocabulary, config)
            trie = KeywordTrie(KEYWORDS, network.vocabulary.pieces) if name == "w4_kw" else None
            run = decode_beam(decoder, f, trie)
            if _outline(run) != _outline(decode_beam(decoder, noisy, trie)):
                continue
            probabilities = np.exp([t.log_probability for t in run.tokens])
            cases.append(
                {
                    "utterance": utterance,
                    "case": name,
                    "params": parameters,
                    "tokens": [t.id for t in run.tokens],
                    "timesteps": [t.step for t in run.tokens],
                    "probs": [round(float(p), 6) for p in probabilities],
                    "user_perceived_timesteps": perceived(run, network.vocabulary.pieces),
                    "responses": _responses(run) if name in ("w4", "w4_finalthresh") else None,
                }
            )
    return {"eos": EOS, "blank": network.specification.blank, "cases": cases}


def _outline(run: BeamRun) -> Any:
    return [[(t.id, t.step) for t in final] for final in run.finals], run.partials


def _responses(run: BeamRun) -> dict[str, Any]:
    def alternatives(sequences: list[list[int]]) -> dict[str, Any]:
        return {"alternatives": [{"y_seq": ids} for ids in sequences]}

    return {
        str(t): {
            "final": alternatives([[token.id for token in final]]) if final else None,
            "partials": alternatives(run.partials[t]) if t < len(run.partials) else None,
        }
        for t, final in enumerate(run.finals)
    }


def state_reset_arrays(network: Network, checkpoint: str, pcm: NDArray[np.int16]) -> dict[str, Any]:
    """Return a state_resets file of one recording: in overlapping segments, in others, and whole."""
    backend, normaliser = load_backend("numpy", network), network.normaliser
    arrays: dict[str, Any] = {
        "checkpoint": checkpoint,
        "final_padding_samples": network.specification.final_padding,
        "pcm_0": pcm,
    }
    frames = streamed_log_mel(
        (pcm / 32768).astype(np.float32)[None], network.specification.front_end
    )
    x = stacked_frames(normaliser.step(frames, normaliser.initial_state(1))[0])[0]
    greedy = Greedy(backend, GreedyConfig(counter="running"))
    for tag, segment, overlap in (("s0.6_o0.18", 20, 6), ("s0.33_o0", 11, 0), ("off", len(x), 0)):
        pieces = cut(x, segment, overlap)
        tokens = [
            greedy.step(f[None], greedy.initial_state(1))[0][0]
            for f in encode_batch(backend, pieces)
        ]
        merged = merge(tokens, segment, overlap)
        arrays |= {
            f"segments_{tag}_0": len(pieces),
            f"segment_feats_shape_{tag}_0": np.array([segment, len(pieces), x.shape[1]]),
            f"tokens_{tag}_0": np.array([t.id for t in merged], np.int64),
            f"frames_{tag}_0": np.array([t.step for t in merged], np.int64),
        }
        for n, of in enumerate(tokens):
            arrays[f"segment_tokens_{tag}_0_{n}"] = np.array([t.id for t in of], np.int64)
            arrays[f"segment_frames_{tag}_0_{n}"] = np.array([t.step for t in of], np.int64)
    return arrays
