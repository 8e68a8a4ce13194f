"""Recordings one after another: shown or written as they are done, with progress, faults and a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from server.client.inputs import Input
from server.client.recognition import Recognise
from server.client.stream import Chunks, StreamOutcome
from server.client.terminal import growing_line
from stream.audio import AudioError
from stream.errors import InputError
from stream.files.atomic import replace_file
from stream.progress import show_line
from stream.transcripts.formats import FORMATS, TIMED, FileTranscript, suffix_of


class Batch:
    """Transcribes recordings.

    Args:
        recognise: a stream of audio.
        chunks: of a recording.
        form: name of a format of transcripts.
        folder: where a file is written for each recording; None: all go to stdout.
        latencies: whether to say on stderr how fast a server answered.
    """

    def __init__(
        self,
        recognise: Recognise,
        chunks: Callable[[Input], Chunks],
        form: str,
        folder: Path | None,
        *,
        latencies: bool = False,
    ) -> None:
        self._recognise, self._chunks = recognise, chunks
        self._form, self._folder, self._latencies = form, folder, latencies

    async def run(self, recordings: Sequence[Input]) -> int:
        """Transcribe the recordings; returns the exit status.

        Raises:
            AudioError: the only recording cannot be used. One of several is named, and listed at the end.
            StreamError: the server did not take a stream, or did not end it well.
        """
        if len(recordings) == 1:
            await self._alone(recordings[0])
            return 0
        began, seconds = time.perf_counter(), 0.0
        faults: list[Input] = []
        for done, recording in enumerate(recordings):
            show_line(f"{done} of {len(recordings)}: {recording.name}")
            try:
                outcome = await self._recognise(self._chunks(recording), _unseen)
            except AudioError as error:
                show_line("")
                print(f"error: {error}", file=sys.stderr)
                faults.append(recording)
                continue
            seconds += outcome.seconds
            show_line("")
            self._write(recording, outcome, alone=False)
            self._report(outcome)
        show_line("")
        took = time.perf_counter() - began
        print(
            f"{len(recordings) - len(faults)} of {len(recordings)} recordings, {seconds:.1f} s of "
            f"audio in {took:.1f} s",
            file=sys.stderr,
        )
        if faults:
            names = (fault.name for fault in faults)
            print("not transcribed:", *names, sep="\n  ", file=sys.stderr)
        return 1 if faults else 0

    async def _alone(self, recording: Input) -> None:
        chunks = self._chunks(recording)
        if self._form != "text" or self._folder is not None:
            outcome = await self._recognise(chunks, _unseen)
            self._write(recording, outcome, alone=True)
        else:
            line = growing_line(sys.stdout)
            try:
                outcome = await self._recognise(chunks, line.show)
            finally:
                line.end()
        self._report(outcome)

    def _write(self, recording: Input, outcome: StreamOutcome, *, alone: bool) -> None:
        if self._form in TIMED and outcome.transcript and not outcome.segments:
            raise InputError(
                f"the server sends no times of words, which --format {self._form} is made of"
            )
        transcript = FileTranscript(
            recording.name, outcome.seconds, outcome.transcript, outcome.segments
        )
        content = FORMATS[self._form](transcript)
        if self._folder is not None:
            target = recording.target(self._folder, suffix_of(self._form))
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, content.encode())
            return
        named = self._form == "text" and not alone
        print(f"{recording.name}: {content}" if named else content, end="", flush=True)

    def _report(self, outcome: StreamOutcome) -> None:
        if self._latencies:
            print(
                f"CL50 {1000 * outcome.latency(50):.1f} ms, CL99 {1000 * outcome.latency(99):.1f} ms "
                f"over {len(outcome.latencies)} chunks",
                file=sys.stderr,
            )


def _unseen(final: str, provisional: str) -> None:
    """Show nothing."""
