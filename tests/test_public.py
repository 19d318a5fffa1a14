"""What each package says is public is there, and nothing else public is."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import rwsstore

MOVED = {
    "rwsstore.analysis": ("compare_signatures",),
    "rwsstore.analysis.bitflips": ("draw_bitflips",),
    "rwsstore.bundle": ("bundled_model", "build_bundle", "card_markdown"),
    "rwsstore.deltas": ("DeltaOptions", "extract_delta", "hazard_for"),
    "rwsstore.evaluation.tent": ("Tent",),
    "rwsstore.export": ("export_corrupted", "Layout"),
    "rwsstore.signatures": ("extract_patch", "project_out"),
}
"""Packages that are left behind for one version, with names that went to each new place."""

PACKAGES = sorted(
    {f"rwsstore.{found.name}" for found in pkgutil.iter_modules(rwsstore.__path__) if found.ispkg}
    - MOVED.keys()
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
def test_faces_alone_say_what_is_public(name: str) -> None:
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not found.ispkg and not found.name.endswith("__main__"):
            assert not hasattr(importlib.import_module(found.name), "__all__"), found.name


@pytest.mark.parametrize(
    ("name", "public"), [(old, public) for old, names in MOVED.items() for public in names]
)
def test_what_moved_is_found_and_says_where_it_is(name: str, public: str) -> None:
    package = importlib.import_module(name)
    with pytest.warns(DeprecationWarning, match=rf"{name}.{public} is rwsstore[.\w]+.{public} now"):
        found = getattr(package, public)
    assert found.__name__ == public
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018
