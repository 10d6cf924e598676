"""What an agent reads of providers of metrics, at a local server that plays them."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.metrics.manifest import SHIPPED, load_manifests
from agent.metrics.reading import MetricProviders, NoSuchProvider, ReadFailed
from agent.settings import AgentSettings, SettingsError
from workflows.contracts.tasks import ReadingQuestion

PROMETHEUS: Final[dict[str, Any]] = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0.25"]}]},
}
DATADOG = {"status": "ok", "series": [{"pointlist": [[1, 0.5], [2, 0.75], [3, None]]}]}
CLOUDWATCH: Final = {"MetricDataResults": [{"Id": "q", "Timestamps": [1], "Values": [12.5], "StatusCode": "Complete"}]}


@dataclass(slots=True)
class Played:
    """A server that answers everything alike, and what it was asked."""

    url: str = ""
    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    paths: list[str] = field(default_factory=list[str])
    seen: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.paths[-1]).query)


@pytest.fixture
def played() -> Iterator[Played]:
    plays = Played()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plays.paths.append(self.path)
            plays.seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(plays.status)
            for name, value in plays.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(plays.body.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    plays.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield plays
    server.shutdown()
    thread.join()
    server.server_close()


def asked(provider: str, **fields: object) -> ReadingQuestion:
    about = {"service": "shop", "environment": "production", "version": "1.4.2"}
    return ReadingQuestion.model_validate({"provider": provider, **about, **fields})


async def value(question: ReadingQuestion, folder: Path | None = None) -> float:
    return await MetricProviders(load_manifests(folder)).value(question, 5)


async def test_prometheus(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", played.url)
    monkeypatch.setenv("PROMETHEUS_AUTHORIZATION", "Bearer t0ken")
    played.body = json.dumps(PROMETHEUS)
    query = 'sum(rate(errors{job="shop", note="{version} ${HOME}"}[5m]))'
    assert await value(asked("prometheus", query=query)) == 0.25
    assert urlsplit(played.paths[-1]).path == "/api/v1/query"
    assert played.query()["query"] == [query], "what is asked is not looked through again"
    assert played.seen[-1]["authorization"] == "Bearer t0ken"
    played.body = json.dumps(PROMETHEUS | {"data": {"result": []}})
    with pytest.raises(ReadFailed, match="prometheus has no value for this query"):
        await value(asked("prometheus", query="up"))
    played.body = json.dumps({"data": {"result": [{"value": [1, "NaN"]}]}})
    with pytest.raises(ReadFailed, match="says no number"):
        await value(asked("prometheus", query="0/0"))


async def test_datadog(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATADOG_URL", played.url)
    monkeypatch.setenv("DATADOG_API_KEY", "a")
    monkeypatch.setenv("DATADOG_APPLICATION_KEY", "b")
    played.body = json.dumps(DATADOG)
    assert await value(asked("datadog", query="avg:shop.errors{env:production}")) == 0.75
    query = played.query()
    assert int(query["to"][0]) - int(query["from"][0]) == 300
    assert (played.seen[-1]["dd-api-key"], played.seen[-1]["dd-application-key"]) == ("a", "b")


async def test_cloudwatch(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_CLOUDWATCH", "1")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", played.url)
    played.headers, played.body = {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(CLOUDWATCH)
    assert await value(asked("cloudwatch", query="SELECT SUM(Errors) FROM Shop")) == 12.5
    assert "Credential=AKIA/" in played.seen[-1]["authorization"]
    played.body = json.dumps({"MetricDataResults": []})
    with pytest.raises(ReadFailed, match="has no value"):
        await value(asked("cloudwatch", query="SELECT 1"))
    played.status, played.body = 400, "{}"
    with pytest.raises(ReadFailed, match="cloudwatch did not say"):
        await value(asked("cloudwatch", query="SELECT SUM(Errors) FROM Shop"))
    with pytest.raises(ReadFailed, match=r"params\.period must be seconds"):
        await value(asked("cloudwatch", query="SELECT 1", params={"period": "soon"}))


async def test_any_json(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_URL", f"{played.url}/stats")
    played.body = json.dumps({"checkout": {"p99": 412}})
    assert await value(asked("http-json", query="checkout.p99")) == 412
    assert played.query()["version"] == ["1.4.2"]
    for query, body, why in (
        ("checkout", "{}", "has no value"),
        ("checkout", '{"checkout": true}', "says no number"),
        ("checkout", '{"checkout": "a lot"}', "says no number"),
        ("che[", "{}", "does not suit the expression"),
        ("checkout", "<html>", "answered no JSON"),
        ("checkout", "[" * 100_000, "answered no JSON"),
        ("checkout", "x" * (2 << 20), "answered more than"),
    ):
        played.body = body
        with pytest.raises(ReadFailed, match=why):
            await value(asked("http-json", query=query))
    played.status = 403
    with pytest.raises(ReadFailed, match="http-json answered 403"):
        await value(asked("http-json", query="a"))


async def test_a_provider_leads_nowhere_else(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a redirect nor anything that a service's definition says moves the agent to another address."""
    monkeypatch.setenv("METRICS_URL", f"{played.url}/stats")
    played.status, played.headers = 302, {"Location": f"{played.url}/latest/meta-data"}
    with pytest.raises(ReadFailed, match="answered 302"):
        await value(asked("http-json", query="a", params={"url": "http://169.254.169.254/"}))
    assert [urlsplit(path).path for path in played.paths] == ["/stats"]


async def test_what_an_agent_has_not_another_one_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    with pytest.raises(NoSuchProvider, match="has no provider graphite"):
        await value(asked("graphite"))
    with pytest.raises(NoSuchProvider, match="prometheus lacks PROMETHEUS_URL"):
        await value(asked("prometheus"))
    monkeypatch.setenv("PROMETHEUS_URL", "http://127.0.0.1:1")
    with pytest.raises(ReadFailed, match="does not answer"):
        await value(asked("prometheus"))


async def test_an_operator_adds_providers(played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_URL", played.url)
    played.body = '{"n": [3, 4]}'
    (tmp_path / "own.yml").write_text(
        'name: own\nrequest: {url: "${OWN_URL}/x", query: {q: "{query} {params.team}"}}\nvalue: "max(n)"\n'
    )
    assert await value(asked("own", query="a", params={"team": "b"}), tmp_path) == 4
    assert played.query()["q"] == ["a b"]
    assert set(load_manifests(None)) == {path.stem for path in SHIPPED.iterdir()} == {
        "prometheus", "datadog", "cloudwatch", "http-json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('name: own\nrequest: {url: "http://{query}/"}\nvalue: a\n', "must hold nothing of the question"),
        ('name: own\nrequest: {url: "http://a/", headers: {H: "{params.x}"}}\nvalue: a\n', "nothing of the question"),
        ('name: own\nrequest: {url: "http://a/"}\nvalue: "a["\n', "is no JMESPath expression"),
        ("name: own\nvalue: a\n", "must have either request or cloudwatch"),
        ('name: own\nrequest: {url: "http://a/"}\n', "must have either value or value_of_query"),
    ],
)
def test_a_manifest_that_cannot_be_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "own.yml").write_text(text)
    with pytest.raises(SettingsError, match=why):
        load_manifests(tmp_path)
    with pytest.raises(SettingsError, match="is no folder"):
        MetricProviders.load(AgentSettings(metrics_dir=tmp_path / "gone"))
