"""The live page in Chromium: a microphone that plays a recording, a dropped file, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from aiohttp import web
from numpy.typing import NDArray

from server.engine.models import Model
from server.engine.worker import Loaded
from server.http.answers import PAGE
from stream.audio import read_audio
from stream.bundled import RECORDINGS, model_path, recordings
from stream.error_rate import word_error_rate
from stream.model.network import open_model
from stream.transcripts.captions import srt, vtt
from stream.transcripts.transcript import TimedWord
from stream.vocabulary import Alphabet
from tests.places import REPOSITORY
from tests.server.page.axe import axe_findings, find_axe
from tests.server.page.browser import Page, browsing, find_chromium, running_chromium
from tests.server.scripted import ScriptedEngine, Service, in_thread, serving

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
RECORDING = recordings()[0]
SIZES = [(320, 640), (390, 844), (740, 360), (1280, 800), (2560, 1440), (3840, 2160)]


@contextmanager
def running_server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server of one slot; yields the address of its page, and its process."""
    command = [sys.executable, "-m", "server", "--port", "0", "--slots", "1"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found = re.match(r"ws://(.+:\d+)/", process.stdout.readline())
        assert found is not None
        try:
            yield f"http://{found[1]}/", process
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a page of the bundled model."""
    with running_server() as (address, _):
        yield address


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Chromium, whose microphone plays the recording once and is silent then."""
    folder = tmp_path_factory.mktemp("chromium")
    spoken = folder / "spoken.wav"
    soundfile.write(spoken, read_audio(RECORDING.audio), 16000, subtype="PCM_16")
    assert CHROMIUM is not None
    with running_chromium(
        CHROMIUM,
        folder / "profile",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}%noloop",
        "--autoplay-policy=no-user-gesture-required",
    ) as address:
        yield address


def counting(chunk: int, samples: NDArray[np.float32]) -> str:
    """Say a number every 0.3 s; for `ScriptedEngine`."""
    return f" w{chunk // 5}" if chunk >= 0 and chunk % 5 == 0 else ""


@asynccontextmanager
async def scripted(*others: Model) -> AsyncIterator[Service]:
    """Serve a model that counts, and others."""
    async with serving(ScriptedEngine(4, counting), *others) as service:
        yield service


def other_model(name: str, language: str, **told: Any) -> Model:
    notes = {note: told.pop(note) for note in ("knows", "example") if note in told}
    about = {"language": language, "notes": notes, **told}
    loaded = Loaded(ScriptedEngine(1), 1, Alphabet(), about)
    return Model(name, in_thread(lambda: loaded))


async def wait_idle(page: Page) -> None:
    await page.until("document.body.dataset.state === 'idle'")


async def wait_for_samples(page: Page) -> None:
    await page.until("!document.querySelector('#hint .sample').hidden")


async def is_shown(page: Page, selector: str) -> bool:
    shown: bool = await page.evaluate(f"document.querySelector({selector!r}).checkVisibility()")
    return shown


def said(text: str) -> str:
    """Return a JavaScript condition: the transcript's words, headings aside, end with a text."""
    shown = "document.querySelector('#transcript').textContent.replace(/\\s+/g, ' ').trim()"
    return f"{shown}.endsWith({text!r})"


