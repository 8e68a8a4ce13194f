"""GET /calls/{id}: the text of a call that a telephone system sends, as server-sent events.

Each event is a message of `server.adapters.telephony.call`, its last one `end`. Rules:

1. A client that asks before the call begins waits for it, up to `Limits.idle_seconds`, then gets 404.
2. While nothing is said, a comment every `QUIET_SECONDS` shows that the connection works.
3. A client that does not read is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from server.limits import Limits
from server.live.calls import Calls
from server.refusals import Refusal, quoted

PATH = "/calls/"
QUIET_SECONDS = 15.0
COMMENT = ":\n\n"


async def send_call(
    request: web.BaseRequest,
    calls: Calls,
    account: str,
    call_id: str,
    limits: Limits,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Answer with the messages of a call until it ends.

    Args:
        account: name of the account that opened the call.
        call_id: id of the call.
        limits: of waiting, and of a client that does not read.
        headers: of every answer.
    Raises:
        Refusal: there is no such call.
    """
    messages = calls.watch(account, call_id)
    try:
        async with asyncio.timeout(limits.idle_seconds):
            message = await anext(messages, None)
    except TimeoutError as error:
        await messages.aclose()
        text = f"no call {quoted(call_id)} began within {limits.idle_seconds:g} s"
        raise Refusal(404, text, "path") from error
    response = web.StreamResponse(
        headers={**headers, "Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    waiting: asyncio.Future[str | None] | None = None
    try:
        await response.prepare(request)
        while message is not None and request.method != "HEAD":
            async with asyncio.timeout(limits.stall_seconds):
                await response.write(f"data: {message}\n\n".encode())
            waiting = asyncio.ensure_future(anext(messages, None))
            while not (await asyncio.wait((waiting,), timeout=QUIET_SECONDS))[0]:
                async with asyncio.timeout(limits.stall_seconds):
                    await response.write(COMMENT.encode())
            message = waiting.result()
    except TimeoutError as error:
        raise ConnectionResetError("the client does not read") from error
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await messages.aclose()
    return response
