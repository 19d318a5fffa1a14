from rwsstore_service.api.oip.errors import oip_members


def test_the_protocols_paths_have_the_member_error() -> None:
    assert oip_members("/v2", "no") == {"error": "no"}
    assert oip_members("/v2/models/bundled/infer", "no") == {"error": "no"}


def test_other_paths_have_not() -> None:
    assert oip_members("/v1/models", "no") == {}
    assert oip_members("/v20", "no") == {}
