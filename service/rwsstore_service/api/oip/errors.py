"""What the protocol wants of an error, beside what a problem holds anyway."""

__all__ = ["oip_members"]

_ROOT = "/v2"


def oip_members(path: str, detail: str) -> dict[str, str]:
    """Members that a problem's body has on the protocol's paths; none on others.

    Args:
        path: that was asked.
        detail: what went wrong; the protocol's clients read it from `error`.
    """
    if path == _ROOT or path.startswith(f"{_ROOT}/"):
        return {"error": detail}
    return {}
