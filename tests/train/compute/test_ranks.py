"""Processes that train together: what they exchange, and how one that fails ends all."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.train.compute.torchrun import torchrun
from train.compute.ranks import ALONE, RankError, Ranks, Silence

EXCHANGE = """
import torch
from train.compute.ranks import joined

with joined() as ranks:
    assert ranks.count == 2 and ranks.leads == (ranks.rank == 0)
    assert ranks.sums(1, 0.5 + ranks.rank) == [2.0, 2.0]
    assert ranks.gathered(("rank", ranks.rank)) == [("rank", 0), ("rank", 1)]
    rows = ranks.gathered_tensors(torch.full((2,), float(ranks.rank)))
    assert torch.stack(rows).tolist() == [[0.0, 0.0], [1.0, 1.0]]
    parameters = [torch.zeros(3, 2), torch.zeros(1 << 16), torch.zeros(2, dtype=torch.float64), torch.zeros(1)]
    for number, parameter in enumerate(parameters[:3]):
        parameter.grad = torch.full_like(parameter, 10.0 * number + ranks.rank)
    ranks.sum_gradients(parameters)
    assert [p.grad.unique().tolist() for p in parameters[:3]] == [[1.0], [21.0], [41.0]]
    assert parameters[3].grad is None
    with ranks.leader_first():
        path = __file__ + ".first"
        if ranks.leads:
            open(path, "w").close()
        open(path).close()
    if ranks.leads:
        print("exchanged")
"""

# One rank fails while the other waits for it; all that it says is said once.
FAILS = """
import os, signal, sys
from stream.errors import InputError
from stream.process import reports_errors, run_main
from train.compute.ranks import joined

@reports_errors()
def main():
    with joined() as ranks:
        print("a note", file=sys.stderr)
        how = sys.argv[1]
        if how == "all" or ranks.rank == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError(f"row 7 of {how} is bad")
        ranks.sums(1.0)
    return 0

run_main(main)
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "script.py"
    path.write_text(text)
    return path


def test_a_process_alone_exchanges_nothing() -> None:
    assert ALONE.sums(1.0, 2.0) == [1.0, 2.0]
    assert ALONE.gathered("x") == ["x"]
    tensor = torch.ones(2)
    assert ALONE.gathered_tensors(tensor)[0] is tensor
    assert ALONE.leads
    Silence().write(1, loss=2.0)


@pytest.mark.slow
def test_two_processes_exchange_numbers_messages_tensors_and_gradients(tmp_path: Path) -> None:
    done = torchrun(script(tmp_path, EXCHANGE))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "exchanged\n"


def test_who_waits_for_a_process_that_has_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr("torch.distributed.all_reduce", closed)
    with pytest.raises(
        RankError, match="another process of the run has ended; torchrun says which"
    ):
        Ranks(0, 2).sums(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one", "all", "killed"])
def test_an_error_is_said_once_and_ends_every_process(how: str, tmp_path: Path) -> None:
    done = torchrun(script(tmp_path, FAILS), [how])
    assert done.returncode != 0
    assert done.stderr.count("a note") <= 1  # torchrun may end the other before it speaks
    if how == "killed":
        assert "Signal 9 (SIGKILL)" in done.stderr
    else:
        assert done.stderr.count("error: ") == 1, done.stderr
        assert f"error: row 7 of {how} is bad" in done.stderr
        assert "exitcode  : 3" in done.stderr