async def test_what_is_spoken_is_written(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as page:
        await wait_idle(page)
        await page.click("#microphone")
        await page.until("document.body.dataset.state === 'live'")
        await page.until("+document.querySelector('#meter').getAttribute('aria-valuenow') > 0.05")
        words = RECORDING.text.split()
        await page.until(
            f"document.querySelector('#transcript').textContent.includes({words[-2]!r})"
        )
        await page.until("document.querySelector('#heard').textContent >= '0:05'")
        await page.click("#microphone")
        await wait_idle(page)
        # A busy machine may drop some of a microphone's sound, never of a file's: see below.
        heard = (await page.text("#transcript")).split()[-len(words) :]
        assert word_error_rate([RECORDING.text], [" ".join(heard)]).wer <= 0.3
        assert re.fullmatch(r"[\d.]+ ms", await page.text("#cl50"))
        assert await page.text("#heard") != "0:00"
        assert page.errors == []


async def test_a_dropped_recording_is_transcribed_and_can_be_downloaded(
    server: str, devtools: str, tmp_path: Path
) -> None:
    async with (
        browsing(devtools) as browser,
        browser.page(server, downloads=tmp_path) as page,
    ):
        await wait_idle(page)
        await page.click("#paced")  # as fast as the server takes it
        await page.drop("#transcript", RECORDING.audio)
        await page.until(said(RECORDING.text))
        await wait_idle(page)
        await page.point(".word:nth-of-type(3)")
        times = re.match(r"([\d.]+) – ([\d.]+) s · \d+ % sure", await page.text("#details"))
        assert times is not None
        await page.evaluate(
            "document.querySelectorAll('.downloads button').forEach(b => b.click())"
        )
        files = [tmp_path / f"{RECORDING.audio.stem}.{kind}" for kind in ("txt", "srt", "vtt")]
        async with asyncio.timeout(10):
            while not all(file.is_file() for file in files):
                await asyncio.sleep(0.05)
        text, subrip, webvtt = (file.read_text() for file in files)
        assert text == f"{RECORDING.text}\n"
        begins = re.match(r"1\n00:00:0([\d,]+) --> 00:00:0([\d,]+)\n(.+)\n\n", subrip)
        assert begins is not None
        assert begins[3].split()[:3] == RECORDING.text.split()[:3]
        assert float(begins[1].replace(",", ".")) < float(times[1])
        assert float(times[2]) < float(begins[2].replace(",", "."))
        assert webvtt.startswith("WEBVTT\n\n00:00:0")
        assert page.errors == []
        await page.click("#clear")
        assert await page.text("#transcript") == ""


async def test_a_sample_is_heard_and_transcribed_at_one_click(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as page:
        await wait_for_samples(page)
        await page.evaluate(
            """{const {start} = AudioBufferSourceNode.prototype; window.played = [];
            AudioBufferSourceNode.prototype.start = function () {
                played.push(this.buffer.duration); start.call(this); };}"""
        )
        await page.click("#hint .sample")
        await page.until("document.body.dataset.state === 'live'")
        assert await page.evaluate("document.activeElement.id") == "microphone"
        await page.until("document.querySelectorAll('.word').length > 2")
        # It stops the sample, if that has not ended by itself on a busy machine; then it would start.
        stop = "document.querySelector('#microphone').click()"
        await page.evaluate(f"document.body.dataset.state === 'live' && {stop}")
        await wait_idle(page)
        words = await page.evaluate(
            "[...document.querySelectorAll('.word')].map((w) => w.textContent)"
        )
        assert words[:2] == RECORDING.text.split()[:2]  # the last one may be cut
        assert (await page.text("#announcer")).split() == words  # once, no partials
        [seconds] = await page.evaluate("played")
        assert seconds == pytest.approx(RECORDING.duration, abs=0.1)
        assert page.errors == []


async def test_the_page_says_what_the_model_knows_in_the_models_words(
    server: str, devtools: str
) -> None:
    notes = open_model(model_path()).notes
    async with browsing(devtools) as browser, browser.page(server) as page:
        await page.until("!document.querySelector('#knows').hidden")
        assert f"knows {notes['knows']}." in await page.text("#knows")
        assert await page.text("#knows q") == notes["example"]
        assert not await is_shown(page, "#model")
        assert not await is_shown(page, "#language")


async def test_a_model_is_chosen_where_there_are_several_and_a_language_where_they_differ(
    devtools: str,
) -> None:
    others = (
        other_model("french", "fr", knows="numbers", example="vingt et un"),
        other_model("dictation", "en", encoder="Conformer", weights=4_123_456, chunk_ms=240),
    )
    async with (
        scripted(*others) as service,
        browsing(devtools) as browser,
        browser.page(f"http://127.0.0.1:{service.port}/") as page,
    ):
        await page.until("document.querySelector('#model').length === 2")
        options = "[...document.querySelectorAll('#{} option')].map(({{text}}) => text)"
        assert await page.evaluate(options.format("language")) == ["English", "French"]
        assert await page.evaluate(options.format("model")) == ["general", "dictation"]
        assert not await is_shown(page, "#knows")  # these models do not say
        assert not await is_shown(page, ".sample")  # nobody knows whether they know its words
        await page.evaluate(
            """{const model = document.querySelector('#model'); model.value = 'dictation';
            model.dispatchEvent(new Event('change'));}"""
        )
        kind = "Conformer of 4.1 million weights, 240 ms of sound at a time."
        assert await page.text("#knows") == kind
        await page.evaluate(
            """{const language = document.querySelector('#language'); language.value = 'fr';
            language.dispatchEvent(new Event('change'));}"""
        )
        assert not await is_shown(page, "#model")
        assert await page.text("#knows") == "It knows numbers. Try vingt et un."
        assert await page.evaluate("document.querySelector('#knows q').lang") == "fr"
        await page.click("#microphone")
        await page.until("document.body.dataset.state === 'live'")
        await page.until("document.querySelector('#heard').textContent >= '0:01'")
        assert service.channels.in_use == 0  # it is not the default model that hears this
        await page.click("#microphone")
        await wait_idle(page)


async def test_text_is_copied_and_cleared_while_a_stream_goes_on(devtools: str) -> None:
    async with (
        scripted() as service,
        browsing(devtools) as browser,
        browser.page(f"http://127.0.0.1:{service.port}/") as page,
    ):
        await wait_idle(page)
        assert await page.evaluate("document.querySelector('#copy').disabled")
        await page.click("#microphone")
        await page.until("document.querySelectorAll('.word').length > 2")
        await page.click("#copy")
        await page.until("/Copied|Selected/.test(document.querySelector('#status').textContent)")
        await page.click("#clear")
        await page.until("document.querySelectorAll('.word').length > 1")
        first = await page.text(".word")
        assert re.fullmatch(r"w\d+", first) and first not in ("w0", "w1", "w2")
        assert await page.evaluate("document.body.dataset.state") == "live"
        await page.click("#microphone")
        await wait_idle(page)
        assert (await page.text(".word")) == first
        assert page.errors == []


async def test_a_microphone_that_is_refused_is_said(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server, microphone="denied") as page:
        await wait_idle(page)
        await page.click("#microphone")
        await page.until("!document.querySelector('#fault').hidden")
        assert "microphone" in (await page.text("#fault")).lower()
        await wait_idle(page)


async def test_a_server_that_is_full_is_said(server: str, devtools: str) -> None:
    async with browsing(devtools) as browser, browser.page(server) as first:
        await wait_idle(first)
        await first.click("#microphone")
        await first.until("document.body.dataset.state === 'live'")
        async with browser.page(server) as second:
            await wait_idle(second)
            await second.drop("#transcript", RECORDING.audio)
            await second.until("!document.querySelector('#fault').hidden")
            assert "server is full" in await second.text("#fault")
            await wait_idle(second)
        await first.click("#microphone")
        await wait_idle(first)


async def test_a_server_that_is_gone_is_said_and_what_was_said_is_kept(devtools: str) -> None:
    with running_server() as (address, process):
        async with browsing(devtools) as browser, browser.page(address) as page:
            await wait_for_samples(page)
            await page.click("#hint .sample")
            await page.until("!!document.querySelector('.word')")
            process.kill()
            await wait_idle(page)
            assert "server does not answer" in await page.text("#fault")
            assert await page.text(".word") == RECORDING.text.split()[0]
            for source in ("#microphone", "footer .sample"):
                await page.click("#fault-close")
                await page.click(source)
                await page.until("!document.querySelector('#fault').hidden")
                await wait_idle(page)
                assert "server does not answer" in await page.text("#fault")
                assert "microphone" not in await page.text("#fault")


async def test_a_reverse_proxy_may_put_it_below_any_path(devtools: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/deep/down/asr/v0.1/stream":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.close()
            return socket
        if request.path == "/deep/down/model":
            about = {"name": "general", "language": "en", "notes": {}, "bundled": True}
            return web.json_response({"models": [about]})
        if "/page/samples/" in request.path:
            return web.FileResponse(RECORDINGS / request.path.rpartition("/")[2])
        name = request.path.removeprefix("/deep/down/").removeprefix("page/")
        return web.FileResponse(PAGE / (name or "index.html"))

    application = web.Application()
    application.router.add_get("/deep/down/{rest:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with (
            browsing(devtools) as browser,
            browser.page(f"http://127.0.0.1:{port}/deep/down/") as page,
        ):
            await wait_for_samples(page)
            await page.click("#hint .sample")
            for _ in range(200):
                if "/deep/down/asr/v0.1/stream" in asked:
                    break
                await asyncio.sleep(0.05)
            assert f"/deep/down/page/samples/{RECORDING.audio.name}" in asked
            assert "/deep/down/asr/v0.1/stream" in asked
            assert page.errors == []
    finally:
        await runner.cleanup()


@pytest.mark.skipif(find_axe() is None, reason="needs axe-core-python")
async def test_everybody_can_use_it_on_any_screen(server: str, devtools: str) -> None:
    async with (
        browsing(devtools) as browser,
        browser.page(server) as page,
        browser.page(server, microphone="denied") as faulty,
    ):
        await wait_idle(page)
        await wait_idle(faulty)
        await faulty.click("#microphone")
        await faulty.until("!document.querySelector('#fault').hidden")
        assert await findings(page) == []
        assert await findings(faulty) == []
        await page.click("#paced")
        await page.drop("#transcript", RECORDING.audio)
        await page.until("!!document.querySelector('.word')")
        await wait_idle(page)
        await page.point(".word")
        assert await findings(page) == []


async def findings(page: Page) -> list[str]:
    """Return what axe-core finds, in either scheme, and what is cut off by the edges of a screen."""
    found = []
    beyond = """[...document.querySelectorAll('body *')].filter((element) => {
        const {right, bottom, width} = element.getBoundingClientRect();
        return width > 1 && element.checkVisibility() && !element.closest('#transcript, option')
            && (right > innerWidth + 1 || bottom > innerHeight + 1);
    }).map((element) => element.outerHTML.slice(0, 80))"""
    for width, height in SIZES:
        scheme = "dark" if width > 1000 else "light"
        await page.prefer(scheme, motion="reduce")
        await page.resize(width, height, phone=width < 800)
        found += [f"{width} x {height}: {cut} is cut off" for cut in await page.evaluate(beyond)]
        if width in (320, 1280):
            found += [f"{width}, {scheme}: {line}" for line in await axe_findings(page)]
    return found


async def test_captions_are_those_of_the_other_protocols(server: str, devtools: str) -> None:
    segments = [
        [TimedWord("a<b", 0.06, 0.3, 1.0), TimedWord("&", 0.3, 1.005, 1.0)],
        [TimedWord("pause", 3599.5, 3600.25, 1.0), TimedWord("after", 3602.5, 3603.0, 1.0)],
        [TimedWord(f"long{k}", 4000 + 0.2 * k, 4000.1 + 0.2 * k, 1.0) for k in range(60)],
        [TimedWord("slow", 5000.0 + 1.5 * k, 5001.0 + 1.5 * k, 1.0) for k in range(7)],
    ]
    utterances = [[{"text": w.text, "start": w.start, "end": w.end} for w in s] for s in segments]
    async with browsing(devtools) as browser, browser.page(server) as page:
        for name, python in (("srt", srt), ("vtt", vtt)):
            call = (
                f"import('/page/text/captions.js').then((c) => c.{name}({json.dumps(utterances)}))"
            )
            assert await page.evaluate(call) == python(segments)
