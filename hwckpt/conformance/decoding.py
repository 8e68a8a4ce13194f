"""Vectors of the decoders: beam search, fuzzy top-k, keywords, n-grams, and the decoders' parts of texts.

A beam file (JSON) has cases on encoder outputs of the greedy file of its version beside it, which names
the hardware checkpoint. Its parameters are written as generation 1.14's Python shows them. Ours are made
from the pieces that come up most often in the greedy file, as keywords and as `<EOS>`; a case that noise of
2e-6 on the encoder's output changes is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from hwckpt.conformance.comparison import (
    Arrays,
    Kind,
    Rng,
    Row,
    VectorError,
    Vectors,
    compare,
    computed,
    exact,
    read_vectors,
)
from hwckpt.conformance.models import PROBABILITY, network_beside, on_backends
from hwckpt.conformance.whole_recordings import layout, merge, trim
from stream.backends import Backend, load_backend
from stream.decoding.beam import BeamConfig
from stream.decoding.eos import EosRule
from stream.decoding.fuzzy import LANES, VECTORS, fuzzy_logits
from stream.decoding.greedy import Token
from stream.decoding.keywords import ROOT, KeywordTrie
from stream.decoding.transducer_beam import TransducerBeam
from stream.language_model.files import open_ngram
from stream.language_model.ngram import Ngram, read_arpa
from stream.stage import Floats
from stream.vocabulary import WORD_MARK, Vocabulary

LOG10 = 1e-4
FLOATS = 1e-9

GREEDY_FILE = "pcm_to_tokens_v1.14.0_greedy.npz"
KEYWORD_FILE = "keywords_v1.14.0.json"
BOOSTS = (-0.3, 0.6, 0.5)  # of the pieces that come up most often, per character
NOISE = 2e-6
WITH_RESPONSES = ("w4", "w4_finalthresh")


def _logits(rng: Rng) -> dict[str, Any]:
    logits = rng.normal(0.0, 3.0, (3, 512)).astype(np.float32)
    return {"logits": logits, "vecs_in_packet": VECTORS, "vec_size": LANES}


def _fuzzy(z: Arrays) -> dict[str, Any]:
    return {"out": fuzzy_logits(z["logits"])}


def _make_keywords(rng: Rng, folder: Path) -> str:
    """Return the pieces that come up most often in the greedy file."""
    z = read_vectors(folder / GREEDY_FILE)
    pieces = network_beside(z).vocabulary.pieces
    said = np.concatenate([z[f"tokens_{i}"] for i in range(z["num"])])
    ids, counts = np.unique(said, return_counts=True)
    common = ids[np.lexsort((ids, -counts))].tolist()
    texts = [pieces[token].replace(WORD_MARK, " ") for token in common]
    texts = [text for text in texts if text.strip()]
    return json.dumps({"keywords": dict(zip(texts, BOOSTS, strict=False))}) + "\n"


def _check_keywords(z: Vectors) -> Iterator[Row]:
    """Check that every keyword earns its boost once it is spelt."""
    found = cast(Mapping[str, float], z["keywords"])
    pieces = sorted({c for keyword in found for c in keyword.replace(" ", WORD_MARK)})
    for keyword, boost in found.items():
        trie = KeywordTrie({keyword: boost}, pieces)
        earned, _ = trie.advance(ROOT, keyword.replace(" ", WORD_MARK))
        yield compare(f"keyword {keyword!r}", "numpy", [earned], [boost * len(keyword)], FLOATS)


def _check_ngram(z: Vectors) -> Iterator[Row]:
    """Check that ngram.arpa and ngram.binary in a folder agree on every n-gram."""
    arpa, binary = read_arpa(z.path / "ngram.arpa"), open_ngram(z.path / "ngram.binary")
    yield exact("order", "numpy", [binary.order], [arpa.order])
    words = {number: binary.word(text) for text, number in arpa.ids.items()}
    known = [word is not None for word in words.values()]
    yield exact("words", "numpy", known, [True] * len(words))
    for order in range(1, arpa.order + 1):
        ngrams = {k: v for k, v in arpa.ngrams.items() if len(k) == order}
        got = [binary.find(tuple(words[i] or 0 for i in k)) or (np.nan, np.nan) for k in ngrams]
        yield compare(f"{order}-grams", "numpy", got, list(ngrams.values()), LOG10)


def _check_ngram_scores(z: Vectors) -> Iterator[Row]:
    """Check the log10 probability of each piece of sentences, by both files of the model."""
    pieces = sorted({piece for case in z["cases"] for piece in case["pieces"]})
    for name in ("ngram.arpa", "ngram.binary"):
        model = Ngram(open_ngram(z.path.parent / Path(z["model"]).parent / name), pieces, 1.0)
        for i, case in enumerate(z["cases"]):
            context, scores = model.start, []
            for piece in case["pieces"]:
                score, context = model.step(context, pieces.index(piece))
                scores.append(score / np.log(10.0))
            yield compare(f"{name} {i}", "numpy", scores, case["log10"], LOG10)


class BeamRun(NamedTuple):
    """A beam search over an utterance of T frames.

    Attributes:
        finals: the finals of each frame; at index T those of the end.
        partials: the ids of each hypothesis at each frame, the best first.
    """

    finals: list[list[Token]]
    partials: list[list[list[int]]]

    @property
    def tokens(self) -> list[Token]:
        """All finals, joined."""
        return [token for final in self.finals for token in final]


def _cases(eos: int) -> dict[str, dict[str, Any]]:
    """Return the parameters of every case of our beam file."""
    parameters: dict[str, dict[str, Any]] = {
        "w4": {},
        "w1": {"beam_width": 1},
        "w8_t1": {"beam_width": 8, "temperature": 1.0},
        "w4_noprune": {"beam_prune_score_thresh": -1, "beam_prune_topk_thresh": -1},
        "w4_kw": {"keyword_boost_path": KEYWORD_FILE},
        "w4_maxsym1": {"max_symbols_per_step": 1},
        "w4_finalthresh": {"final_emission_thresh": 0.3, "frame_width": 0.06},
        "w4_eosignore": {"eos_strategy": f"EOSIgnore(eos_idx={eos})"},
        "w4_eosblank": {"eos_strategy": f"EOSBlank(eos_idx={eos})"},
        "w4_eospredict": {
            "eos_strategy": f"EOSPredict(eos_idx={eos}, alpha=0.5, beta=0.0)",
            "eos_is_terminal": True,
        },
    }
    return {name: {"beam_width": 4, **given} for name, given in parameters.items()}


def _make_beam(rng: Rng, folder: Path) -> str:
    """Run every case on every utterance of the greedy file."""
    z = read_vectors(folder / GREEDY_FILE)
    network = network_beside(z)
    backend, vocabulary = load_backend("numpy", network), network.vocabulary
    encoded = [z[f"encoder_{i}"] for i in range(z["num"])]

    def run(parameters: Mapping[str, Any], f: Floats) -> BeamRun:
        return _decode(*_decoder(parameters, backend, vocabulary, folder), f)

    said = [token.id for token in run({"beam_width": 4}, encoded[0]).tokens]
    eos = max(said, key=said.count)
    cases = []
    for i, f in enumerate(encoded):
        noisy = (f + rng.uniform(-NOISE, NOISE, f.shape)).astype(np.float32)
        for name, parameters in _cases(eos).items():
            found = run(parameters, f)
            if _outline(found) != _outline(run(parameters, noisy)):
                continue
            probabilities = np.exp([t.log_probability for t in found.tokens])
            case = {
                "tokens": [t.id for t in found.tokens],
                "timesteps": [t.step for t in found.tokens],
                "probs": [round(float(p), 6) for p in probabilities],
                "user_perceived_timesteps": perceived(found, vocabulary.pieces),
                "responses": _responses(found) if name in WITH_RESPONSES else None,
            }
            cases.append({"utterance": i, "case": name, "params": parameters, **case})
    content = {"eos": eos, "blank": network.specification.blank, "cases": cases}
    return json.dumps(content) + "\n"


def _check_beam(z: Vectors) -> Iterator[Row]:
    """Check tokens, steps, probabilities, and where a case has them the response at each step."""
    version = z.path.stem.removeprefix("beam_")
    path = z.path.parent / f"pcm_to_tokens_{version}_greedy.npz"
    if not path.is_file():
        raise VectorError(f"{z.path}: wants {path.name} beside it")
    greedy = read_vectors(path)
    network = network_beside(greedy)

    def rows(name: str, backend: Backend) -> Iterator[Row]:
        for case in z["cases"]:
            eos, folder = int(z["eos"]), z.path.parent
            decoder, trie = _decoder(case["params"], backend, network.vocabulary, folder, eos)
            run = _decode(decoder, trie, greedy[f"encoder_{case['utterance']}"])
            label = f"{case['case']} {case['utterance']}"
            for key, got in (
                ("tokens", [t.id for t in run.tokens]),
                ("timesteps", [t.step for t in run.tokens]),
                ("user_perceived_timesteps", perceived(run, network.vocabulary.pieces)),
            ):
                yield exact(f"{label} {key}", name, got, case[key])
            probabilities = np.exp([t.log_probability for t in run.tokens])
            yield compare(f"{label} probs", name, probabilities, case["probs"], PROBABILITY)
            for kind in ("final", "partials"):
                got, want = _alternatives(run, kind, case.get("responses") or {})
                if want:
                    yield exact(f"{label} {kind}", name, got, want)

    yield from on_backends("beam search", network, ("numpy", "onnx"), rows)


def _decode(decoder: TransducerBeam, trie: KeywordTrie | None, f: Floats) -> BeamRun:
    state = decoder.initial_state(trie)
    run = BeamRun([], [])
    for t in range(len(f)):
        (final,), (state,) = decoder.step(np.ascontiguousarray(f[None, t : t + 1]), [state])
        run.finals.append(final)
        run.partials.append([[t.id for t in h.tokens] for h in decoder.partials(state)])
    run.finals.append(decoder.commit(state)[0])
    return run


def _outline(run: BeamRun) -> Any:
    return [[(t.id, t.step) for t in final] for final in run.finals], run.partials


def perceived(run: BeamRun, pieces: Sequence[str]) -> list[int]:
    """Return since which response each token is shown unchanged, all of its characters.

    Shown are the finals so far and the best partial after them (NUMERICS 4.6).
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


