"""Chromium without a window, driven over the DevTools protocol: as much of it as tests of a page need.

A `Chromium` is a process with a profile of its own in a folder; a `Browser`, a connection to it on the
test's event loop; a `Page`, a tab of its own browser context, so with its own permissions. Console
errors and exceptions of a page are kept: a test says that there were none.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

START_SECONDS = 60.0
WAIT_SECONDS = 40.0


def find_chromium() -> str | None:
    """Return the program, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def running_chromium(program: str, folder: Path, *flags: str) -> Iterator[str]:
    """Run Chromium with all that it writes in a folder; yields the address of its DevTools."""
    command = [program, "--headless", f"--user-data-dir={folder}", "--remote-debugging-port=0"]
    command += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    command += ["--no-sandbox"] * (os.geteuid() == 0)  # which refuses to run as root
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    with subprocess.Popen(
        [*command, *flags, "about:blank"],
        env=os.environ | home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield _read_address(process, folder / "DevToolsActivePort")
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _read_address(process: subprocess.Popen[bytes], file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not file.is_file() or "\n" not in file.read_text():
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    port, path = file.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


class Browser:
    """A connection to DevTools."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def call(self, method: str, session: str = "", /, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        message: dict[str, Any] = {
            "id": next(self._numbers),
            "method": method,
            "params": parameters,
        }
        if session:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[message["id"]] = answer
        await self._connection.send(json.dumps(message))
        async with asyncio.timeout(WAIT_SECONDS):
            return await answer

    async def listen(self) -> None:
        """Hand out answers and events, until cancelled."""
        async for message in self._connection:
            heard = json.loads(message)
            answer = self._calls.pop(heard.get("id", 0), None)
            if answer is None:
                page = self._pages.get(heard.get("sessionId", ""))
                if page is not None:
                    page.hear(heard["method"], heard["params"])
            elif "error" in heard:
                answer.set_exception(AssertionError(heard["error"]))
            else:
                answer.set_result(heard["result"])

    @asynccontextmanager
    async def page(
        self,
        address: str,
        *,
        microphone: str = "granted",
        downloads: Path | None = None,
        width: int = 1200,
        height: int = 800,
    ) -> AsyncIterator[Page]:
        """Open a page.

        Args:
            address: where it is.
            microphone: "granted" or "denied".
            downloads: the folder that they go to.
            width, height: of its window, pixels.
        """
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        await self.call(
            "Browser.setPermission",
            permission={"name": "microphone"},
            setting=microphone,
            browserContextId=context,
        )
        if downloads is not None:
            await self.call(
                "Browser.setDownloadBehavior",
                behavior="allow",
                downloadPath=str(downloads),
                browserContextId=context,
            )
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"])
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        await page.call("Page.navigate", url=address)
        await page.until("document.readyState === 'complete' && location.protocol !== 'about:'")
        yield page
        await self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """A tab.

    Attributes:
        errors: what its console complained of, and exceptions.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.errors: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol on this page."""
        return await self._browser.call(method, self._session, **parameters)

    def hear(self, event: str, parameters: dict[str, Any]) -> None:
        """Take an event."""
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(json.dumps(parameters["args"]))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited where it is a promise."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not await self.evaluate(expression):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never became true: {expression}; {self.errors}") from None

    async def text(self, selector: str) -> str:
        """Return the text of an element, each run of white space as one space."""
        found = await self.evaluate(f"document.querySelector({selector!r}).textContent")
        return " ".join(found.split())

    async def place(self, selector: str) -> dict[str, float]:
        """Return where the middle of an element is."""
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        return {
            "x": await self.evaluate(f"{box}.x + {box}.width / 2"),
            "y": await self.evaluate(f"{box}.y + {box}.height / 2"),
        }

    async def click(self, selector: str) -> None:
        """Click an element as a mouse does."""
        place = await self.place(selector)
        for event in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=event, button="left", clickCount=1, **place
            )

    async def point(self, selector: str) -> None:
        """Move the mouse over an element."""
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", **await self.place(selector))

    async def press(self, key: str) -> None:
        """Press a key that has a name."""
        for event in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=event, key=key, code=key)

    async def drop(self, selector: str, file: Path) -> None:
        """Drag a file over an element and let it fall."""
        dragged = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for event in ("dragEnter", "dragOver", "drop"):
            await self.call(
                "Input.dispatchDragEvent", type=event, data=dragged, **await self.place(selector)
            )

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the page a window of so many pixels, and time to draw itself in it."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        await self.until(f"innerWidth === {width} && innerHeight === {height}")
        frame = "new Promise((drawn) => requestAnimationFrame(drawn))"
        await self.evaluate(f"{frame}.then(() => {frame})")

    async def prefer(self, scheme: str, *, motion: str = "no-preference") -> None:
        """Let the reader prefer "light" or "dark", and, with `motion` "reduce", that nothing moves."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, file: Path) -> None:
        """Write what is to be seen as a PNG file."""
        shot = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browsing(address: str) -> AsyncIterator[Browser]:
    """Connect to a running Chromium."""
    async with connect(address, compression=None, max_size=None, ping_interval=None) as connection:
        browser = Browser(connection)
        listening = asyncio.create_task(browser.listen())
        yield browser
        listening.cancel()
