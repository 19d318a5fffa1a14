"""Tracing a network while others predict with it, and trace it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from rwsstore.models.graph import trace
from tests.training.tiny import classifier, two_convs


class _Events:
    """Not copied with the network."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __deepcopy__(self, _memo: object) -> "_Events":
        return self


class _Waiting(nn.Module):
    """Stops in the middle of its forward pass, but only while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
        self.events = _Events()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if type(x) is not Tensor:
            self.events.reached.set()
            assert self.events.go.wait(30)
        found: Tensor = self.second(x) + self.second.weight.sum()
        return found


def test_others_use_a_network_while_it_is_traced() -> None:
    model, other, images = _Waiting().eval(), two_convs(), torch.rand(2, 3, 9, 9)
    before, elsewhere = model(images), other(images)
    with ThreadPoolExecutor(1) as threads:
        graph = threads.submit(trace, model)
        assert model.events.reached.wait(30)
        try:
            assert torch.equal(model(images), before)
            assert torch.equal(other(images), elsewhere)
        finally:
            model.events.go.set()
        names = [str(node.target) for node in graph.result().nodes if node.op == "call_module"]
    assert names == ["first", "second"]


def test_many_trace_at_once_and_leave_modules_as_they_were() -> None:
    call, get = nn.Module.__call__, nn.Module.__getattr__
    networks = [classifier("resnet18").eval() for _ in range(4)]
    start = threading.Barrier(len(networks))

    def one(network: nn.Module) -> int:
        start.wait(30)
        return len(trace(network).nodes)

    with ThreadPoolExecutor(len(networks)) as threads:
        found = set(threads.map(one, networks))
    assert len(found) == 1
    assert (nn.Module.__call__, nn.Module.__getattr__) == (call, get)
