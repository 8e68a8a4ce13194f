"""Rewriting prefixes changes paths and nothing else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from stream.manifest import ManifestError
from train.data.commands.rewrite import rewrite

CUT = {
    "id": "a",
    "supervisions": [{"text": "/nfs/audio is a path"}],
    "recording": {"sources": [{"type": "file", "source": "/nfs/audio/é/1.wav"}]},
}


def rewritten(folder: Path, content: str, old: str = "/nfs/audio", new: str = "/mnt/b") -> str:
    path = folder / "list"
    path.write_text(content)
    rewrite(path, path, old, new)
    return path.read_text()


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_path_of_a_cut_changes_and_its_text_does_not(tmp_path: Path, ascii_only: bool) -> None:
    line = json.dumps(CUT, ensure_ascii=ascii_only) + "\n"
    assert rewritten(tmp_path, line) == line.replace("/nfs/audio/", "/mnt/b/")
    line = rewritten(tmp_path, line, "/nfs/audio/é/", "/mnt/è")
    assert json.loads(line)["recording"]["sources"][0]["source"] == "/mnt/è/1.wav"


def test_escaped_slashes_and_indented_json_are_paths_too(tmp_path: Path) -> None:
    assert rewritten(tmp_path, r'{"audio_filepath":"\/nfs\/audio\/1.wav"}') == (
        r'{"audio_filepath":"/mnt/b\/1.wav"}'
    )
    assert rewritten(tmp_path, '[\n  {\n    "fname": "/nfs/audio/1.wav"\n') == (
        '[\n  {\n    "fname": "/mnt/b/1.wav"\n'
    )


def test_the_second_column_of_wav_scp_changes(tmp_path: Path) -> None:
    assert rewritten(tmp_path, "u1 /nfs/audio/1.wav\nu2\t/nfs/audio/2.wav\n") == (
        "u1 /mnt/b/1.wav\nu2\t/mnt/b/2.wav\n"
    )


def test_a_prefix_is_of_whole_names(tmp_path: Path) -> None:
    line = '{"audio_filepath": "/nfs/audio2/1.wav"}\n{"audio_filepath": "/nfs/audio/1.wav"}\n'
    assert rewritten(tmp_path, line) == line.replace("/nfs/audio/", "/mnt/b/")


def test_where_no_path_begins_so_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text('{"audio_filepath": "/data/1.wav"}\n')
    with pytest.raises(ManifestError, match="list: no path begins with /nfs; nothing was written"):
        rewrite(path, tmp_path / "other", "/nfs", "/mnt")
    assert [each.name for each in tmp_path.iterdir()] == ["list"]


def test_a_compressed_manifest_stays_compressed(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(CUT).encode()))
    assert rewrite(path, path, "/nfs", "/mnt") == 1
    assert b"/mnt/audio/" in gzip.decompress(path.read_bytes())
    assert [each.name for each in tmp_path.iterdir()] == ["cuts.jsonl.gz"]
