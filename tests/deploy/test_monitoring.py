"""Dashboard and alerts against the metrics of a server, and against the schemas of Grafana and Prometheus."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Literal

import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.http.access import Access
from server.http.app import Settings
from server.tokens.file import Token, digest
from server.tokens.keyring import Keyring
from tests.places import REPOSITORY
from tests.server.scripted import ScriptedEngine, pcm, request, serving

DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "deploy" / "grafana-rill.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load(
    (REPOSITORY / "deploy" / "prometheus-alerts.yml").read_text()
)
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    },
    **{
        variable["name"]: variable["definition"]
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    },
    **{rule["alert"]: rule["expr"] for rule in RULES},
}
SCRAPED = {"instance", "job"}  # labels that Prometheus adds
NAME = r"\b(?:rill|process)_\w+|\bup\b"
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*"}
# Functions and keywords of PromQL that the queries use.
KNOWN = set(
    [
        "sum",
        "min",
        "max",
        "rate",
        "increase",
        "by",
        "on",
        "le",
        "time",
        "histogram_quantile",
        "label_values",
    ]
)


async def measured() -> dict[str, set[str]]:
    """Return the labels of each metric of a server that has seen everything there is to count."""
    token = Token(
        sha256=digest("one"), streams=1, metrics=True, expires=datetime(2100, 1, 1, tzinfo=UTC)
    )
    access = Access(Keyring({"desk": token}))
    async with serving(ScriptedEngine(2), settings=Settings(access)) as service:
        async with connect(f"{service.url}&token=one") as connection:
            await connection.send(pcm(0.13))
            await connection.recv()
            with pytest.raises(InvalidStatus):
                await connect(f"{service.url}&token=one")
            await connection.send(b"")
            await connection.wait_closed()
        await service.until_free()
        reply = await request(service, "GET", "/metrics?token=one")
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def without_strings(query: str) -> str:
    return re.sub(r'"[^"]*"', '""', query)


async def test_every_metric_and_label_of_a_query_is_one_of_the_server() -> None:
    known = await measured()
    for name, query in QUERIES.items():
        bare = without_strings(query)
        metrics = set(re.findall(NAME, bare))
        assert metrics and metrics <= known.keys(), (name, metrics - known.keys())
        labels = set().union(*(known[metric] for metric in metrics)) | SCRAPED
        for metric, selector in re.findall(rf"({NAME})\{{([^}}]*)\}}", bare):
            selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert selected <= known[metric] | SCRAPED, (name, metric, selected)
        for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", bare):
            assert {each.strip() for each in grouped.split(",")} <= labels, (name, grouped)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_whole_and_has_no_word_that_is_unknown(name: str) -> None:
    query = QUERIES[name]
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    assert "$" not in query
    bare = without_strings(query)
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)
    without_labels = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) \([^)]*\)", "", bare)
    words = set(re.findall(r"[a-z_]\w*", without_labels)) - set(re.findall(NAME, bare))
    if name in ("instance", "model"):  # label_values(metric, label)
        words.discard(name)
    assert words <= KNOWN, words - KNOWN
    for counter in re.findall(r"(rill_\w+_total|process_cpu_seconds_total|\w+_bucket)", bare):
        assert re.search(rf"(rate|increase)\({counter}\b", bare), f"{counter} is a counter"


def test_labels_of_legends_are_those_that_the_query_keeps() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            labels = {each.strip() for group in kept for each in group.split(",")}
            if not kept:
                labels = {"instance", "model"}
            assert wanted <= labels, panel["title"]


# The schema of Grafana's classic model, kinds/dashboard/dashboard_kind.cue in its repository.


class Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object whose keys are all in the schema."""


class Source(Strict):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class Place(Strict):
    h: int
    w: int
    x: int
    y: int


class Step(Strict):
    color: str
    value: float | None = None


class Thresholds(Strict):
    mode: Literal["absolute", "percentage"]
    steps: list[Step]


class Color(Strict):
    mode: Literal["thresholds", "palette-classic"]


class Fields(Strict):
    unit: str
    thresholds: Thresholds
    color: Color
    min: float | None = None
    custom: dict[str, Any] = {}


