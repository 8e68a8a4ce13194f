r"""Fields of OpenAI's POST /v1/audio/transcriptions: what a form may ask for.

They are (name, value) in the order of the form, without the file. Rules:

1. Lists repeat their name, with or without "[]" after it; keys of objects are in brackets. Both
   forms are accepted. Unknown fields are ignored; known ones are obeyed or refused:

   | field | what |
   |---|---|
   | `model`, `language`, `languages` | what is served |
   | `response_format`, `stream`, `timestamp_granularities` | obeyed; no `diarized_json` |
   | `include` | `logprobs`, in JSON |
   | `keywords` | hotwords |
   | `temperature` | 0: nothing is sampled |
   | `prompt` | empty: prompts are not supported |
   | `chunking_strategy` | `auto` or `server_vad`, without parameters: the server decides where segments end |
   | `known_speaker_names`, `known_speaker_references` | none: there is no diarisation |

2. A field that asks for something else (a model or a language that is not served, speakers) gets a
   `Refusal` with the status and the error object that the SDK turns into a typed exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from server.refusals import Refusal, quoted

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
GRANULARITIES = ("word", "segment")
INCLUDED = ("logprobs",)
CHUNKING = "chunking_strategy"
CHUNKINGS = ("", "auto", "server_vad", '{"type":"server_vad"}', '{"type": "server_vad"}')
TRUTH = MappingProxyType({"true": True, "1": True, "false": False, "0": False, "": False})


@dataclass(frozen=True)
class Transcription:
    """What a request asks for.

    Attributes:
        model: that is to transcribe.
        response_format: one of json, text, srt, vtt, verbose_json.
        granularities: of the times in verbose_json: word, segment or both.
        stream: whether events are wanted.
        log_probabilities: whether those of the tokens are.
        keywords: words that are likely to be said.
    """

    model: str
    response_format: str = "json"
    granularities: frozenset[str] = frozenset({"segment"})
    stream: bool = False
    log_probabilities: bool = False
    keywords: tuple[str, ...] = ()


def parse_fields(
    fields: Iterable[tuple[str, str]], models: Sequence[str], language: str = "en"
) -> Transcription:
    """Check the scalar fields of the form.

    Args:
        fields: names and values, without the file.
        models: names that are served; the first where none is given.
        language: that is served, its primary tag.
    Raises:
        Refusal: rule 2.
    """
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name.removesuffix("[]"), []).append(value)

    def last(name: str, default: str) -> str:
        return values.get(name, [default])[-1]

    model = last("model", models[0])
    check_model(model, models)
    wanted = last("language", language)
    if wanted and wanted.lower().split("-")[0] != language:
        raise _mistake("language", f"language is {quoted(wanted)}; served is {language!r}")
    response_format = last("response_format", "json")
    if response_format not in FORMATS:
        raise _mistake(
            "response_format",
            f"response_format is {quoted(response_format)}; want one of {', '.join(FORMATS)}",
        )
    granularities = frozenset(values.get("timestamp_granularities", ()))
    if unknown := granularities.difference(GRANULARITIES):
        raise _mistake(
            "timestamp_granularities",
            f"timestamp_granularities has {quoted(min(unknown))}; want word or segment",
        )
    if granularities and response_format != "verbose_json":
        raise _mistake(
            "timestamp_granularities", "timestamp_granularities wants response_format verbose_json"
        )
    include = frozenset(values.get("include", ()))
    if unknown := include.difference(INCLUDED):
        raise _mistake("include", f"include has {quoted(min(unknown))}; want logprobs")
    if include and response_format not in ("json", "verbose_json"):
        raise _mistake("include", f"include wants response_format json, not {response_format}")
    _refuse_what_is_not_done(values, language)
    stream = TRUTH.get(last("stream", "false").lower())
    if stream is None:
        raise _mistake("stream", f"stream is {quoted(last('stream', ''))}; want true or false")
    if stream and response_format not in ("json", "text"):
        raise _mistake("response_format", f"stream gives no {response_format}; want json")
    return Transcription(
        model,
        response_format,
        granularities or frozenset({"segment"}),
        stream,
        "logprobs" in include,
        tuple(filter(None, values.get("keywords", ()))),
    )


def _refuse_what_is_not_done(values: Mapping[str, list[str]], language: str) -> None:
    """Refuse fields that ask for what this server does not do."""
    languages = [value.lower().split("-")[0] for value in values.get("languages", ()) if value]
    if languages and language not in languages:
        raise _mistake("languages", f"languages has no {language!r}, which is served")
    for value in values.get("temperature", ()):
        if value.strip() and not _is_zero(value):
            raise _mistake(
                "temperature", f"temperature is {quoted(value)}; want 0: nothing is sampled here"
            )
    for name in ("prompt", "known_speaker_names", "known_speaker_references"):
        if any(value.strip() for value in values.get(name, ())):
            raise _mistake(name, f"{name} is not understood here; leave it out")
    for name in filter(lambda name: name.startswith(CHUNKING), values):
        short, given = name[:100], values[name][-1]
        if name not in (CHUNKING, f"{CHUNKING}[type]"):
            raise _mistake(short, f"{short} cannot be set; segments end as the server's do")
        if given not in CHUNKINGS:
            raise _mistake(short, f"{short} is {quoted(given)}; want auto or server_vad")


def _is_zero(value: str) -> bool:
    try:
        return float(value) == 0.0
    except ValueError:
        return False


def _mistake(field: str, text: str) -> Refusal:
    return Refusal(400, text, param=field)


def check_model(name: str, models: Sequence[str]) -> None:
    """Refuse a model that is not served."""
    if name not in models:
        text = f"The model {quoted(name)} does not exist. Served: {', '.join(models)}."
        raise Refusal(404, text, param="model", code="model_not_found")
