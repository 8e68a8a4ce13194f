"""Replies: how a refusal looks to the clients of each path, and other answers of a line.

OpenAI's SDK makes typed exceptions of error objects, so under /v1/ every refusal is one, whoever makes
it, except at Deepgram's /v1/listen, where it is Deepgram's; /transcribe has {"detail": …}; all others get
one sentence as text.
"""

from __future__ import annotations

from aiohttp import web

from server.adapters import openai, transcribe
from server.adapters.deepgram import messages as deepgram
from server.http.exchange import exchange_of
from server.refusals import Refusal

RETRY_SECONDS = "1"
TRANSCRIBE = "/transcribe"
OPENAI = "/v1/"


def plain(status: int, text: str) -> web.Response:
    """Return an answer of one line of text."""
    return web.Response(status=status, text=f"{text}\n")


def json_answer(body: bytes, status: int = 200) -> web.Response:
    """Return an answer of JSON."""
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def refuse(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    """Return the answer to a request that is refused, and note that it is."""
    exchange = exchange_of(request)
    exchange.refusal = refusal
    path = exchange.path or ""
    if path == deepgram.PATH:
        body = deepgram.error(refusal, exchange.peer.request_id)
        response = json_answer(body, refusal.status)
        response.headers[deepgram.ERROR] = refusal.text.encode("ascii", "replace").decode()
    elif path.startswith(OPENAI):
        response = json_answer(openai.error(refusal).body, refusal.status)
    elif path == TRANSCRIBE:
        response = json_answer(transcribe.fault(refusal.text), refusal.status)
    else:
        response = plain(refusal.status, refusal.text)
    response.headers.update(refusal.headers)
    if refusal.status == 503:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


def preflight() -> web.Response:
    """Return the answer to a browser that asks whether a page may send a request."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        },
    )
