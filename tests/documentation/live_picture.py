"""python -m tests.documentation.live_picture: draw a recording that is streamed to a server, and the text that comes back.

It runs the demo's server, streams the demo's recording to it in real time, and writes
docs/images/live-light.svg and live-dark.svg, in which every word appears at the moment when it came. A run
is never the same twice, so these pictures are not among those that `make docs` writes: make them again when
the bundled model, the recording or the protocol changes.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from server.client.stream import stream_audio
from server.demo import running_server
from stream.audio import read_chunks
from stream.bundled import recordings
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats
from stream.transcripts.transcript import TimedWord
from tests.places import REPOSITORY

__all__ = ["Run", "draw", "record"]

WIDTH, HEIGHT, LEFT = 840, 288, 28  # pixels
WAVE, DEPTH, BARS = 122, 34, 196  # its middle, its half height, how many bars
LETTER = 12.0  # pixels, of the transcript
PAUSE = 3.0  # seconds of the whole text before it begins again
PAPER, EDGE, INK, FAINT, SOUND, WORD = range(6)
SCHEMES = {
    "light": ("#ffffff", "#d0d7de", "#1f2328", "#656d76", "#c8d1da", "#0969da"),
    "dark": ("#0d1117", "#3d444d", "#e6edf3", "#9198a1", "#3d444d", "#4493f8"),
}


class Run(NamedTuple):
    """A run: the samples, the words with the times of their sound, and when each was there.

    Attributes:
        name: of the recording.
        samples: (n,) float32 at 16 kHz.
        words: in order, seconds from the beginning of the recording.
        arrivals: of the words, on the same clock.
    """

    name: str
    samples: Floats
    words: Sequence[TimedWord]
    arrivals: Sequence[float]

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def record() -> Run:
    """Stream the demo's recording in real time."""
    recording = recordings()[0]
    arrivals: list[float] = []
    start = 0.0

    def chunks() -> Iterator[Floats]:
        nonlocal start
        start = time.perf_counter()
        yield from read_chunks(recording.audio)

    def on_text(final: str, provisional: str) -> None:
        count = len((final + provisional).split())
        arrivals.extend([time.perf_counter() - start] * (count - len(arrivals)))

    with running_server("--slots", "4") as url:
        outcome = asyncio.run(stream_audio(url, chunks(), on_text))
    words = [word for segment in outcome.segments for word in segment]
    samples = np.concatenate(list(read_chunks(recording.audio)))
    return Run(recording.audio.name, samples, words, arrivals)


def draw(run: Run, scheme: str) -> str:
    """Return the picture of a run as SVG that moves, or stands still where the reader wants that."""
    colours = SCHEMES[scheme]
    period = max(run.seconds, *run.arrivals) + PAUSE
    scale = (WIDTH - 2 * LEFT) / run.seconds  # pixels a second
    late = np.median([at - word.end for at, word in zip(run.arrivals, run.words, strict=True)])
    text = " ".join(word.text for word in run.words)

    rules, shapes, shown = [], [], ""
    cursor = [(0.0, 0.0)]
    for number, (word, at) in enumerate(zip(run.words, run.arrivals, strict=True)):
        name = f"w{number}"
        percent = 100 * at / period
        rules.append(
            f"@keyframes {name}{{0%,{percent:.2f}%{{opacity:0}}{percent + 0.01:.2f}%,100%{{opacity:1}}}}"
            f".{name}{{animation:{name} {period:.2f}s infinite}}"
        )
        left, right = LEFT + scale * word.start, LEFT + scale * word.end
        shapes.append(
            f"<g class='{name}'><path d='M{left:.1f} 166H{right:.1f}' stroke='{colours[WORD]}' "
            f"stroke-width='3'/><text x='{(left + right) / 2:.1f}' y='184' font-size='13' "
            f"text-anchor='middle' fill='{colours[WORD]}'>{escape(word.text)}</text>"
            f"<text x='{LEFT + LETTER * len(shown):.1f}' y='228' font-size='20' "
            f"textLength='{LETTER * len(word.text):.1f}' fill='{colours[INK]}'>"
            f"{escape(word.text)}</text></g>"
        )
        shown += word.text + " "
        cursor.append((percent, LETTER * len(shown)))
    steps = "".join(f"{at:.2f}%{{transform:translateX({x:.1f}px)}}" for at, x in cursor)
    played = 100 * run.seconds / period
    today = datetime.date.today().isoformat()
    return f"""\
<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' viewBox='0 0 {WIDTH} {HEIGHT}' \
role='img' font-family='ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace'>
<title>A recording is streamed in real time; its words appear: {escape(text)}</title>
<desc>python -m tests.documentation.live_picture, {today}</desc>
<style>{"".join(rules)}
@keyframes play{{0%{{transform:scaleX(0)}}{played:.2f}%,100%{{transform:scaleX(1)}}}}
.play{{animation:play {period:.2f}s linear infinite;transform-origin:{LEFT}px 0}}
@keyframes cursor{{{steps}100%{{transform:translateX({LETTER * len(shown):.1f}px)}}}}
.cursor{{animation:cursor {period:.2f}s step-end infinite;transform:translateX({LETTER * len(shown):.1f}px)}}
@media(prefers-reduced-motion:reduce){{*{{animation:none!important}}}}
</style>
<rect x='.5' y='.5' width='{WIDTH - 1}' height='{HEIGHT - 1}' rx='8' fill='{colours[PAPER]}' stroke='{colours[EDGE]}'/>
<text x='{LEFT}' y='38' font-size='15' fill='{colours[INK]}'>$ make demo</text>
<text x='{LEFT}' y='62' font-size='13' fill='{colours[FAINT]}'>Streaming {escape(run.name)} to the server in real time:</text>
<clipPath id='played'><rect class='play' x='{LEFT}' y='0' width='{WIDTH - 2 * LEFT}' height='{HEIGHT}'/></clipPath>
<path id='wave' d='{_bars(run.samples)}' stroke='{colours[SOUND]}' stroke-width='2'/>
<g clip-path='url(#played)'><path d='{_bars(run.samples)}' stroke='{colours[WORD]}' stroke-width='2'/></g>
{"".join(shapes)}
<rect class='cursor' x='{LEFT}' y='211' width='10' height='21' fill='{colours[FAINT]}'/>
<text x='{LEFT}' y='264' font-size='13' fill='{colours[FAINT]}'>Bars: when each word sounds. Its text comes {abs(late):.2f} s \
{"after" if late >= 0 else "before"} that ends, in the median of this run.</text>
</svg>
"""


def _bars(samples: Floats) -> str:
    """Return the path of the peaks of a recording, as far apart as fits."""
    peaks = [float(np.abs(part).max()) for part in np.array_split(samples, BARS)]
    distance = (WIDTH - 2 * LEFT) / BARS
    most = max(peaks)
    return "".join(
        f"M{LEFT + distance * (index + 0.5):.1f} {WAVE - half:.1f}V{WAVE + half:.1f}"
        for index, peak in enumerate(peaks)
        for half in [max(0.5, DEPTH * peak / most)]
    )


def main() -> int:
    run = record()
    for scheme in SCHEMES:
        path = REPOSITORY / "docs" / "images" / f"live-{scheme}.svg"
        path.write_text(draw(run, scheme))
        print(f"wrote {path.relative_to(REPOSITORY)}: {' '.join(word.text for word in run.words)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
