"""Checks of the decoders: beam search and what it stands on, state resets.

A beam file (JSON) has cases on encoder outputs of the greedy file of its version beside it, which
names the hardware checkpoint. Its parameters are written as generation 1.14's Python shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from hwckpt.conformance.check_models import (
    backends,
    changed,
    encode_batch,
    network_beside,
    stacked_frames,
)
from hwckpt.conformance.comparison import Row, VectorError, compare, exact, load
from stream.backends import Backend
from stream.decoding.beam import BeamConfig
from stream.decoding.endpoint import trim
from stream.decoding.eos import EosRule
from stream.decoding.fuzzy import fuzzy_logits
from stream.decoding.greedy import Greedy, GreedyConfig, Token
from stream.decoding.keywords import ROOT, KeywordTrie
from stream.decoding.state_resets import cut, layout, merge
from stream.decoding.transducer_beam import TransducerBeam
from stream.front_end.log_mel import HOP, SAMPLE_RATE, streamed_log_mel
from stream.front_end.stacking import STACK
from stream.language_model.files import open_ngram
from stream.language_model.ngram import Ngram, read_arpa
from stream.model.network import Network
from stream.text_file import read_text
from stream.vocabulary import WORD_MARK

__all__ = ["beam", "fuzzy_topk", "keywords", "ngram", "ngram_scores", "state_resets", "texts"]

PROBABILITY = 1e-4
LOG10 = 1e-4
FLOATS = 1e-9
STACKED_SECONDS = STACK * HOP / SAMPLE_RATE


def fuzzy_topk(path: Path) -> Iterator[Row]:
    """fuzzy_topk: the logits that are left, bit for bit."""
    z = load(path)
    yield compare("fuzzy top-k", "numpy", fuzzy_logits(z["logits"]), z["out"], 0.0)


def keywords(path: Path) -> Iterator[Row]:
    """keywords: the file is read and every keyword is earned once it was spelt."""
    found = cast(Mapping[str, float], _json(path)["keywords"])
    pieces = sorted({c for keyword in found for c in keyword.replace(" ", WORD_MARK)})
    for keyword, boost in found.items():
        trie = KeywordTrie({keyword: boost}, pieces)
        earned, state = trie.advance(ROOT, keyword.replace(" ", WORD_MARK))
        yield compare(f"keyword {keyword!r}", "numpy", [earned], [boost * len(keyword)], FLOATS)


def ngram(path: Path) -> Iterator[Row]:
    """ngram_<version>: a folder of ngram.arpa and ngram.binary, which agree on every n-gram."""
    arpa, binary = read_arpa(path / "ngram.arpa"), open_ngram(path / "ngram.binary")
    yield exact("order", "numpy", [binary.order], [arpa.order])
    words = {number: binary.word(text) for text, number in arpa.ids.items()}
    yield exact(
        "words", "numpy", [word is not None for word in words.values()], [True] * len(words)
    )
    for order in range(1, arpa.order + 1):
        ngrams = {k: v for k, v in arpa.ngrams.items() if len(k) == order}
        got = [binary.find(tuple(words[i] or 0 for i in k)) or (np.nan, np.nan) for k in ngrams]
        yield compare(f"{order}-grams", "numpy", got, list(ngrams.values()), LOG10)


def ngram_scores(path: Path) -> Iterator[Row]:
    """ngram_scores: log10 probability of each piece of sentences, by both files of the model."""
    content = _json(path)
    pieces = sorted({piece for case in content["cases"] for piece in case["pieces"]})
    for name in ("ngram.arpa", "ngram.binary"):
        model = Ngram(open_ngram(path.parent / Path(content["model"]).parent / name), pieces, 1.0)
        for i, case in enumerate(content["cases"]):
            context, scores = model.start, []
            for piece in case["pieces"]:
                score, context = model.step(context, pieces.index(piece))
                scores.append(score / np.log(10.0))
            yield compare(f"{name} {i}", "numpy", scores, case["log10"], LOG10)


def beam(path: Path) -> Iterator[Row]:
    """beam: tokens, steps, probabilities, and where a case has them the response at each step."""
    content = _json(path)
    version = path.stem.removeprefix("beam_")
    greedy = path.parent / f"pcm_to_tokens_{version}_greedy.npz"
    if not greedy.is_file():
        raise VectorError(f"{path}: wants {greedy.name} beside it")
    z = load(greedy)
    network = network_beside(greedy, z)
    for found in backends("beam search", network, ("numpy", "onnx")):
        if isinstance(found, Row):
            yield found
            continue
        name, backend = found
        for case in content["cases"]:
            decoder, trie = _decoder(
                case["params"], backend, network, path.parent, int(content["eos"])
            )
            f = z[f"encoder_{case['utterance']}"]
            run = decode_beam(decoder, f, trie)
            label = f"beam {case['case']} {case['utterance']}"
            yield exact(label, name, [t.id for t in run.tokens], case["tokens"])
            yield exact(f"{label} steps", name, [t.step for t in run.tokens], case["timesteps"])
            probabilities = np.exp([t.log_probability for t in run.tokens])
            yield compare(f"{label} probabilities", name, probabilities, case["probs"], PROBABILITY)
            shown = perceived(run, network.vocabulary.pieces)
            yield exact(f"{label} shown", name, shown, case["user_perceived_timesteps"])
            for kind in ("final", "partials"):
                got, want = _responses(run, kind, case.get("responses") or {})
                if want:
                    yield exact(f"{label} {kind}", name, got, want)


class BeamRun(NamedTuple):
    """A beam search over an utterance.

    Attributes:
        finals: of each frame; at index T those of the end.
        partials: the ids of each hypothesis at each frame, the best first.
    """

    finals: list[list[Token]]
    partials: list[list[list[int]]]

    @property
    def tokens(self) -> list[Token]:
        """All finals, joined."""
        return [token for final in self.finals for token in final]


def decode_beam(
    decoder: TransducerBeam, f: NDArray[np.float32], trie: KeywordTrie | None = None
) -> BeamRun:
    state = decoder.initial_state(trie)
    run = BeamRun([], [])
    for t in range(len(f)):
        (final,), (state,) = decoder.step(np.ascontiguousarray(f[None, t : t + 1]), [state])
        run.finals.append(final)
        run.partials.append([[t.id for t in h.tokens] for h in decoder.partials(state)])
    run.finals.append(decoder.commit(state)[0])
    return run


def perceived(run: BeamRun, pieces: Sequence[str]) -> list[int]:
    """Return since which response each token was shown unchanged, all of its characters.

    Shown are the finals so far and the best partial behind them (NUMERICS 4.6).
    """
    final, shown = "", []
    for t, tokens in enumerate(run.finals):
        final += "".join(pieces[token.id] for token in tokens)
        best = run.partials[t][0] if t < len(run.partials) and run.partials[t] else []
        shown.append(final + "".join(pieces[token] for token in best))
    steps, end = [], 0
    for t, tokens in enumerate(run.finals):
        for token in tokens:
            begin, end = end, end + len(pieces[token.id])
            since = [t]
            for place in range(begin, end):
                first = t
                while first and shown[first - 1][place : place + 1] == final[place]:
                    first -= 1
                since.append(first)
            steps.append(max(since[1:], default=t))
    return steps


def _responses(run: BeamRun, kind: str, wanted: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the ids that each response in a file has, as decoded and as wanted."""
    got: list[Any] = []
    want: list[Any] = []
    for key, response in wanted.items():
        if response.get(kind) is None and kind == "partials":
            continue
        alternatives = (response.get(kind) or {"alternatives": []})["alternatives"]
        want.append([alternative["y_seq"] for alternative in alternatives])
        if kind == "partials":
            got.append(run.partials[int(key)])
        else:
            got.append([[t.id for t in run.finals[int(key)]]] if run.finals[int(key)] else [])
    return got, want


