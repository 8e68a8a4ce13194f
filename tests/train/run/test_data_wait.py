"""What a run waits for and leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import InputError
from train.run.data_wait import Skipped, timed, waited_share


def test_items_come_with_the_seconds_they_were_waited_for() -> None:
    found = list(timed(iter("abc")))
    assert [item for _, item in found] == ["a", "b", "c"]
    assert all(seconds >= 0.0 for seconds, _ in found)


def test_the_share_is_of_the_whole_time() -> None:
    assert waited_share([(1.0, 4.0), (2.0, 2.0)]) == 0.5
    assert waited_share([]) == 0.0


def test_an_utterance_is_listed_once_and_too_many_end_the_run(tmp_path: Path) -> None:
    skipped = Skipped(tmp_path, limit=2)
    skipped.add(())
    assert not (tmp_path / "skipped.txt").exists()
    skipped.add(("a.wav: is empty", "b.wav: two\nlines"))
    skipped.add(("a.wav: is empty",))
    assert (tmp_path / "skipped.txt").read_text() == "a.wav: is empty\nb.wav: two lines\n"
    again = Skipped(tmp_path, limit=2)
    again.add(("a.wav: is empty",))
    with pytest.raises(
        InputError, match="3 utterances cannot be used, and data.skip_share allows 2"
    ):
        again.add(("c.wav: is empty",))
    assert (tmp_path / "skipped.txt").read_text().endswith("c.wav: is empty\n")
