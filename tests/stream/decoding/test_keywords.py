"""The keyword trie, every branch of it, against the state {node: gathered} of NUMERICS 4.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decoding import keywords
from stream.decoding.keywords import ROOT, KeywordTrie

PIECES = ["▁", *"abcrtk", "▁ca", "rt"]
WORDS = st.text("abr ", min_size=1, max_size=5).filter(lambda word: bool(word.strip()))


def walk(trie: KeywordTrie, text: str) -> list[float]:
    deltas, state = [], ROOT
    for character in text.replace(" ", "▁"):
        delta, state = trie.advance(state, character)
        deltas.append(delta)
    return deltas


def reference(found: dict[str, float], text: str) -> list[float]:
    """The rules as written: a state of active prefixes, each with what it has gathered."""
    prefixes = {word[:n] for word in found for n in range(len(word) + 1)} | {""}
    edge = {p: sum(w for word, w in found.items() if word.startswith(p)) for p in prefixes}
    deltas, state = [], {"": 0.0}
    for character in text:
        delta, after = 0.0, {"": 0.0}
        for prefix, gathered in state.items():
            if prefix in found:
                gathered -= found[prefix] * len(prefix)
            if prefix + character in prefixes:
                delta += edge[prefix + character]
                after[prefix + character] = gathered + edge[prefix + character]
            else:
                delta -= gathered
        deltas.append(delta)
        state = after
    return deltas


def test_a_keyword_is_earned_character_by_character() -> None:
    assert walk(KeywordTrie({"cat": 2.0}, PIECES), "cat") == [2.0, 2.0, 2.0]


def test_what_an_unfinished_keyword_gathered_is_taken_back() -> None:
    assert walk(KeywordTrie({"cat": 2.0}, PIECES), "cab") == [2.0, 2.0, -4.0]


def test_a_finished_keyword_is_kept() -> None:
    assert walk(KeywordTrie({"cat": 2.0}, PIECES), "cats".replace("s", "k"))[-1] == 0.0


def test_a_longer_keyword_that_fails_leaves_the_shorter_one_earned() -> None:
    # Edges c, a, t carry both boosts; what is earned at "cat" is its own boost times its length.
    deltas = walk(KeywordTrie({"cat": 1.0, "catr": 0.5}, PIECES), "catb")
    assert deltas == [1.5, 1.5, 1.5, -1.5]
    assert sum(deltas) == 3.0


def test_a_space_is_the_start_of_a_word() -> None:
    trie = KeywordTrie({" cat": 1.0}, PIECES)
    assert sum(walk(trie, "cat")) == 0.0
    assert sum(walk(trie, " cat")) == 4.0


def test_a_keyword_may_begin_within_another() -> None:
    deltas = walk(KeywordTrie({"abc": 1.0, "bcr": 1.0}, PIECES), "abcr")
    assert deltas == [1.0, 2.0, 2.0, 1.0]
    assert sum(deltas) == 6.0


def test_a_negative_boost_discourages() -> None:
    assert walk(KeywordTrie({"ab": -0.5}, PIECES), "abab") == [-0.5] * 4


def test_a_piece_is_its_characters() -> None:
    trie = KeywordTrie({" cart": 1.0}, PIECES)
    first, state = trie.step(ROOT, PIECES.index("▁ca"))
    second, state = trie.step(state, PIECES.index("rt"))
    assert (first, second) == (3.0, 2.0)
    assert trie.step(state, PIECES.index("k")) == (0.0, ROOT)


def test_no_keywords_boost_nothing() -> None:
    assert walk(KeywordTrie({}, PIECES), "cart") == [0.0] * 4


def test_outcomes_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "REMEMBERED", 2)
    trie = KeywordTrie({"cart": 1.0}, PIECES)
    fresh = KeywordTrie({"cart": 1.0}, PIECES)
    state = ROOT
    for token in [3, 1, 4, 5, 3, 1, 8, 3]:
        assert trie.step(state, token) == fresh.advance(state, PIECES[token])
        state = trie.step(state, token)[1]
        assert len(trie._outcomes) <= 2


@given(
    found=st.dictionaries(WORDS, st.sampled_from([-1.0, 0.25, 0.5, 2.0]), max_size=6),
    text=st.text("abr ", max_size=12),
)
def test_one_node_is_as_much_as_all_active_ones(found: dict[str, float], text: str) -> None:
    assert walk(KeywordTrie(found, PIECES), text) == pytest.approx(reference(found, text))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"": 1.0}, "keyword '' is empty"),
        ({"  ": 1.0}, "keyword '  ' is empty"),
        ({"cat": float("nan")}, "keyword 'cat': boost is nan"),
        ({"cat": float("inf")}, "boost is inf"),
        ({"Cat": 1.0}, "keyword 'Cat': no piece of this model has the character 'C'"),
        ({"caté": 1.0}, "the character 'é'"),
    ],
)
def test_a_keyword_that_cannot_work_is_refused(found: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        KeywordTrie(found, PIECES)


def test_a_thousand_long_keywords_are_no_burden() -> None:
    trie = KeywordTrie({f"{'ab' * 50}{'c' * i}": 0.1 for i in range(1000)}, PIECES)
    assert trie.advance(ROOT, "ab" * 200 + "r")[1] == ROOT


def test_of_pieces_that_compete_the_boost_chooses_and_the_first_on_ties() -> None:
    trie = KeywordTrie({" cart": 1.0}, PIECES)
    _, state = trie.step(ROOT, PIECES.index("▁ca"))
    t, rt, k = (PIECES.index(piece) for piece in ("t", "rt", "k"))
    # "t" loses the 3 that were gathered, "rt" earns 2 more.
    assert trie.choose(state, [t, rt], [-0.5, -5.0]) == 1
    assert trie.choose(state, [t, rt], [-0.5, -6.0]) == 0
    assert trie.choose(ROOT, [t, k], [-0.5, -0.5]) == 0


BYTES = ["▁", "c", "a", "f", *(bytes([byte]) for byte in range(256))]


def earned(trie: KeywordTrie, tokens: list[int]) -> tuple[list[float], int]:
    boosts, state = [], ROOT
    for token in tokens:
        boost, state = trie.step(state, token)
        boosts.append(boost)
    return boosts, state


def test_the_bytes_of_a_character_earn_its_boost_with_the_last() -> None:
    trie = KeywordTrie({"caf東": 2.0}, BYTES)
    bytes_ = [4 + byte for byte in "東".encode()]
    boosts, state = earned(trie, [1, 2, 3, *bytes_])
    assert boosts == [2.0, 2.0, 2.0, 0.0, 0.0, 2.0]
    assert earned(trie, [1, 2, 3, *bytes_, 1])[0][-1] == 2.0  # it is earned, and another begins
    assert 0 <= state < 1 << 32
    assert 0 < earned(trie, [1, 2, 3, *bytes_[:2]])[1] < 1 << 63


def test_other_bytes_take_back_what_was_gathered() -> None:
    trie = KeywordTrie({"caf東": 2.0}, BYTES)
    assert earned(trie, [1, 2, 3, *(4 + byte for byte in "京".encode())])[0][-1] == -6.0
    assert earned(trie, [1, 2, 3, 4 + 0xE6, 1])[0] == [2.0, 2.0, 2.0, 0.0, -4.0]


@given(found=st.dictionaries(WORDS, st.sampled_from([1.0, 2.5]), max_size=3), text=WORDS)
def test_a_text_in_bytes_earns_what_it_does_in_characters(
    found: dict[str, float], text: str
) -> None:
    wide = str.maketrans("abr", "é東👩")
    found = {word.translate(wide): boost for word, boost in found.items()}
    trie = KeywordTrie(found, BYTES)
    tokens = [4 + byte for byte in text.translate(wide).encode()]
    assert sum(earned(trie, tokens)[0]) == pytest.approx(sum(walk(trie, text.translate(wide))))
