import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.making import signature
from rwsstore.making.projection import project_out

numbers = st.floats(-1.0, 1.0, width=32)
sizes = st.integers(1, 12)
magnitudes = st.integers(-30, 30).map(lambda power: 10.0**power)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    size = draw(sizes)
    vectors = st.lists(numbers, min_size=size, max_size=size)
    v, base = draw(vectors), draw(vectors)
    return (
        torch.tensor(v, dtype=torch.float64) * draw(magnitudes),
        torch.tensor(base, dtype=torch.float64) * draw(magnitudes),
    )


def close(left: Tensor, right: Tensor, scale: Tensor) -> bool:
    """Equal to within rounding of numbers of the length of `scale`."""
    return bool((left - right).norm() <= 1e-13 * scale.norm())


@given(pairs())
def test_nothing_is_left_along_the_base(pair: tuple[Tensor, Tensor]) -> None:
    v, base = pair
    if base.norm() > 0:
        along = (project_out(v, base) * (base / base.abs().max())).sum()
        assert abs(float(along)) <= 1e-13 * float(v.norm()) * len(v)


@given(pairs())
def test_projecting_twice_is_projecting_once(pair: tuple[Tensor, Tensor]) -> None:
    v, base = pair
    once = project_out(v, base)
    assert close(project_out(once, base), once, v)


@given(pairs(), st.floats(-10, 10), st.integers(0, 2**32))
def test_it_is_linear(pair: tuple[Tensor, Tensor], factor: float, seed: int) -> None:
    v, base = pair
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(v.shape, generator=generator, dtype=torch.float64) * v.abs().max()
    left = project_out(v + factor * w, base)
    right = project_out(v, base) + factor * project_out(w, base)
    assert bool((left - right).norm() <= 1e-12 * (v.norm() + abs(factor) * w.norm()))


@given(pairs(), st.integers(-60, 60), st.sampled_from([1, -1]))
def test_the_length_and_sign_of_the_base_do_not_matter(
    pair: tuple[Tensor, Tensor], power: int, sign: int
) -> None:
    v, base = pair
    assert close(project_out(v, sign * base * 2.0**power), project_out(v, base), v)


@given(pairs())
def test_it_equals_the_papers_projection_matrix(pair: tuple[Tensor, Tensor]) -> None:
    v, base = pair
    unit = base / base.abs().max() if base.any() else base  # the matrix does not depend on it
    column = unit[:, None]
    matrix = torch.eye(len(v), dtype=torch.float64) - column @ torch.linalg.pinv(column)
    assert bool((project_out(v, base) - matrix @ v).norm() <= 1e-12 * v.norm())


@given(pairs())
def test_a_zero_base_takes_nothing_out(pair: tuple[Tensor, Tensor]) -> None:
    v, _ = pair
    found = project_out(v, torch.zeros_like(v))
    assert torch.equal(found, v)
    assert found.data_ptr() != v.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_is_float64_of_the_same_shape(dtype: torch.dtype) -> None:
    v, base = torch.randn(2, 3, 4).to(dtype), torch.randn(2, 3, 4).to(dtype)
    before = v.clone(), base.clone()
    found = project_out(v, base)
    assert found.dtype == torch.float64
    assert found.shape == (2, 3, 4)
    assert torch.equal(v, before[0])
    assert torch.equal(base, before[1])


@pytest.mark.parametrize("shape", [(0,), (0, 3), ()])
def test_shapes_without_extent(shape: tuple[int, ...]) -> None:
    found = project_out(torch.ones(shape), torch.ones(shape))
    assert found.shape == shape
    assert not found.any()


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_no_magnitude_overflows_or_vanishes(scale: float) -> None:
    v = torch.tensor([1.0, 1.0], dtype=torch.float64)
    base = torch.tensor([scale, 0.0], dtype=torch.float64)
    assert project_out(v, base).tolist() == [0.0, 1.0]
    assert project_out(v * scale, base).tolist() == [0.0, scale]


def states() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 2, 2), "b": (4,), "c": (2, 2)}
    clean, robust, anchor = (
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(3)
    )
    return clean, robust, anchor


def test_signature_is_the_projection_tensor_by_tensor() -> None:
    clean, robust, anchor = states()
    found = signature(["a", "b"], clean=clean, robust=robust, anchor=anchor)
    assert list(found) == ["a", "b"]
    for name, delta in found.items():
        v = (robust[name].double() - anchor[name].double()).flatten()
        base = (clean[name].double() - anchor[name].double()).flatten()
        matrix = torch.outer(base, base) / base.dot(base)
        wanted = (v - matrix @ v).reshape(clean[name].shape)
        assert torch.allclose(delta, wanted, rtol=0, atol=1e-14)
        assert delta.dtype == torch.float64


def test_with_the_clean_model_as_anchor_it_is_the_plain_difference() -> None:
    clean, robust, _ = states()
    for anchor in (None, clean):
        found = signature(clean, clean=clean, robust=robust, anchor=anchor)
        for name, delta in found.items():
            assert torch.equal(delta, robust[name].double() - clean[name].double())


@pytest.mark.parametrize("which", ["clean", "robust", "anchor"])
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (None, r"has no tensor 'b'"),
        (torch.zeros(5), "shape"),
        (torch.tensor([0.0, 0.0, float("nan"), 0.0]), "'b' holds NaN or infinity"),
        (torch.tensor([0.0, 0.0, float("inf"), 0.0]), "'b' holds NaN or infinity"),
    ],
    ids=["missing", "misshapen", "nan", "inf"],
)
def test_models_that_do_not_fit_are_refused(which: str, damage: Tensor | None, match: str) -> None:
    models = dict(zip(("clean", "robust", "anchor"), states(), strict=True))
    if damage is None:
        del models[which]["b"]
    else:
        models[which]["b"] = damage
    with pytest.raises(TensorError, match=match):
        signature(["a", "b"], **models)