def _responses(run: BeamRun) -> dict[str, Any]:
    """Return the response at each step as generation 1.14 writes it."""

    def alternatives(sequences: list[list[int]]) -> dict[str, Any]:
        return {"alternatives": [{"y_seq": ids} for ids in sequences]}

    return {
        str(t): {
            "final": alternatives([[token.id for token in final]]) if final else None,
            "partials": alternatives(run.partials[t]) if t < len(run.partials) else None,
        }
        for t, final in enumerate(run.finals)
    }


def _alternatives(
    run: BeamRun, kind: str, wanted: Mapping[str, Any]
) -> tuple[list[Any], list[Any]]:
    """Return the ids of each response, as decoded and as wanted; a file's final may be absent."""

    def ids(response: Any) -> list[Any]:
        return [a["y_seq"] for a in (response or {"alternatives": []})["alternatives"]]

    ours = _responses(run)
    steps = [t for t, of in wanted.items() if kind == "final" or of.get(kind) is not None]
    return [ids(ours[t][kind]) for t in steps], [ids(wanted[t].get(kind)) for t in steps]


def _decoder(
    parameters: Mapping[str, Any],
    backend: Backend,
    vocabulary: Vocabulary,
    folder: Path,
    eos_id: int = -1,
) -> tuple[TransducerBeam, KeywordTrie | None]:
    """Return the search that a case's parameters ask for; a threshold below zero is off."""
    rest = dict(parameters)

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
        model = Ngram(table, vocabulary.pieces, float(found[2]), frozenset({eos_id}))
    trie = None
    if "keyword_boost_path" in rest:
        keywords = read_vectors(folder / rest.pop("keyword_boost_path"))["keywords"]
        trie = KeywordTrie(keywords, vocabulary.pieces)
    if rest:
        raise VectorError(f"{folder}: beam parameters {', '.join(rest)} are unknown")
    return TransducerBeam(backend, vocabulary, config, model), trie


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


