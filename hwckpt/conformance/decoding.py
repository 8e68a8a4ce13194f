"""Vector files of the decoders: beam search, fuzzy top-k, keywords, state resets, from NumPy.

`hwckpt.conformance.check_decoding` reads them. They stand on the greedy file of generation 1.14 and on its
checkpoint, which lie in the same folder: their encoder outputs, and the pieces that come up there as
keywords and as `<EOS>`. Cases that hang on a difference in the seventh digit are left out or drawn again:
what is written stays the same if noise of 2e-6 is added to the encoder's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.check_decoding import BeamRun, decode_beam, perceived
from hwckpt.conformance.check_models import decode_steps, encode_batch, stacked_frames
from hwckpt.conformance.models import network_file, utterance
from hwckpt.reader import network_of, read_checkpoint
from stream.backends import load_backend
from stream.decoding.beam import BeamConfig
from stream.decoding.eos import EosRule
from stream.decoding.fuzzy import LANES, VECTORS, fuzzy_logits
from stream.decoding.greedy import GreedyConfig, Token
from stream.decoding.keywords import KeywordTrie
from stream.decoding.state_resets import cut, merge
from stream.decoding.transducer_beam import TransducerBeam
from stream.front_end.log_mel import streamed_log_mel
from stream.model.network import Network
from stream.vocabulary import WORD_MARK

__all__ = ["DECODING_FILES"]

Rng = np.random.Generator
GREEDY_FILE = "pcm_to_tokens_v1.14.0_greedy.npz"
KEYWORD_FILE = "keywords_v1.14.0.json"
BOOSTS = (-0.3, 0.6, 0.5)  # of the pieces that come up most often, per character
NOISE = 2e-6
SAMPLES = 24_000
SEGMENTS = {"s0.6_o0.18": (20, 6), "s0.33_o0": (11, 0)}  # stacked frames, overlap
PLAIN = BeamConfig(final_delay=None)


def _beams(eos: int) -> dict[str, tuple[dict[str, Any], BeamConfig]]:
    """Return the parameters of every case, as generation 1.14 writes them and as we do."""
    return {
        "w4": ({"beam_width": 4}, PLAIN),
        "w1": ({"beam_width": 1}, replace(PLAIN, width=1)),
        "w8_t1": ({"beam_width": 8, "temperature": 1.0}, replace(PLAIN, width=8, temperature=1.0)),
        "w4_noprune": (
            {"beam_width": 4, "beam_prune_score_thresh": -1, "beam_prune_topk_thresh": -1},
            replace(PLAIN, score_threshold=None, token_threshold=None),
        ),
        "w4_kw": ({"beam_width": 4, "keyword_boost_path": KEYWORD_FILE}, PLAIN),
        "w4_maxsym1": (
            {"beam_width": 4, "max_symbols_per_step": 1},
            replace(PLAIN, symbols_per_step=1),
        ),
        "w4_finalthresh": (
            {"beam_width": 4, "final_emission_thresh": 0.3, "frame_width": 0.06},
            replace(PLAIN, final_delay=0.3),
        ),
        "w4_eosignore": (
            {"beam_width": 4, "eos_strategy": f"EOSIgnore(eos_idx={eos})"},
            replace(PLAIN, eos=EosRule(eos, "ignore")),
        ),
        "w4_eosblank": (
            {"beam_width": 4, "eos_strategy": f"EOSBlank(eos_idx={eos})"},
            replace(PLAIN, eos=EosRule(eos, "blank")),
        ),
        "w4_eospredict": (
            {
                "beam_width": 4,
                "eos_strategy": f"EOSPredict(eos_idx={eos}, alpha=0.5, beta=0.0)",
                "eos_is_terminal": True,
            },
            replace(PLAIN, eos=EosRule(eos, "predict", 0.5, terminal=True)),
        ),
    }


def _network(folder: Path) -> Network:
    return network_of(read_checkpoint(folder / network_file("1.14")))


def _common(folder: Path) -> list[int]:
    """Return the tokens of the greedy file, the one that comes most often first."""
    with np.load(folder / GREEDY_FILE) as z:
        said = np.concatenate([z[f"tokens_{i}"] for i in range(int(z["num"]))])
    ids, counts = np.unique(said, return_counts=True)
    return [int(i) for i in ids[np.lexsort((ids, -counts))]]


def _keywords(rng: Rng, folder: Path) -> dict[str, Any]:
    pieces = _network(folder).vocabulary.pieces
    texts = [pieces[token].replace(WORD_MARK, " ") for token in _common(folder)]
    texts = [text for text in texts if text.strip()]
    return {"keywords": dict(zip(texts, BOOSTS, strict=False))}


def _fuzzy(rng: Rng, folder: Path) -> dict[str, Any]:
    logits = rng.normal(0.0, 3.0, (3, 512)).astype(np.float32)
    sizes = {"vecs_in_packet": VECTORS, "vec_size": LANES}
    return {"logits": logits, "out": fuzzy_logits(logits), **sizes}


def _beam(rng: Rng, folder: Path) -> dict[str, Any]:
    network = _network(folder)
    backend, pieces = load_backend("numpy", network), network.vocabulary.pieces
    keywords = KeywordTrie(_keywords(rng, folder)["keywords"], pieces)
    cases = []
    with np.load(folder / GREEDY_FILE) as z:
        encoded = [z[f"encoder_{i}"] for i in range(int(z["num"]))]
    plain = decode_beam(TransducerBeam(backend, network.vocabulary, PLAIN), encoded[0])
    eos = max((t.id for t in plain.tokens), key=[t.id for t in plain.tokens].count)
    for utterance_, f in enumerate(encoded):
        noisy = (f + rng.uniform(-NOISE, NOISE, f.shape)).astype(np.float32)
        for name, (parameters, config) in _beams(eos).items():
            decoder = TransducerBeam(backend, network.vocabulary, config)
            trie = keywords if name == "w4_kw" else None
            run = decode_beam(decoder, f, trie)
            if _outline(run) != _outline(decode_beam(decoder, noisy, trie)):
                continue
            probabilities = np.exp([t.log_probability for t in run.tokens])
            cases.append(
                {
                    "utterance": utterance_,
                    "case": name,
                    "params": parameters,
                    "tokens": [t.id for t in run.tokens],
                    "timesteps": [t.step for t in run.tokens],
                    "probs": [round(float(p), 6) for p in probabilities],
                    "user_perceived_timesteps": perceived(run, pieces),
                    "responses": _responses(run) if name in ("w4", "w4_finalthresh") else None,
                }
            )
    return {"eos": eos, "blank": network.specification.blank, "cases": cases}


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


def _state_resets(rng: Rng, folder: Path) -> dict[str, Any]:
    network = _network(folder)
    arrays: dict[str, Any] | None = None
    while arrays is None:
        arrays = _segmented(rng, network, utterance(rng, SAMPLES))
    return {
        "checkpoint": network_file("1.14"),
        "final_padding_samples": network.specification.final_padding,
        **arrays,
    }


def _segmented(rng: Rng, network: Network, pcm: NDArray[np.int16]) -> dict[str, Any] | None:
    """Decode a recording in overlapping segments, in others, and whole; None where that tells little."""
    backend, normaliser = load_backend("numpy", network), network.normaliser
    audio = (pcm / 32768).astype(np.float32)
    frames = streamed_log_mel(audio[None], network.specification.front_end)
    x = stacked_frames(normaliser.step(frames, normaliser.initial_state(1))[0])[0]
    arrays: dict[str, Any] = {"pcm_0": pcm}
    config = GreedyConfig(counter="running")

    def decoded(encoded: NDArray[np.float32]) -> list[list[Token]]:
        return [decode_steps(backend, f, config) for f in encoded]

    for tag, (segment, overlap) in {**SEGMENTS, "off": (len(x), 0)}.items():
        encoded = encode_batch(backend, cut(x, segment, overlap))
        tokens = decoded(encoded)
        noisy = (encoded + rng.uniform(-NOISE, NOISE, encoded.shape)).astype(np.float32)
        if _ids(tokens) != _ids(decoded(noisy)) or not all(tokens):
            return None
        merged = merge(tokens, segment, overlap)
        if overlap and not len(tokens[0]) < len(merged) < sum(map(len, tokens)):
            return None  # nothing to be merged
        arrays |= {
            f"segments_{tag}_0": len(encoded),
            f"segment_feats_shape_{tag}_0": np.array([segment, len(encoded), x.shape[1]]),
            f"tokens_{tag}_0": np.array([t.id for t in merged], np.int64),
            f"frames_{tag}_0": np.array([t.step for t in merged], np.int64),
        }
        for n, of in enumerate(tokens):
            arrays[f"segment_tokens_{tag}_0_{n}"] = np.array([t.id for t in of], np.int64)
            arrays[f"segment_frames_{tag}_0_{n}"] = np.array([t.step for t in of], np.int64)
    return arrays


def _ids(segments: list[list[Token]]) -> list[list[tuple[int, int]]]:
    return [[(token.id, token.step) for token in tokens] for tokens in segments]


# By name: (rng, folder) -> arrays of an .npz file, or the content of a .json file.
DECODING_FILES: dict[str, Callable[[Rng, Path], dict[str, Any]]] = {
    "fuzzy_topk_v1.14.0.npz": _fuzzy,
    KEYWORD_FILE: _keywords,
    "beam_v1.14.0.json": _beam,
    "state_resets_v1.14.0.npz": _state_resets,
}