def _decoder(
    parameters: Mapping[str, Any], backend: Backend, network: Network, folder: Path, eos_id: int
) -> tuple[TransducerBeam, KeywordTrie | None]:
    """Read the parameters of a case; below zero a threshold is off."""
    rest = dict(parameters)
    pieces = network.vocabulary.pieces

    def threshold(name: str, default: float) -> float | None:
        value = float(rest.pop(name, default))
        return None if value < 0.0 else value

    rest.pop("frame_width", None)  # 0.06 s, as always
    eos = _eos(rest.pop("eos_strategy", None), bool(rest.pop("eos_is_terminal", False)))
    config = BeamConfig(
        width=rest.pop("beam_width"),
        temperature=rest.pop("temperature", 1.4),
        score_threshold=threshold("beam_prune_score_thresh", 0.4),
        token_threshold=threshold("beam_prune_topk_thresh", 1.5),
        symbols_per_step=rest.pop("max_symbols_per_step", 8),
        final_delay=threshold("final_emission_thresh", -1.0),
        eos=eos,
    )
    model = None
    if "ngram_info" in rest:
        text = rest.pop("ngram_info")
        found = re.fullmatch(r"NgramInfo\(path='(.+)', scale_factor=(.+)\)", text)
        if found is None:
            raise VectorError(f"{folder}: ngram_info is {text!r}")
        table = open_ngram(folder / found[1])
        model = Ngram(table, pieces, float(found[2]), frozenset({eos_id}))
    trie = None
    if "keyword_boost_path" in rest:
        trie = KeywordTrie(_json(folder / rest.pop("keyword_boost_path"))["keywords"], pieces)
    if rest:
        raise VectorError(f"{folder}: beam parameters {', '.join(rest)} are unknown")
    return TransducerBeam(backend, network.vocabulary, config, model), trie


def _eos(strategy: str | None, terminal: bool) -> EosRule | None:
    if strategy is None:
        return None
    found = re.fullmatch(r"EOS(Predict|Blank|Ignore)\((.*)\)", strategy)
    if found is None:
        raise VectorError(f"eos_strategy is {strategy!r}")
    values = dict(item.split("=") for item in found[2].split(", "))
    return EosRule(
        int(values["eos_idx"]),
        cast(Any, found[1].lower()),
        float(values.get("alpha", 1.0)),
        float(values.get("beta", 0.0)),
        terminal,
    )


