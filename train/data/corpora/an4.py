"""AN4: `etc/an4_{train,test}.{fileids,transcription}`, `wav/an4_clstk/fash/an251-fash-b.sph`.

A line of transcription is `<s> YES </s> (an251-fash-b)`, in the test list without the marks. The sphere
archive is required (WAV files in the same places do as well): the files of the raw one have no header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from train.data.corpora.layout import Item, LayoutError, PublishedCorpus, demand, read_lines

_LINE = re.compile(r"(?:<s> )?(?P<text>.*?)(?: </s>)? ?\((?P<name>\S+)\)\s*")


def _read(root: Path, _duplicates: int | None) -> Iterator[Item]:
    for split in ("train", "test"):
        transcripts, identifiers = demand(
            root, f"etc/an4_{split}.transcription", f"etc/an4_{split}.fileids"
        )
        pairs = zip(read_lines(transcripts), read_lines(identifiers), strict=False)
        for (number, line), (_, identifier) in pairs:
            match = _LINE.fullmatch(line)
            if match is None or match["name"] != identifier.strip().rpartition("/")[2]:
                raise LayoutError(
                    f"{transcripts}: line {number}: expected TEXT ({Path(identifier).name}), as line "
                    f"{number} of {identifiers.name} says; found {line!r}"
                )
            path = root / "wav" / identifier.strip()
            if path.with_name(path.name + ".raw").is_file():
                raise LayoutError(
                    f"{root}: expected wav/{identifier.strip()}.sph; found .raw, which has no header: "
                    "take an4_sphere.tar.gz"
                )
            wav = path.with_name(path.name + ".wav")
            audio = wav if wav.is_file() else path.with_name(path.name + ".sph")
            yield Item(split, audio, match["text"], path.parent.name)


AN4 = PublishedCorpus(
    title="AN4 (CMU Census)",
    licence="BSD-style, Copyright (c) 1991-2005 Carnegie Mellon University",
    source="http://www.speech.cs.cmu.edu/databases/an4/",
    layout="an4/etc/an4_{train,test}.{fileids,transcription} and wav/*/SPEAKER/*.sph",
    read=_read,
)
