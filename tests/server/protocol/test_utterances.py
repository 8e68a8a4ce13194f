from __future__ import annotations

from server.protocol.utterances import Utterances
from tests.server.adapters.driving import Said, result


def test_an_utterance_is_told_when_its_text_changes_and_when_it_ends() -> None:
    utterances = Utterances()
    told = [
        utterances.add(result(0, Said(provisional=(0,)))),
        utterances.add(result(1, Said(provisional=(0,)))),
        utterances.add(result(2, Said((0,), provisional=(1,)))),
        utterances.add(result(3, Said((1,), endpoint=True))),
        utterances.add(result(4)),
        utterances.add(result(5, Said((2,)))),
        utterances.add(result(6, last=True)),
    ]
    assert [each and (each.text, each.final) for each in told] == [
        ("one", False),
        None,
        ("one two", False),
        ("one two", True),
        None,
        ("three", False),
        ("three", True),
    ]


def test_utterances_cover_the_stream_without_gaps_and_go_on_after_a_restart() -> None:
    utterances = Utterances()
    first = utterances.add(result(0, Said((0,), endpoint=True)))
    second = utterances.add(result(1, Said((1,)), last=True))
    assert first and second and not utterances.speaking
    assert (first.start, first.end, second.start, second.end) == (0.0, 0.06, 0.06, 0.06)
    after = utterances.add(result(0, Said((2,))), before=0.12)
    assert after and utterances.speaking
    assert (after.words[0].start, after.end) == (0.12, 0.18)
