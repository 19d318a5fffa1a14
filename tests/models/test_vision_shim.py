import subprocess
import sys
import threading

from rwsstore.models.vision_shim import import_torchvision


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=300)


def test_a_fresh_process_imports_it_in_many_threads_at_once() -> None:
    _run(
        "import threading\n"
        "from rwsstore.models.vision_shim import import_torchvision\n"
        "found = []\n"
        "tasks = [threading.Thread(target=lambda: found.append(import_torchvision()))"
        " for _ in range(8)]\n"
        "[task.start() for task in tasks]; [task.join() for task in tasks]\n"
        "assert len(found) == 8 and len({id(module) for module in found}) == 1\n"
        "assert found[0].models.resnet18 and found[0].datasets.CIFAR10\n"
        "import torchvision.transforms.v2\n"
    )


def test_it_can_be_called_again() -> None:
    found = []
    tasks = [threading.Thread(target=lambda: found.append(import_torchvision())) for _ in range(2)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert found[0] is found[1] is sys.modules["torchvision"]
