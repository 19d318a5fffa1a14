from pathlib import Path

import torch

from rwsstore import __version__
from rwsstore.speed.benching import this_machine


def test_it_says_what_torch_computes_with() -> None:
    machine = this_machine()
    assert machine.threads == torch.get_num_threads()
    assert machine.torch == torch.__version__
    assert machine.rwsstore == __version__
    assert machine.cores >= 1
    assert machine.processor


def test_the_processor_is_what_linux_calls_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Quick 9000\nmodel name\t: Quick 9000\n")
    assert this_machine(cpuinfo=cpuinfo).processor == "Quick 9000"


def test_other_systems_have_a_processor_too(tmp_path: Path) -> None:
    assert this_machine(cpuinfo=tmp_path / "none").processor
