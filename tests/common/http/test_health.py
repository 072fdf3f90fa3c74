"""Liveness, readiness with reasons, models."""


async def test_ready_until_a_model_is_not(suite) -> None:
    made = suite()
    async with made.client() as client:
        assert (await client.get("/livez")).json() == {"alive": True}
        ready = await client.get("/readyz")
        made.models.reason = "graph digest differs"
        unready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert unready.status_code == 503
    assert unready.json()["models"]["echo"] == {"ready": False, "version": 3, "reason": "graph digest differs"}


async def test_going_down_is_unready_but_serving(suite) -> None:
    made = suite()
    made.app.gate.leaving = True
    async with made.client() as client:
        ready, live, work = [await client.get(p) for p in ("/readyz", "/livez", "/t/empty")]
        oip = await client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()["reason"]) == (503, "going down")
    assert (live.status_code, work.status_code, oip.status_code) == (200, 200, 503)
    assert work.headers["connection"] == "close"


async def test_models(suite) -> None:
    async with suite().client() as client:
        listed = (await client.get("/v1/models")).json()["models"]
        detail = (await client.get("/v1/models/echo")).json()
        unknown = await client.get("/v1/models/nobody")
    assert [m["name"] for m in listed] == ["echo"]
    assert detail["summary"] == listed[0]
    assert detail["card"]["signature"]["inputs"][0]["name"] == "in_float32"
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:kithara:problem:unknown")
