"""Mounts: a table as Linux writes it, folders that are as they should be, and those that are not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from stream.manifest import ManifestError
from train.data.storage import mounts
from train.data.storage.mounts import inspect_mount, mount_of, named_recordings, sampled_lines

TABLE = r"""22 27 0:21 / /proc rw,nosuid shared:12 - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
90 27 0:45 / /mnt/asr-audio-data ro,nosuid shared:55 - fuse.fsx /tos/asr-audio-data ro,user_id=0
91 27 0:46 /export /mnt/two\040words rw,relatime - nfs4 host:/export rw,vers=4.2
92 90 0:47 / /mnt/asr-audio-data/cache rw - tmpfs tmpfs rw,size=4k
93 27 0:48 / /mnt/asr rw - tmpfs tmpfs rw
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


def mounted_at(point: Path, tmp_path: Path) -> Path:
    """A table in which a folder is an NFS mount."""
    path = tmp_path / "mounted"
    path.write_text(TABLE + f"94 27 0:49 / {point} rw,relatime - nfs4 host:/x rw,vers=4.2\n")
    return path


@pytest.mark.parametrize(
    ("path", "point", "kind", "source"),
    [
        ("/mnt/asr-audio-data/fr/a.wav", "/mnt/asr-audio-data", "fuse.fsx", "/tos/asr-audio-data"),
        ("/mnt/asr-audio-data/cache/x", "/mnt/asr-audio-data/cache", "tmpfs", "tmpfs"),
        ("/mnt/asr-audio-database", "/", "ext4", "/dev/vda1"),
        ("/mnt/two words/a", "/mnt/two words", "nfs4", "host:/export"),
        ("/home", "/", "ext4", "/dev/vda1"),
    ],
)
def test_the_innermost_mount_of_a_path_is_found(
    path: str, point: str, kind: str, source: str, table: Path
) -> None:
    mount = mount_of(Path(path), table)
    assert mount is not None
    assert (str(mount.point), mount.kind, mount.source) == (point, kind, source)


def test_of_two_mounts_at_one_point_the_later_is_seen(tmp_path: Path) -> None:
    table = tmp_path / "t"
    table.write_text(TABLE + "95 27 0:50 / /mnt/asr rw - nfs4 late:/ rw\n")
    mount = mount_of(Path("/mnt/asr/x"), table)
    assert mount is not None and mount.source == "late:/"


def test_the_table_of_this_machine_is_understood() -> None:
    if not mounts.MOUNTS.exists():
        pytest.skip("not Linux")
    mount = mount_of(Path("/proc/self"))
    assert mount is not None and mount.kind == "proc"


def test_a_mount_with_files_has_facts_and_no_fault(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    report = inspect_mount(folder, table=mounted_at(folder, tmp_path))
    assert report.faults == []
    assert "is the mount" in report.facts[0]
    assert "nfs4, of host:/x, read-write" in report.facts[0]
    assert "The first byte of" in report.facts[1]


def test_a_folder_that_is_no_mount_is_said_to_be_plain(tmp_path: Path, table: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    report = inspect_mount(tmp_path, table=table)
    assert report.faults == [
        f"{tmp_path} is no mount: it is a plain folder of / (ext4 on /dev/vda1)."
    ]


def test_what_is_empty_or_missing_is_a_fault_each(tmp_path: Path) -> None:
    assert inspect_mount(tmp_path / "no").faults == [f"{tmp_path / 'no'} does not exist."]
    empty = tmp_path / "empty"
    empty.mkdir()
    report = inspect_mount(empty, table=mounted_at(empty, tmp_path))
    assert report.faults == [f"{empty} is empty: is what should be mounted there mounted?"]
    (empty / "folder").mkdir()
    report = inspect_mount(empty, table=mounted_at(empty, tmp_path))
    assert report.faults == [f"{empty} holds folders only, and no file."]


def test_names_with_another_prefix_get_the_command_that_rewrites_them(tmp_path: Path) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    cuts = tmp_path / "cuts.jsonl.gz"
    names = [str(folder / "a.wav"), str(folder / "b.wav"), "/nfs/audio_root/fr/1/c.wav"]
    with gzip.open(cuts, "wt") as file:
        for name in names:
            source = {"type": "file", "channels": [0], "source": name}
            file.write(json.dumps({"id": "x", "recording": {"sources": [source]}}) + "\n")
    report = inspect_mount(folder, cuts, table=mounted_at(folder, tmp_path))
    assert len(report.faults) == 2
    assert "1 of 3 sampled names" in report.faults[0]
    assert f"rewrite --from /nfs/audio_root/fr --to {folder}" in report.faults[0]
    assert "1 of 2 sampled recordings" in report.faults[1]
    assert f"{folder / 'b.wav'}." in report.faults[1]


def test_a_manifest_whose_recordings_are_there_is_a_fact(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    manifest = tmp_path / "train.jsonl"
    manifest.write_text('{"audio_filepath": "a.wav", "text": "a", "duration": 1}\n')
    report = inspect_mount(tmp_path, manifest, table=mounted_at(tmp_path, tmp_path))
    assert report.faults == []
    assert "1 of 1 sampled recordings" in report.facts[-1]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ({"audio_filepath": "a.wav", "text": "files"}, ["a.wav"]),
        ({"files": [{"fname": "a.wav"}, {"fname": "b.wav"}]}, ["a.wav", "b.wav"]),
        (
            {"tracks": [{"cut": {"recording": {"sources": [
                {"type": "file", "channels": [0], "source": "a.flac"}]},
                "custom": {"source": "librivox"}}}]},
            ["a.flac"],
        ),
        ({"sources": [{"type": "command", "channels": [0], "source": "sph2pipe x |"}]}, []),
    ],
    ids=["ours", "Myrtle's", "a mixed cut", "a command"],
)  # fmt: skip
def test_names_are_found_in_every_usual_key(line: object, names: list[str]) -> None:
    assert list(named_recordings(line)) == names


@pytest.mark.parametrize("lines", [1, 5, 100])
def test_sampled_lines_are_spread_and_come_once(
    lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(b'{"n": %d}\n\n' % n for n in range(1000)))
    whole = [line["n"] for line in sampled_lines(path, lines)]
    monkeypatch.setattr(mounts, "SMALL_FILE", 0)
    sought = [line["n"] for line in sampled_lines(path, lines)]
    for numbers in (whole, sought):
        assert len(numbers) == lines == len(set(numbers))
        assert numbers[0] == 0
        assert numbers == sorted(numbers)
        assert lines == 1 or numbers[-1] > 1000 - 2 * 1000 / lines


def test_lines_that_are_no_json_are_an_error_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("not json\n")
    with pytest.raises(ManifestError, match="not json"):
        list(sampled_lines(path, 3))
