"""The mutants of a C file are all that the rules of `mutation` name, and the vectors notice them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from export.hardware.bundle import REFERENCE
from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.mutants import CAUGHT, EQUIVALENT, fate, first_cases, reference
from tests.export.hardware.mutation import mutants
from tests.rtl.mutation.fates import SURVIVES, equivalents

SOURCE = """\
/* 1 + 1 is not code. */
static int64_t cell(int64_t a, unsigned s)
{
    int64_t p[4];
    int64_t b = rhe(a * 3, s); /* 5 */
    RILL_TRACE("b", &b, 1);
    b = clamp(b, -4096, 4096);
    return a <= b && !s ? b : RILL_BLANK;
}
"""


def test_every_number_operator_rounding_saturation_and_statement_is_changed() -> None:
    found = [mutant.name.removeprefix("cell: ") for mutant in mutants(SOURCE)]
    assert sorted(found) == sorted(
        [
            "rhe -> down", "* -> +", "3 -> (3 + 1)", "3 -> (3 - 1)",
            "clamp(b, -4096, 4096) -> (b)",
            "4096 -> (4096 + 1)", "4096 -> (4096 - 1)", "4096 -> (4096 + 1) #2", "4096 -> (4096 - 1) #2",
            "<= -> <", "&& -> ||", "! -> nothing", "RILL_BLANK -> (RILL_BLANK + 1)", "RILL_BLANK -> (RILL_BLANK - 1)",
            "int64_t b = rhe(a * 3, s); -> ;", "b = clamp(b, -4096, 4096); -> ;",
            "return a <= b && !s ? b : RILL_BLANK; -> ;",
            'int64_t b = rhe(a * 3, s); /* 5 */ RILL_TRACE("b", &b, 1); b = clamp(b, -4096, 4096);'
            ' -> b = clamp(b, -4096, 4096); /* 5 */ RILL_TRACE("b", &b, 1); int64_t b = rhe(a * 3, s);',
            "b = clamp(b, -4096, 4096); return a <= b && !s ? b : RILL_BLANK;"
            " -> return a <= b && !s ? b : RILL_BLANK; b = clamp(b, -4096, 4096);",
        ]
    )  # fmt: skip


def test_a_mutant_is_one_change_of_the_file() -> None:
    mutant = next(each for each in mutants(SOURCE) if each.new == "down")
    assert mutant.of(SOURCE) == SOURCE.replace("rhe(", "down(")
    assert mutant.line == 5


def test_every_equivalent_mutant_is_one_of_the_reference() -> None:
    names = {mutant.name for mutant in mutants((REFERENCE / "rill.c").read_text())}
    assert set(equivalents(EQUIVALENT)) <= names


@pytest.mark.slow
def test_vectors_catch_mutants_and_sanitisers_what_changes_no_value(
    bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source = (REFERENCE / "rill.c").read_text()
    bundle = first_cases(bundle_of("plain").folder, tmp_path / "first")
    whole = reference(bundle, tmp_path / "built")
    wanted = {
        "rill_lstm_step: 16384 -> (16384 + 1)": CAUGHT,
        "dot: < -> <=": CAUGHT,
        "larger: > -> >=": SURVIVES,
    }
    for mutant in mutants(source):
        if mutant.name in wanted:
            assert fate(source, [(bundle, whole)], mutant) == wanted[mutant.name], mutant.name
