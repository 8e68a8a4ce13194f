from __future__ import annotations

from server.flags import make_parser


def test_every_flag_has_a_variable() -> None:
    flags = [
        action.dest
        for action in make_parser({})._actions
        if action.option_strings and action.dest not in ("help", "model", "alias", "print_config")
    ]
    set_ = make_parser({f"RILL_{flag.upper()}": "7" for flag in flags}).parse_args([])
    assert [flag for flag in flags if str(getattr(set_, flag)) not in ("7", "7.0")] == []
