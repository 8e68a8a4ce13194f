"""The microphone, through sounddevice (PortAudio): chunks of 60 ms, (960,) float32 at 16 kHz, mono.

sounddevice is optional and is imported only when a microphone is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from server.adapters.myrtle_messages import CHUNK
from stream.errors import InputError
from stream.extras import MissingExtraError, explain_missing_extras, install_command
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats


class MicrophoneError(InputError):
    """There is no such microphone."""


def _sounddevice() -> Any:
    try:
        with explain_missing_extras():
            import sounddevice
    except OSError as error:  # the package is there, the library that it wraps is not
        raise MissingExtraError(
            f"the microphone needs the PortAudio library ({error}): apt install libportaudio2, or "
            f"{install_command('mic')} on macOS and Windows, where it brings its own"
        ) from error
    return sounddevice


def default_microphone() -> str:
    """Return the name of the microphone that is used unless another is named.

    Raises:
        MicrophoneError: there is none.
        MissingExtraError: sounddevice or PortAudio is not installed.
    """
    sounddevice = _sounddevice()
    try:
        return str(sounddevice.query_devices(kind="input")["name"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MicrophoneError(f"no microphone is connected ({error})") from error


def microphone_chunks(device: int | None, stop: asyncio.Event) -> AsyncIterator[Floats]:
    """Return an iterator over what the microphone hears, until `stop` is set.

    The sound system resamples to 16 kHz.

    Args:
        device: number of the input device, as `python -m sounddevice` lists them; None: the default.
        stop: ends the recording; what was heard until then is yielded.
    Raises:
        MicrophoneError: there is no such device.
        MissingExtraError: sounddevice or PortAudio is not installed.
    """
    return _chunks(_sounddevice(), device, stop)


async def _chunks(
    sounddevice: Any, device: int | None, stop: asyncio.Event
) -> AsyncIterator[Floats]:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Floats] = asyncio.Queue()

    def on_audio(samples: Floats, frames: int, when: Any, status: Any) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, samples[:, 0].copy())

    try:
        recording = sounddevice.InputStream(
            samplerate=SAMPLE_RATE,
            channels=1,
            dtype="float32",
            blocksize=CHUNK,
            device=device,
            callback=on_audio,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        which = "no default microphone" if device is None else f"no microphone {device}"
        raise MicrophoneError(
            f"{which} ({error}). `python -m sounddevice` lists the devices; choose an input with "
            "--device N"
        ) from error
    with recording:
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                next_chunk = asyncio.ensure_future(heard.get())
                await asyncio.wait({next_chunk, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if next_chunk.done():
                    yield next_chunk.result()
                else:
                    next_chunk.cancel()
        finally:
            stopped.cancel()
    while not heard.empty():
        yield heard.get_nowait()