def _check_texts(z: Vectors) -> Iterator[Row]:
    """Check the parts of a text file about decoding: keyword trie, merged segments, where utterances are cut."""
    trie_cases = z.get("keyword_trie", {"keywords": [], "cases": []})
    letters = sorted({c for keyword, _ in trie_cases["keywords"] for c in keyword} - {" "})
    trie = KeywordTrie(dict(trie_cases["keywords"]), [*letters, WORD_MARK])
    for case in trie_cases["cases"]:
        state, deltas = ROOT, []
        for character in case["text"]:
            delta, state = trie.advance(state, character.replace(" ", WORD_MARK))
            deltas.append(delta)
        yield compare(f"keyword_trie {case['text']!r}", "python", deltas, case["deltas"], FLOATS)
    for case in z.get("segmenting_info", []):
        got = layout(case["all"], case["segment"], case["overlap"])
        yield exact("segmenting_info", "python", got, [case["n_segments"], case["padding"]])
    for case in z.get("state_reset_merge", []):
        segments = [
            [Token(token, step, 0.0) for token, step in zip(tokens, steps, strict=True)]
            for tokens, steps in zip(case["tokens"], case["frames"], strict=True)
        ]
        merged = merge(segments, case["segment_frames"], case["overlap_frames"])
        ids = [token for unique in case["unique_tokens"] for token in unique]
        yield exact("state_reset_merge tokens", "python", [t.id for t in merged], ids)
        steps = [t.step for t in merged]
        yield exact("state_reset_merge frames", "python", steps, case["merged_frames"])
    for case in z.get("trim", []):
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


KINDS = (
    computed("fuzzy_topk_*.npz", "numpy", _fuzzy, 0.0, {"fuzzy_topk_v1.14.0.npz": _logits}),
    Kind("keywords_*.json", _check_keywords, {KEYWORD_FILE: _make_keywords}),
    Kind("beam_*.json", _check_beam, {"beam_v1.14.0.json": _make_beam}),
    Kind("ngram_scores_*.json", _check_ngram_scores),
    Kind("ngram_v*", _check_ngram),
    Kind("text_*.json", _check_texts),
)