class FieldConfig(Strict):
    defaults: Fields
    overrides: list[Any]


class Target(Strict):
    refId: str
    datasource: Source
    editorMode: Literal["code"]
    range: bool
    instant: bool
    expr: str
    legendFormat: str


class Panel(Strict, tag_field="schema", tag="panel"):
    id: int
    type: Literal["stat", "timeseries"]
    title: str
    description: str
    datasource: Source
    gridPos: Place
    transparent: bool
    repeatDirection: Literal["h", "v"]
    transformations: list[Any]
    fieldConfig: FieldConfig
    options: dict[str, Any]
    targets: list[Target]


class Row(Strict, tag_field="schema", tag="row"):
    id: int
    type: Literal["row"]
    title: str
    collapsed: bool
    panels: list[Any]
    gridPos: Place


class Variable(Strict):
    id: str
    name: str
    label: str
    type: Literal["query", "datasource"]
    hide: Literal[0, 1, 2]
    skipUrlSync: bool
    index: int
    state: Literal["NotStarted"]
    query: str | dict[str, str]
    global_: bool = msgspec.field(name="global")
    datasource: Source | None = None
    # Of the type "query".
    definition: str = ""
    includeAll: bool = False
    multi: bool = False
    allValue: str = ""
    current: dict[str, Any] = {}
    refresh: Literal[0, 1, 2] = 0
    sort: int = 0


class Variables(Strict):
    variables: list[Variable] = msgspec.field(name="list")


class Dashboard(Strict):
    title: str
    uid: str
    description: str
    tags: list[str]
    style: Literal["dark", "light"]
    timezone: str
    editable: bool
    graphTooltip: Literal[0, 1, 2]
    schemaVersion: Literal[36]
    version: int
    refresh: str
    time: dict[Literal["from", "to"], str]
    annotations: dict[str, list[Any]]
    links: list[Any]
    templating: Variables
    panels: list[dict[str, Any]]


def test_the_dashboard_has_the_shape_that_grafana_documents() -> None:
    dashboard = msgspec.convert(DASHBOARD, Dashboard)
    assert 8 <= len(dashboard.uid) <= 40
    for panel in dashboard.panels:
        kind = "row" if panel["type"] == "row" else "panel"
        msgspec.convert({"schema": kind, **panel}, Panel | Row)
    ids = [panel["id"] for panel in dashboard.panels]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert "value" not in steps[0]  # from minus infinity
        assert [step["value"] for step in steps[1:]] == sorted(s["value"] for s in steps[1:])


def test_no_panel_covers_another_one() -> None:
    places = {
        panel["title"]: msgspec.convert(panel["gridPos"], Place) for panel in DASHBOARD["panels"]
    }
    for title, place in places.items():
        assert place.x + place.w <= 24, title
    for (first, a), (second, b) in combinations(places.items(), 2):
        beside = a.x + a.w <= b.x or b.x + b.w <= a.x
        above = a.y + a.h <= b.y or b.y + b.h <= a.y
        assert beside or above, (first, second)


class Rule(Strict):
    alert: str
    expr: str
    labels: dict[Literal["severity"], Literal["critical", "warning", "info"]]
    annotations: dict[Literal["summary", "description"], str]
    for_: str = msgspec.field(name="for", default="0s")


def test_alerts_have_the_shape_that_prometheus_documents() -> None:
    assert ALERTS.keys() == {"groups"}
    for group in ALERTS["groups"]:
        assert group.keys() == {"name", "rules"}
    rules = [msgspec.convert(rule, Rule) for rule in RULES]
    assert len({rule.alert for rule in rules}) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"\d+[smh]", rule.for_)
        assert rule.annotations.keys() == {"summary", "description"}
        text = " ".join(rule.annotations.values())
        labels = set(re.findall(r"\$labels\.(\w+)", text))
        if kept := re.search(r"sum by \(([^)]*)\)|min by \(([^)]*)\)", rule.expr):
            grouped = (kept[1] or kept[2]).split(",")
            assert labels <= {each.strip() for each in grouped}, rule.alert
        functions = set(re.findall(r"\| (\w+)", text))
        assert functions <= {"humanizePercentage", "humanizeDuration"}
