"""The container file, the compose file and the Kubernetes manifests, against the server they deploy."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from server import options
from server.flags import make_parser
from server.limits import Limits
from tests.deploy.container import expanded, read
from tests.places import REPOSITORY
from tests.server.scripted import ScriptedEngine, serving

DEPLOY = REPOSITORY / "deploy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PORT = 3030
IMAGE = "rill"
ENDING_SECONDS = 30  # what the end of the streams may take after the drain: docs/operations.md
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVERS = {name: each for name, each in COMPOSE["services"].items() if each["image"] == "rill"}
MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest
    for manifest in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]
ENVIRONMENT: dict[str, str] = {each["name"]: each["value"] for each in CONTAINER["env"]}


INSTRUCTIONS = read(DEPLOY / "Containerfile")


def arguments(instruction: str) -> list[str]:
    return [each.rest for each in INSTRUCTIONS if each.name == instruction]


def image_environment(**given: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in " ".join(arguments("ENV")).split()]
    return {name: expanded(value, given) for name, _, value in pairs}


def served_options(environment: dict[str, str]) -> options.Options:
    """Return what the server makes of an environment; raises where it refuses it."""
    parser = make_parser(environment)
    return options.read(parser.parse_args([]), environment)


def test_the_image_installs_the_core_lock_and_pyav_and_never_torch() -> None:
    lock = (REPOSITORY / "requirements" / "dev.txt").read_text()
    pyav = next(line for line in lock.splitlines() if line.startswith("av=="))
    installs = [run for run in arguments("RUN") if " install " in run]
    assert [run.split("install ")[1] for run in installs] == [
        f"--no-cache-dir --requirement requirements/core.txt {pyav}",
        "--no-cache-dir --no-deps .",
    ]
    used = " ".join(each.rest for each in INSTRUCTIONS).replace("/core.txt", "")
    used += (REPOSITORY / "requirements" / "core.txt").read_text()
    assert not re.search(r"\btorch\b|requirements/(?!\s)|\[(train|dev|load)\b", used)


def test_the_image_gets_what_the_wheel_is_made_of_and_all_of_it_exists() -> None:
    expand = functools.partial(expanded, variables={})
    copies = [expand(rest).split() for rest in arguments("COPY") if rest[:6] != "--from"]
    sources = {source for copy in copies for source in copy[:-1]}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = {*wheel["packages"], "models", "README.md", "hatch_build.py"}
    assert named | {*PROJECT["project"]["license-files"], "pyproject.toml"} <= sources
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []


def test_the_image_serves_a_model_that_is_baked_in_under_the_name_of_the_bundled_one() -> None:
    assert served_options(image_environment()).models == {"general": None}
    baked = served_options(image_environment(MODEL="runs/fr/model/fr"))
    (copy,) = (each for each in arguments("COPY") if "MODEL" in each)
    source, target = expanded(copy, {"MODEL": "runs/fr/model/fr"}).split()
    assert source == "runs/fr/model/fr"
    assert baked.models == {"general": Path(target)}
    assert COMPOSE["x-server"]["build"]["args"] == {"MODEL": "${MODEL:-}"}


def test_both_stages_have_the_same_python_and_it_is_one_that_is_supported() -> None:
    first, second = (rest.split()[0] for rest in arguments("FROM"))
    assert first == second
    supported = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert first == f"docker.io/library/python:{supported}-slim"


def test_the_image_serves_everybody_on_the_servers_own_port_and_not_as_root() -> None:
    chosen = served_options(image_environment())
    assert (chosen.host, chosen.port) == ("0.0.0.0", PORT)
    assert served_options({}).port == PORT
    assert arguments("EXPOSE") == [str(PORT)]
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    (user,) = arguments("USER")
    assert int(user.split(":")[0]) > 0
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["python", "-m", "server"]


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """Answer any GET on a port with a status; yields the port and the paths that were asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield http.server_port, paths
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 503])
def test_the_images_health_check_asks_healthz_and_believes_it(status: int) -> None:
    (check,) = arguments("HEALTHCHECK")
    command = json.loads(check.split("CMD", 1)[1])
    assert command[0] == "python"
    with answering(status) as (port, paths):
        run = subprocess.run(
            [sys.executable, *command[1:]],
            env={"RILL_PORT": str(port)},
            stderr=subprocess.DEVNULL,
            check=False,
        )
    assert (run.returncode == 0) == (status == 200)
    assert paths == ["/healthz"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_composed_server_runs_the_image_and_may_drain(name: str) -> None:
    server = SERVERS[name]
    assert server["image"] == IMAGE
    assert (DEPLOY / server["build"]["context"]).resolve() == REPOSITORY
    assert REPOSITORY / server["build"]["dockerfile"] == DEPLOY / "Containerfile"
    drain = served_options(server["environment"]).limits.drain_seconds
    assert int(server["stop_grace_period"].removesuffix("s")) >= drain + ENDING_SECONDS
    assert server["read_only"] and "/tmp" in server["volumes"]


def test_the_composed_balancer_knows_both_servers_and_waits_for_their_health() -> None:
    balancer = COMPOSE["services"]["balancer"]
    assert len(SERVERS) == 2
    assert sorted(balancer["environment"].values()) == [f"{name}:{PORT}" for name in SERVERS]
    assert balancer["depends_on"] == dict.fromkeys(SERVERS, {"condition": "service_healthy"})
    presets = re.findall(r"presetenv (\w+) \"(.+)\"", (DEPLOY / "haproxy.cfg").read_text())
    assert balancer["environment"].keys() <= dict(presets).keys()
    assert dict(presets)["RILL_BALANCER"] == f"0.0.0.0:{PORT}"
    assert balancer["ports"] == [f"{PORT}:{PORT}"]
    (volume,) = balancer["volumes"]
    assert (DEPLOY / volume.split(":")[0]).resolve() == DEPLOY / "haproxy.cfg"


def test_the_balancers_patience_is_longer_than_the_servers() -> None:
    text = (DEPLOY / "haproxy.cfg").read_text()
    timeouts = {
        name: int(value) * {"s": 1, "h": 3600}[unit]
        for name, value, unit in re.findall(r"timeout (\S+) (\d+)([sh])", text)
    }
    limits = Limits()
    for name in ("client", "tunnel"):
        assert timeouts[name] > limits.idle_seconds + 2 * limits.close_seconds
    assert timeouts["http-request"] > limits.handshake_seconds
    assert min(timeouts["client-fin"], timeouts["server-fin"]) > 2 * limits.close_seconds


def test_kubernetes_runs_the_image_on_its_port_without_root() -> None:
    assert CONTAINER["image"] == IMAGE
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": PORT}]
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    assert {mount["mountPath"] for mount in CONTAINER["volumeMounts"]} == {"/tmp"}


def test_kubernetes_gives_the_server_no_variable_that_it_does_not_understand() -> None:
    # A Service named rill would put RILL_PORT=tcp://... into every container of its namespace.
    assert POD["spec"]["enableServiceLinks"] is False
    chosen = served_options({**image_environment(), **ENVIRONMENT})
    assert chosen.port == PORT
    flags = {
        f"RILL_{action.dest.upper()}"
        for action in make_parser({})._actions  # there is no public way to list them
    }
    assert ENVIRONMENT.keys() <= flags


def test_kubernetes_and_compose_answer_to_the_names_that_they_give_the_server() -> None:
    chosen = served_options({**image_environment(), **ENVIRONMENT})
    service = MANIFESTS["Service"]["metadata"]["name"]
    names = [service, f"{service}.here.svc", f"{service}.here.svc.cluster.local", "10.244.1.7"]
    assert all(chosen.hosts.allow(name) for name in names)
    assert not chosen.hosts.allow("evil.example")
    for name, server in SERVERS.items():
        given = {key: value for key, value in server["environment"].items() if value is not None}
        hosts = served_options({**image_environment(), **given}).hosts
        assert all(hosts.allow(each) for each in (name, "127.0.0.1", "localhost"))


def test_kubernetes_waits_for_the_drain() -> None:
    command = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    drain = served_options(ENVIRONMENT).limits.drain_seconds
    least = int(command[1]) + drain + ENDING_SECONDS
    assert POD["spec"]["terminationGracePeriodSeconds"] >= least
    limits = Limits()
    assert limits.stall_seconds + 3 * limits.close_seconds <= ENDING_SECONDS


def test_every_selector_finds_the_pods_and_the_autoscaler_the_deployment() -> None:
    labels = POD["metadata"]["labels"]
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert MANIFESTS[kind]["spec"]["selector"]["matchLabels"] == labels
    scaler = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == MANIFESTS["Deployment"]["metadata"]["name"]
    assert scaler["scaleTargetRef"]["kind"] == "Deployment"
    assert "replicas" not in MANIFESTS["Deployment"]["spec"]


def test_the_autoscaler_adds_a_pod_before_all_channels_are_in_use() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    target = metric["pods"]["target"]
    assert target["type"] == "AverageValue"
    assert 0 < int(target["averageValue"]) < int(ENVIRONMENT["RILL_SLOTS"])


def test_uploads_of_all_slots_fit_into_the_spool() -> None:
    chosen = served_options(ENVIRONMENT)
    assert chosen.slots is not None
    (volume,) = POD["spec"]["volumes"]
    spool = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) << 30
    assert chosen.slots * chosen.limits.upload_bytes <= spool


async def test_what_is_probed_and_scraped_is_what_a_server_answers() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    check = re.search(r"httpchk GET (\S+)", (DEPLOY / "haproxy.cfg").read_text())
    assert check
    ready = CONTAINER["readinessProbe"]["httpGet"]["path"]
    assert check[1] == ready
    annotations = POD["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(PORT)
    async with serving(ScriptedEngine(1), slots=1) as service:
        assert await service.get(ready) == (200, "ready\n")
        alive = CONTAINER["livenessProbe"]["httpGet"]["path"]
        assert await service.get(alive) == (200, "ok\n")
        status, text = await service.get(annotations["prometheus.io/path"])
        assert status == 200
        assert f"# TYPE {name} gauge" in text
