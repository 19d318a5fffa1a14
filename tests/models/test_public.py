import rwsstore.models as models


def test_all_is_sorted_and_there() -> None:
    assert sorted(models.__all__, key=str.lower) == sorted(set(models.__all__), key=str.lower)
    assert all(hasattr(models, name) for name in models.__all__)
