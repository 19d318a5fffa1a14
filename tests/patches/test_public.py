import rwsstore.patches as patches


def test_all_is_without_repeats_and_there() -> None:
    assert len(patches.__all__) == len(set(patches.__all__))
    assert all(hasattr(patches, name) for name in patches.__all__)


def test_the_names_that_others_build_on_are_public() -> None:
    assert {"Patch", "PatchSet", "compose", "make_patch", "check_fit"} <= set(patches.__all__)
