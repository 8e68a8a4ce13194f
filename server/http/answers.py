"""Answers to all HTTP requests except websockets, from health to uploaded recordings.

    GET  /healthz /readyz                 whether the engines work; whether a stream would be accepted
    GET  /metrics /model                  Prometheus; the served models and their origin
    GET  /v1/models /v1/models/{id}       the served models, for OpenAI's SDK
    GET  / /page/...                      the live page; the bundled recordings, as its samples
    GET  /calls/{id}                      the text of a call of a telephone system, as it comes
    POST /transcribe                      a recording in a form: JSON with timed words
    POST /v1/audio/transcriptions         the same in OpenAI's API, events included
    POST /v1/listen                       a recording as the body, in Deepgram's API
    POST /v1/realtime/client_secrets      a short-lived token for a browser

Access is checked by `server.http.access`; `server.http.upload` turns uploads into results, and
`server.adapters` writes the bodies. A refusal gives its reason in one sentence.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import msgspec
from aiohttp import web

from server.adapters import openai, realtime_secrets, transcribe
from server.adapters.deepgram import recorded
from server.adapters.deepgram.messages import PATH as LISTEN
from server.adapters.deepgram.messages import Request
from server.adapters.myrtle_messages import PATH
from server.adapters.openai import EventStream
from server.adapters.openai_fields import parse_fields
from server.engine.models import Model, Models
from server.http.access import Access
from server.http.body import Body, Slot, receive_body, receive_small
from server.http.exchange import exchange_of
from server.http.form import receive_form
from server.http.replies import json_answer, plain
from server.http.spool import Spool
from server.http.upload import Upload
from server.limits import Limits
from server.live import watch
from server.live.calls import Calls
from server.live.request import parse_listen, refuse_hotwords
from server.metrics import Metrics
from server.protocol.hotwords import BOOST, HotwordError, Speller, parse_hotwords
from server.refusals import Refusal, quoted
from server.tokens.account import Lease
from stream.bundled import RECORDINGS
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.transcripts.transcript import Transcript

PAGE = Path(__file__).parents[1] / "page"
OWNER = "rill"
UPLOADS = ("transcribe", "openai")  # protocols of recordings
MODELS = "/v1/models/"
STOPPING = "the server is shutting down"


class Answers:
    """Answers of one server.

    Args:
        limits: what a client may ask of this process.
        metrics: counts streams.
        access: makes client secrets.

    Attributes:
        stopping: whether the server accepts nothing new.
        calls: that may be watched.
    """

    def __init__(self, models: Models, limits: Limits, metrics: Metrics, access: Access) -> None:
        self._models = models
        self._access = access
        self._limits = limits
        self._metrics = metrics
        self._spool = Spool(limits.spool_bytes)
        self.stopping = False
        self.calls = Calls()
        self._page = {**_files("/page", PAGE), **_files("/page/samples", RECORDINGS)}
        if "/page/index.html" in self._page:
            self._page["/"] = self._page["/page/index.html"]
        self._routes: Mapping[str, tuple[str, Callable[..., Awaitable[web.StreamResponse]]]] = {
            "/metrics": ("GET", self._answer_metrics),
            "/model": ("GET", self._answer_model),
            "/v1/models": ("GET", self._answer_models),
            "/transcribe": ("POST", self._answer_transcribe),
            "/v1/audio/transcriptions": ("POST", self._answer_openai),
            LISTEN: ("POST", self._answer_deepgram),
            "/v1/realtime/client_secrets": ("POST", self._answer_client_secret),
        }

    def has(self, path: str) -> bool:
        """Return whether a request without an upgrade is answered here."""
        return path in self._routes or path in self._page

    def refusal(self, model: Model) -> Refusal | None:
        """Return why a model accepts no stream now, None where it does."""
        if self.stopping:
            return Refusal(503, STOPPING, "stopping")
        reason = model.channels.refusal()
        if reason is None:
            return None
        return Refusal(503, reason, "full" if model.channels.full else "not ready")

    def health(self, path: str) -> web.Response | None:
        """Answer a health check; None for other paths."""
        if path == "/healthz":
            fault = self._models.fault()
            return plain(503, fault) if fault else plain(200, "ok")
        if path == "/readyz":
            reason = STOPPING if self.stopping else self._models.refusal()
            return plain(503, reason) if reason else plain(200, "ready")
        return None

    def page(self, path: str) -> web.FileResponse | None:
        """Answer with a file of the live page; None for other paths."""
        file = self._page.get(path)
        if file is None:
            return None
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        return web.FileResponse(file, headers=headers)

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer any other request."""
        route = self._routes.get(path)
        if route is None and path.startswith(MODELS):
            route = ("GET", self._answer_one_model)
        if route is None and path.startswith(watch.PATH):
            route = ("GET", self._answer_call)
        if route is None:
            there = ", ".join([*self._routes, "/healthz", "/readyz"])
            text = (
                f"there is nothing at {quoted(path)}; streams are at {PATH}, and there are {there}"
            )
            raise Refusal(404, text, "path")
        method, handler = route
        if request.method != method and (method, request.method) != ("GET", "HEAD"):
            allowed = {"Allow": "GET, HEAD" if method == "GET" else method}
            raise Refusal(405, f"{path} takes {method}", "method", allowed)
        try:
            return await handler(request)
        except HotwordError as error:
            raise refuse_hotwords(error, "keywords") from error

    async def _answer_metrics(self, request: web.BaseRequest) -> web.Response:
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": self._metrics.content_type}
        )

    async def _answer_model(self, request: web.BaseRequest) -> web.Response:
        described = [model.describe() for model in self._models.values()]
        return json_answer(msgspec.json.encode({"models": described}))

    async def _answer_models(self, request: web.BaseRequest) -> web.Response:
        return json_answer(openai.list_models(self._models.names, OWNER).body)

    async def _answer_one_model(self, request: web.BaseRequest) -> web.Response:
        name = unquote(request.raw_path.partition("?")[0].removeprefix(MODELS))
        return json_answer(openai.describe_model(name, self._models.names, OWNER).body)

    async def _answer_call(self, request: web.BaseRequest) -> web.StreamResponse:
        call_id = unquote(request.raw_path.partition("?")[0].removeprefix(watch.PATH))
        exchange = exchange_of(request)
        account, headers = exchange.grant.account.name, exchange.headers
        return await watch.send_call(request, self.calls, account, call_id, self._limits, headers)

    async def _answer_transcribe(self, request: web.BaseRequest) -> web.Response:
        async with self._receive(request, "transcribe") as (form, lease):
            fields = dict(form.fields)
            name = fields.get("model", exchange_of(request).query.get("model"))
            model = self._settle(form, lease, name)
            keywords = self._spell(model, parse_hotwords(fields.get("hotwords", "")))
            self._metrics.count_stream("transcribe")
            transcript = Transcript()
            upload = Upload(form, lease.narrowed(self._limits), request, keywords)
            async with aclosing(upload.results()) as results:
                async for result in results:
                    transcript.add(result)
        _note(request, "transcribe", model, transcript)
        return json_answer(transcribe.answer(form.filename, transcript, upload.notes))

    async def _answer_openai(self, request: web.BaseRequest) -> web.StreamResponse:
        async with self._receive(request, "openai") as (form, lease):
            named = dict(form.fields).get("model", "")
            language = self._models[named].language if named in self._models.names else "en"
            wanted = parse_fields(form.fields, self._models.names, language)
            model = self._settle(form, lease, wanted.model)
            keywords = self._spell(model, dict.fromkeys(wanted.keywords, BOOST))
            self._metrics.count_stream("openai")
            transcript = Transcript()
            upload = Upload(form, lease.narrowed(self._limits), request, keywords)
            async with aclosing(upload.results()) as results:
                if wanted.stream:
                    stream = EventStream(wanted, upload.notes)
                    return await self._send_events(request, model, stream, results)
                async for result in results:
                    transcript.add(result)
        _note(request, "openai", model, transcript)
        answer = openai.answer(wanted, transcript, language, upload.notes)
        return web.Response(body=answer.body, headers={"Content-Type": answer.content_type})

    async def _answer_deepgram(self, request: web.BaseRequest) -> web.Response:
        arrival = datetime.now(UTC)
        asked = parse_listen(request.raw_path, self._models.served)
        recorded.check_recording(asked.options, request.content_type)
        model = self._choose(asked.model)
        keywords = self._spell(model, asked.hotwords)
        exchange = exchange_of(request)
        transcript = Transcript()
        with exchange.grant.account.lease("deepgram") as lease:
            lease.check_model(model.name)
            limits = self._limits
            async with receive_body(request, limits, self._spool, lambda: Slot(model)) as body:
                _bind(lease, body)
                self._metrics.count_stream("deepgram")
                upload = Upload(body, lease.narrowed(limits), request, keywords)
                async with aclosing(upload.results()) as results:
                    async for result in results:
                        transcript.add(result)
        _note(request, "deepgram", model, transcript)
        described = Request(exchange.peer.request_id, arrival, model.name, asked.options)
        return json_answer(recorded.answer(described, transcript, body.sha256, upload.notes))

    async def _answer_client_secret(self, request: web.BaseRequest) -> web.Response:
        body = await receive_small(request, self._limits)
        wanted = realtime_secrets.parse_body(body, self._models.served)
        self._spell(self._models[wanted.model], dict.fromkeys(wanted.settings.keywords, BOOST))
        account = exchange_of(request).grant.account
        value, expires = self._access.make_secret(account, wanted.seconds, wanted.session)
        answered = realtime_secrets.answer(wanted, value, expires)
        headers = {"Content-Type": answered.content_type, "Cache-Control": "no-store"}
        return web.Response(body=answered.body, headers=headers)

    async def _send_events(
        self,
        request: web.BaseRequest,
        model: Model,
        stream: EventStream,
        results: AsyncIterator[Result],
    ) -> web.StreamResponse:
        first = await anext(results)  # a refusal has to come before the answer begins
        response = web.StreamResponse(
            headers={
                **exchange_of(request).headers,
                "Content-Type": stream.content_type,
                "Cache-Control": "no-cache",
            }
        )
        await response.prepare(request)

        async def send(events: str) -> None:
            if events:
                async with asyncio.timeout(self._limits.stall_seconds):
                    await response.write(events.encode())

        try:
            await send(stream.send_result(first))
            async for result in results:
                await send(stream.send_result(result))
        except Refusal as refusal:
            exchange_of(request).refusal = refusal
            await send(openai.error_event(refusal))
        except TimeoutError as error:
            raise ConnectionResetError("the client does not read") from error
        finally:
            _note(request, "openai", model, stream.transcript)
        return response

    @asynccontextmanager
    async def _receive(
        self, request: web.BaseRequest, protocol: str
    ) -> AsyncIterator[tuple[Body, Lease]]:
        """Receive a form, if its token and the model it will ask for, where that is known, accept a stream."""
        exchange = exchange_of(request)
        name = exchange.query.get("model")

        def reserve(fields: Mapping[str, str]) -> Slot:
            return Slot(self._choose_any(fields.get("model", name)))

        with exchange.grant.account.lease(protocol) as lease:
            self._choose_any(name)
            async with receive_form(request, self._limits, self._spool, reserve) as form:
                yield form, lease

    def _settle(self, form: Body, lease: Lease, name: str | None) -> Model:
        """Return the model that a whole form asks for, of which it has a slot from now on."""
        model = self._models[name] if name in self._models.names else None
        if name is not None and model is not form.slot.model:
            form.slot.close()
            form.slot = Slot(self._choose(name))
        lease.check_model(form.slot.model.name)
        _bind(lease, form)
        return form.slot.model

    def _choose_any(self, name: str | None) -> Model:
        """Return the model of a name; for no name, or one that is not served, any that accepts streams.

        A wrong name is refused later, when all fields are read, in the format of its API.
        """
        if name in self._models.names or len(self._models) == 1:
            return self._choose(name if name in self._models.names else None)
        free = (model for model in self._models.values() if self.refusal(model) is None)
        return next(free, None) or self._choose(None)

    def _spell(self, model: Model, hotwords: Mapping[str, float]) -> Mapping[str, float]:
        return Speller(model.alphabet, self._limits).spell(hotwords)

    def _choose(self, name: str | None) -> Model:
        """Return the model of a name; raises Refusal where it does not accept streams."""
        model = self._models[self._models.served.choose(name)]
        if (refusal := self.refusal(model)) is not None:
            raise refusal
        return model


def _bind(lease: Lease, body: Body) -> None:
    """Let a lease count the audio of an upload, and end it."""
    slot = body.slot
    lease.bind(lambda: slot.channel.received / SAMPLE_RATE, slot.receive_result)


def _note(request: web.BaseRequest, protocol: str, model: Model, transcript: Transcript) -> None:
    """Describe an upload in the log."""
    exchange_of(request).fields |= {
        "protocol": protocol,
        "model": model.name,
        "audio_seconds": round(transcript.duration, 2),
    }


def _files(path: str, folder: Path) -> dict[str, Path]:
    """Return the files of a folder, by the path of the request that asks for each."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {f"{path}/{file.relative_to(folder).as_posix()}": file for file in found}
