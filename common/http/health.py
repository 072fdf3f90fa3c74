"""Is the process alive, which models are ready and why not, what do they know; metrics."""

from litestar import MediaType, Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST

from common.http.admission import Gate
from common.http.bodies import AnyRequest
from common.http.telemetry import Telemetry
from common.runtime.models import Models
from contracts.models import Liveness, ModelDetail, ModelList, Readiness


def routes(models: Models, gate: Gate, telemetry: Telemetry) -> Router:
    """The routes that every composition of domains has."""

    @get("/livez", tags=["health"], sync_to_thread=False)
    def livez() -> Liveness:
        """The process runs its event loop."""
        return Liveness()

    @get("/readyz", tags=["health"], sync_to_thread=False, opt={"also": {503: Readiness}})
    def readyz() -> Response[Readiness]:
        """Whether every model answers, and the reason of each that does not."""
        status = models.status()
        reason = "going down" if gate.leaving or gate.closed else None
        ready = reason is None and all(model.ready for model in status.values())
        return Response(Readiness(ready=ready, reason=reason, models=status), status_code=200 if ready else 503)

    @get("/metrics", tags=["health"], sync_to_thread=False, media_type=MediaType.TEXT)
    def metrics() -> Response[bytes]:
        """Prometheus metrics."""
        return Response(telemetry.render(), media_type=CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8"))

    @get("/v1/models", tags=["models"], sync_to_thread=False)
    def list_models() -> ModelList:
        """Every served model with its version and readiness."""
        return ModelList(models=models.summaries())

    @get("/v1/models/{name:str}", tags=["models"], sync_to_thread=False)
    def show_model(request: AnyRequest) -> ModelDetail:
        """One model: its card with paper, data, figures and limits."""
        return models.detail(request.path_params["name"])

    return Router(path="/", route_handlers=[livez, readyz, metrics, list_models, show_model])
