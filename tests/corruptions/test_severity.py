import pytest

from rwsstore.corruptions import CORRUPTIONS, SEVERITIES, severity_table, table_for
from tests.corruptions.pictures import TABLES


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_five_severities_of_every_corruption(name: str) -> None:
    numbers = severity_table(name).numbers
    assert set(numbers) == set(CORRUPTIONS)
    assert all(len(rows) == len(SEVERITIES) for rows in numbers.values())


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (8, 8, "cifar"),
        (32, 32, "cifar"),
        (45, 300, "cifar"),
        (46, 46, "tiny_imagenet"),
        (64, 96, "tiny_imagenet"),
        (119, 119, "tiny_imagenet"),
        (120, 120, "imagenet"),
        (224, 224, "imagenet"),
        (1000, 400, "imagenet"),
    ],
)
def test_the_table_nearest_to_the_shorter_side_is_taken(
    height: int, width: int, expected: str
) -> None:
    assert table_for(height, width).name == expected


def test_constants_are_the_published_ones() -> None:
    assert severity_table("cifar").numbers["gaussian_noise"] == (
        (0.04,),
        (0.06,),
        (0.08,),
        (0.09,),
        (0.1,),
    )
    assert severity_table("imagenet").numbers["defocus_blur"][4] == (10, 0.5)
    assert severity_table("tiny_imagenet").numbers["elastic_transform"][1] == (3.2, 19.2, 3.84)
    assert severity_table("cifar").numbers["zoom_blur"][0] == (
        1,
        1.01,
        1.02,
        1.03,
        1.04,
        1.05,
        1.06,
    )
