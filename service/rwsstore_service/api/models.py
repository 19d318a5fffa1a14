"""The served model."""

__all__ = ["router"]

from fastapi import APIRouter

from rwsstore_service.api.answers import model_answer
from rwsstore_service.api.contract import ModelAnswer, ModelList
from rwsstore_service.api.requests import HostDep, ReaderDep, ServiceDep, StrictRoute
from rwsstore_service.wire.problems import problem_responses

router = APIRouter(prefix="/v1/models", tags=["Models"], route_class=StrictRoute)

_READ = ("unauthorized", "rate-limited", "overloaded")


@router.get("", summary="List models", responses=problem_responses("invalid-request", *_READ))
async def list_models(service: ServiceDep, _reader: ReaderDep) -> ModelList:
    """A service has one clean model; the list is for clients that do not know its name."""
    hosts = service.hosts.values()
    return ModelList(models=tuple(model_answer(host, service.settings) for host in hosts))


@router.get(
    "/{model}",
    summary="Describe a model",
    responses=problem_responses("unknown-model", "invalid-request", *_READ),
)
async def describe_model(service: ServiceDep, host: HostDep, _reader: ReaderDep) -> ModelAnswer:
    """Classes, input, fingerprints of the clean weights, and the active patch set."""
    return model_answer(host, service.settings)
