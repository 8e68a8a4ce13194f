"""Where audio is recognised: in this process, or by a server; and the flags that say so."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable
from functools import partial
from typing import Protocol
from urllib.parse import quote

from server.client.stream import Chunks, OnText, StreamOutcome, as_async, stream_audio, stream_url
from server.protocol.hotwords import HotwordError, Speller, parse_hotwords
from stream.audio import AudioError
from stream.backends import BACKENDS
from stream.bundled import NAMES, model_path
from stream.decoding.options import DecoderOptions, add_flags, decoding_of, options_of, value_flags
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import open_model
from stream.recogniser import Recogniser
from stream.transcripts.transcript import Transcript


class Recognise(Protocol):
    """Recognises a stream, calling `on_text` as `stream_audio` does."""

    def __call__(self, chunks: Chunks, on_text: OnText) -> Awaitable[StreamOutcome]: ...


def add_recognition_flags(parser: argparse.ArgumentParser) -> None:
    """Add --url, --hotwords, and a group of flags for what is recognised in this process."""
    parser.add_argument(
        "--url",
        metavar="U",
        help="server that recognises, such as ws://127.0.0.1:3030 (default: none, this process does)",
    )
    parser.add_argument(
        "--hotwords",
        metavar="WORDS",
        help="likely words, separated by commas, each with a boost after a colon if it has its own: "
        "kitchen,cellar:1.5",
    )
    group = parser.add_argument_group("without --url")
    group.add_argument(
        "--model",
        metavar="PATH",
        help=f"model directory or checkpoint, or a bundled model: {', '.join(NAMES)} (default: {NAMES[0]})",
    )
    group.add_argument(
        "--backend",
        choices=sorted(BACKENDS),
        help="what computes (default: onnx for a model directory, else numpy)",
    )
    group.add_argument(
        "--chunk-ms",
        type=int,
        metavar="MS",
        help="length of a chunk, one that the model is trained with (default: the model's own)",
    )
    add_flags(value_flags(group), DecoderOptions())
    group.add_argument(
        "--state-resets", action="store_true", help="reset the states of long streams"
    )


def recognition(arguments: argparse.Namespace, *, realtime: bool = False) -> Recognise:
    """Return what recognises, as the flags say; a model is loaded here.

    Args:
        realtime: whether a server gets audio at the pace of a microphone.
    Raises:
        ArgumentError: flags do not go together, or hotwords cannot be spelt.
        ModelError: the model cannot be read or computed.
    """
    try:
        hotwords = parse_hotwords(arguments.hotwords or "")
        if arguments.url is not None:
            _check_remote(arguments)
            return _by_server(arguments.url, arguments.hotwords, realtime)
        network = open_model(arguments.model or model_path())
        options = options_of(arguments, state_resets=arguments.state_resets)
        keywords = Speller(network.vocabulary.alphabet).spell(hotwords)
    except HotwordError as error:
        raise ArgumentError(f"--hotwords: {error}") from error
    decoding = decoding_of(network, options)
    recogniser = Recogniser(
        network, arguments.backend, decoding, keywords=keywords, chunk_ms=arguments.chunk_ms
    )
    return partial(recognise_here, recogniser)


def _check_remote(arguments: argparse.Namespace) -> None:
    """Raise `ArgumentError` for a flag that a server would not obey."""
    parser = argparse.ArgumentParser()
    add_recognition_flags(parser)
    for name, default in vars(parser.parse_args([])).items():
        if name not in ("url", "hotwords") and getattr(arguments, name) != default:
            flag = name.replace("_", "-")
            raise ArgumentError(f"--{flag} goes without --url: the server has its own")


async def recognise_here(recogniser: Recogniser, chunks: Chunks, on_text: OnText) -> StreamOutcome:
    """Recognise a stream in this process; its latencies are not measured."""
    recogniser.reset()
    transcript, count = Transcript(), 0
    fault: AudioError | None = None
    try:
        async for samples in as_async(chunks):
            count += len(samples)
            transcript.add(*recogniser.push(samples))
            on_text(transcript.text, transcript.provisional)
    except AudioError as error:
        fault = error
    transcript.add(*recogniser.finish())
    on_text(transcript.text, "")
    if fault is not None:  # after what could be decoded
        raise fault
    segments = tuple(segment.words for segment in transcript.segments if segment.words)
    return StreamOutcome(transcript.text, (), segments, count / SAMPLE_RATE)


def _by_server(url: str, hotwords: str | None, realtime: bool) -> Recognise:
    if hotwords:
        url = stream_url(url)
        url += f"{'&' if '?' in url else '?'}hotwords={quote(hotwords)}"
    return partial(stream_audio, url, realtime=realtime)
