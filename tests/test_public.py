"""What each package says is public is there, and nothing else public is."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import rwsstore

PACKAGES = sorted(
    f"rwsstore.{found.name}" for found in pkgutil.iter_modules(rwsstore.__path__) if found.ispkg
)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_just_what_it_says(name: str) -> None:
    package = importlib.import_module(name)
    said = set(package.__all__)
    assert len(said) == len(package.__all__)
    assert all(hasattr(package, public) for public in said)
    found = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_") and not isinstance(value, ModuleType)
    }
    assert found <= said


@pytest.mark.parametrize("name", PACKAGES)
def test_every_module_says_what_it_exports(name: str) -> None:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        assert hasattr(module, "__all__"), found.name
        assert all(hasattr(module, public) for public in module.__all__), found.name
