"""Metrics and access lines."""

from prometheus_client.parser import text_string_to_metric_families


async def samples(client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = (await client.get("/metrics")).text
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


async def test_requests_are_counted_by_route_and_health_is_not(suite) -> None:
    async with suite(in_flight=7).client() as client:
        for _ in range(3):
            await client.get("/v1/models/echo")
        await client.get("/v1/models/nobody")
        await client.get("/some/where")
        await client.head("/t/empty")
        await client.get("/v2/models/echo/versions/3")
        await client.get("/livez")
        found = await samples(client)
    counts = {key[1]: value for key, value in found.items() if key[0] == "kithara_request_seconds_count"}
    assert counts == {
        labels(method="GET", route="/v1/models/{name}", status="200"): 3,
        labels(method="GET", route="/v1/models/{name}", status="404"): 1,
        labels(method="GET", route="unmatched", status="404"): 1,
        labels(method="GET", route="/t/empty", status="200"): 1,
        labels(method="GET", route="/v2/models/{model_name}/versions/{model_version}", status="200"): 1,
    }
    assert found["kithara_in_flight", ()] == 0
    assert found["kithara_model_ready", labels(model="echo")] == 1
    assert found["kithara_engine_queued", labels(model="echo@3")] == 2
    assert found["kithara_engine_rows_total", labels(model="echo@3")] == 7


async def test_latency_falls_into_its_bucket(suite) -> None:
    async with suite(seconds=0.03).client() as client:
        await client.get("/t/slow")
        found = await samples(client)
    route = {"method": "GET", "route": "/t/slow", "status": "200"}
    assert found["kithara_request_seconds_bucket", labels(**route, le="0.025")] == 0
    assert found["kithara_request_seconds_bucket", labels(**route, le="+Inf")] == 1
    assert found["kithara_request_seconds_sum", labels(**route)] >= 0.03


async def test_one_access_line_per_request(suite, json_logs) -> None:
    made = suite(access_log=True, rate_limit=1.0)
    with json_logs() as logged:
        async with made.client() as client:
            await client.get("/t/empty?secret=1", headers={"x-request-id": "r-1"})
            await client.get("/t/empty")
            await client.get("/readyz")
        made.app.telemetry.flush()
        lines = logged()
    first, second = [line for line in lines if line["event"] == "request"]
    assert (first["request_id"], first["method"], first["path"], first["status"]) == ("r-1", "GET", "/t/empty", 200)
    assert (first["route"], second["route"], second["status"]) == ("/t/empty", "refused", 429)
    assert first["client"] == "127.0.0.1"
    (refused,) = [line for line in lines if line["event"] == "refused"]
    assert (refused["reason"], refused["n"]) == ("too-many-requests", 1)