def state_resets(path: Path) -> Iterator[Row]:
    """state_resets: tokens and steps of every segment, and merged; for each setting in the file."""
    z = load(path)
    network = changed(network_beside(path, z), final_padding=int(z["final_padding_samples"]))
    for found in backends("state resets", network, ("numpy", "onnx")):
        if isinstance(found, Row):
            yield found
            continue
        name, backend = found
        for i in range(sum(key.startswith("pcm_") for key in z)):
            samples = z[f"pcm_{i}"].astype(np.float32) / 32768
            frames = streamed_log_mel(samples[None], network.specification.front_end)
            normaliser = network.normaliser
            x = stacked_frames(normaliser.step(frames, normaliser.initial_state(1))[0])[0]
            for key in (k for k in z if k.startswith("tokens_") and k.endswith(f"_{i}")):
                tag = key.removeprefix("tokens_").removesuffix(f"_{i}")
                yield from _segmented(z, name, backend, x, tag, i)


def _segmented(
    z: Mapping[str, Any], name: str, backend: Backend, x: NDArray[np.float32], tag: str, i: int
) -> Iterator[Row]:
    segment = int(z[f"segment_feats_shape_{tag}_{i}"][0])
    seconds = re.fullmatch(r"s.*_o(.*)", tag)  # a setting without is "off"
    overlap = round(float(seconds[1]) / STACKED_SECONDS) if seconds else 0
    pieces = cut(x, segment, overlap)
    yield exact(f"segments {tag} {i}", name, [len(pieces)], [z[f"segments_{tag}_{i}"]])
    f = encode_batch(backend, pieces)
    greedy = Greedy(backend, GreedyConfig(counter="running"))
    tokens = [greedy.step(row[None], greedy.initial_state(1))[0][0] for row in f]
    for n, segment_tokens in enumerate(tokens):
        for kind, got in (
            ("tokens", [t.id for t in segment_tokens]),
            ("frames", [t.step for t in segment_tokens]),
        ):
            want = z[f"segment_{kind}_{tag}_{i}_{n}"].tolist()
            yield exact(f"segment {n} {kind} {tag} {i}", name, got, want)
    merged = merge(tokens, segment, overlap)
    yield exact(f"tokens {tag} {i}", name, [t.id for t in merged], z[f"tokens_{tag}_{i}"].tolist())
    yield exact(f"steps {tag} {i}", name, [t.step for t in merged], z[f"frames_{tag}_{i}"].tolist())


def texts(path: Path) -> Iterator[Row]:
    """text: its parts about decoding: keyword trie, merged segments, where utterances are cut."""
    content = _json(path)
    trie_cases = content.get("keyword_trie", {"keywords": [], "cases": []})
    letters = sorted({c for keyword, _ in trie_cases["keywords"] for c in keyword} - {" "})
    trie = KeywordTrie(dict(trie_cases["keywords"]), [*letters, WORD_MARK])
    for case in trie_cases["cases"]:
        state, deltas = ROOT, []
        for character in case["text"]:
            delta, state = trie.advance(state, character.replace(" ", WORD_MARK))
            deltas.append(delta)
        yield compare(f"keyword trie {case['text']!r}", "python", deltas, case["deltas"], FLOATS)
    for case in content.get("segmenting_info", []):
        got = layout(case["all"], case["segment"], case["overlap"])
        yield exact("segments", "python", got, [case["n_segments"], case["padding"]])
    for case in content.get("state_reset_merge", []):
        segments = [
            [Token(token, step, 0.0) for token, step in zip(tokens, steps, strict=True)]
            for tokens, steps in zip(case["tokens"], case["frames"], strict=True)
        ]
        merged = merge(segments, case["segment_frames"], case["overlap_frames"])
        ids = [token for unique in case["unique_tokens"] for token in unique]
        yield exact("merged segments", "python", [t.id for t in merged], ids)
        yield exact("merged steps", "python", [t.step for t in merged], case["merged_frames"])
    for case in content.get("trim", []):
        yield from _trimmed(case)


def _trimmed(case: Mapping[str, Any]) -> Iterator[Row]:
    eos, terminal = case["eos"] or (None, False)
    silence = float(case["vad"])
    for i, tokens in enumerate(case["tokens"]):
        steps, frames = case["frames"][i], case["feat_lens"][i]
        count, ended = trim(tokens, steps, frames, silence=silence, eos=eos, terminal=terminal)
        label, (reason, seconds) = f"trim {case['case']}", case["termination"][i]
        yield exact(label, "python", tokens[:count], case["out_tokens"][i])
        yield exact(f"{label} reason", "python", [ended.reason], [reason.lower()])
        got, want = (np.nan if value is None else value for value in (ended.seconds, seconds))
        if seconds is not None or ended.seconds is not None:
            yield compare(f"{label} time", "python", [got], [want], FLOATS)


def _json(path: Path) -> Any:
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise VectorError(f"{path}: not a vector file: {error}") from error
    if not isinstance(content, dict):
        raise VectorError(f"{path}: not a vector file: no JSON object")
    return content
