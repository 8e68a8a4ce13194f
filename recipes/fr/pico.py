"""How pico.tar.gz beside this file was made: words of the grammar, spoken by SVOX Pico, whose voice was recorded from a person.

    pip install ttspico==0.3.2        # has to be compiled, which is why its speech is kept and not made anew
    python recipes/fr/pico.py recipes/fr/pico.tar.gz

Pico and its voices are under the Apache License 2.0. Each word is said `TIMES` times, at rates and pitches that are drawn,
and some of the numbers, digits, letters, dates and commands once. The recordings are Ogg Opus, some 20 kbit/s.
"""

from __future__ import annotations

import io
import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import grammar
import numpy as np
import soundfile
from ttspico import TtsEngine

from stream.front_end.log_mel import SAMPLE_RATE
from train.data.effects.trimming import trimmed
from train.data.formats import archive
from train.data.records.record import Bytes, Record
from train.text.transcripts import ruled

TIMES, OTHERS = 6, 230
KEPT = SAMPLE_RATE // 10  # samples of the silence on either side
RATES, PITCHES = (60, 130), (60, 150)  # 100 is the voice's own
NAMES = dict(
    zip(
        grammar.LETTERS.split(),
        [
            "a",
            "bé",
            "cé",
            "dé",
            "eu",
            "effe",
            "gé",
            "hache",
            "i",
            "ji",
            "ka",
            "elle",
            "emme",
            "enne",
            "o",
            "pé",
            "ku",
            "erre",
            "esse",
            "té",
            "u",
            "vé",
            "double-vé",
            "ixe",
            "i-grec",
            "zède",
        ],
        strict=True,
    )
)


def records() -> Iterator[Record]:
    draw, engine, rule = random.Random(1), TtsEngine("fr-FR"), ruled("fr+numbers")
    several = [text for text in grammar.sentences() if " " in text]
    texts = itertools.chain(grammar.WORDS.split() * TIMES, draw.sample(several, OTHERS))
    for number, text in enumerate(texts):
        engine.rate, engine.pitch = draw.randint(*RATES), draw.randint(*PITCHES)
        parts = text.split()
        between = ", " if all(len(part) == 1 for part in parts) else " "
        pcm = engine.speak(between.join(NAMES.get(part, part).replace("-", " ") for part in parts))
        samples = trimmed(np.frombuffer(pcm, np.int16) / np.float32(32768), -60.0, KEPT)
        content = io.BytesIO()
        # The highest level of compression, 1, is the lowest bit rate, 6 kbit/s.
        soundfile.write(content, samples, SAMPLE_RATE, "OPUS", format="OGG", compression_level=0.94)
        yield Record(
            id=f"{number:03d}",
            audio=Bytes(f"{number:03d}.ogg", content.getvalue()),
            text=rule(text),
            duration=len(samples) / SAMPLE_RATE,
            speaker="pico-fr",
            corpus="svox-pico",
            language="fr",
        )


if __name__ == "__main__":
    print(archive.write(records(), Path(sys.argv[1])), "utterances")
