"""Replace the beginning of every path in manifests: data that moved to another mount.

Only paths change, every other byte stays: the values of `PATH_KEYS` in JSON (our manifests, NeMo's,
Myrtle's, Lhotse's cuts), and the second column of lines that are no JSON (Kaldi's wav.scp).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from stream.errors import ArgumentError
from stream.files.text import open_bytes
from stream.manifest import ManifestError
from train.data.records.files import write_whole

EXAMPLE = "cuts.jsonl.gz --from /nfs/audio --to /mnt/audio"
PATH_KEYS = ("audio_filepath", "audio_filename", "fname", "source", "file_name", "path")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="manifest, also compressed (.gz)")
    parser.add_argument(
        "--from",
        dest="old",
        required=True,
        metavar="PREFIX",
        help="folders that paths begin with; whole names: /nfs/a is no beginning of /nfs/audio",
    )
    parser.add_argument(
        "--to", dest="new", required=True, metavar="PREFIX", help="what replaces it"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="file to write, of one FILE (default: FILE is replaced)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if arguments.output and len(arguments.files) > 1:
        raise ArgumentError("--output is for one FILE; leave it out to replace several")
    for name in arguments.files:
        path = Path(name)
        output = Path(arguments.output or name)
        print(f"{output}: {rewrite(path, output, arguments.old, arguments.new)} paths rewritten")
    return 0


def rewrite(path: Path, output: Path, old: str, new: str) -> int:
    """Write a manifest with another beginning of its paths; returns how many changed.

    Raises:
        ManifestError: no path begins so; nothing was written.
    """
    pattern = _pattern(old)
    new = new.rstrip("/")
    in_json = json.dumps(new)[1:-1].encode()
    changed = 0

    def replaced(match: re.Match[bytes]) -> bytes:
        quoted, plain = match.groups()
        return quoted + in_json if quoted else plain + new.encode()

    with open_bytes(path) as lines, write_whole(output) as file:
        for line in lines:
            line, count = pattern.subn(replaced, line)
            changed += count
            file.write(line)
        if not changed:
            raise ManifestError(path, 0, f"no path begins with {old}; nothing was written")
    return changed


def _pattern(prefix: str) -> re.Pattern[bytes]:
    """Match a path's prefix and what stands before it, group 1 in JSON and group 2 elsewhere."""
    prefix = prefix.rstrip("/")
    spellings = {json.dumps(prefix, ensure_ascii=escaped)[1:-1] for escaped in (True, False)}
    in_json = "|".join(re.escape(s).replace("/", r"\\?/") for s in sorted(spellings))
    return re.compile(
        rf'("(?:{"|".join(PATH_KEYS)})"\s*:\s*")(?:{in_json})(?=\\?/|")'
        rf"|^(?![\s{{\[\"])(\S+\s+){re.escape(prefix)}(?=/|\s|$)".encode()
    )
