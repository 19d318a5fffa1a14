"""What the Dockerfile and the compose file promise, read without an engine."""

import fnmatch
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from rwsstore_service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVICES = sorted(COMPOSE["services"])
OBSERVABILITY = ["grafana", "prometheus"]


def instructions(name: str, text: str = DOCKERFILE) -> list[str]:
    return [" ".join(rest.split()) for rest in re.findall(rf"^{name} (.*)$", text, re.MULTILINE)]


def final_stage() -> str:
    return re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[-1]


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


@pytest.mark.parametrize("name", SERVICES)
def test_what_holds_for_every_container(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert "privileged" not in found
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["mem_limit"]
    assert 0 < found["pids_limit"] <= 512
    assert found["restart"] == "unless-stopped"
    assert found["logging"]["driver"] == "json-file"
    assert set(found["logging"]["options"]) == {"max-size", "max-file"}
    assert "network_mode" not in found


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    assert service(name)["ports"]
    for port in service(name)["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port)


@pytest.mark.parametrize("name", SERVICES)
def test_no_image_is_whatever_is_newest(name: str) -> None:
    image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", service(name)["image"])
    assert re.fullmatch(r"[a-z0-9/._-]+:v?\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", SERVICES)
def test_only_volumes_and_tmpfs_are_written_to(name: str) -> None:
    for volume in service(name)["volumes"]:
        source, _, rest = volume.partition(":")
        assert source in COMPOSE["volumes"] or (source.startswith("./") and rest.endswith(":ro"))
    for mount in service(name).get("tmpfs", []):
        assert re.match(r"/tmp:.*size=\d+m", mount)


@pytest.mark.parametrize("name", OBSERVABILITY)
def test_what_is_watched_with_starts_only_when_asked_for(name: str) -> None:
    assert service(name)["profiles"] == ["observability"]
    assert sorted(set(SERVICES) - {"rwsstore"}) == OBSERVABILITY
    assert "profiles" not in service("rwsstore")


@pytest.mark.parametrize("name", OBSERVABILITY)
def test_what_is_mounted_from_here_is_here(name: str) -> None:
    for volume in service(name)["volumes"]:
        source = volume.partition(":")[0]
        assert not source.startswith("./") or any((ROOT / source).rglob("*.*"))


def test_the_admin_token_must_be_given() -> None:
    environment = service("rwsstore")["environment"]
    assert re.fullmatch(r"\$\{RWS_ADMIN_TOKENS:\?.+\}", environment["RWS_ADMIN_TOKENS"])
    assert environment["RWS_PREDICT_TOKENS"] == "${RWS_PREDICT_TOKENS:-}"
    assert environment["RWS_LOG_FORMAT"] == "json"


def test_grafana_has_no_password_of_its_own() -> None:
    found = service("grafana")
    assert found["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_ADMIN_PASSWORD:-}"
    assert 'test -n "$$GF_SECURITY_ADMIN_PASSWORD" || {' in found["command"][0]


def test_the_service_has_limits_and_keeps_its_data() -> None:
    found = service("rwsstore")
    assert found["mem_limit"] == found["memswap_limit"] == "${RWS_MEMORY:-2g}"
    assert found["cpus"] == "${RWS_CPUS:-2.0}"
    assert found["volumes"] == ["data:/data"]


def test_docker_waits_longer_than_the_service_takes_to_stop() -> None:
    found = service("rwsstore")
    stopping = float(found["environment"]["RWS_SHUTDOWN_TIMEOUT"])
    assert seconds(found["stop_grace_period"]) >= stopping + 5


def test_compose_and_image_check_health_alike() -> None:
    (check,) = instructions("HEALTHCHECK")
    found = service("rwsstore")["healthcheck"]
    command = ", ".join(f'"{word}"' for word in found["test"][1:])
    assert found["test"][0] == "CMD"
    assert check.endswith(f"CMD [{command}]")
    for option, key in (("interval", "interval"), ("timeout", "timeout"), ("retries", "retries")):
        assert f"--{option}={found[key]}" in check
    assert f"--start-period={found['start_period']}" in check
    assert importlib.util.find_spec(found["test"][-1]) is not None


def test_whatever_is_set_is_a_setting() -> None:
    named = set(re.findall(r"\bRWS_(\w+)=", final_stage()))
    named |= {key.removeprefix("RWS_") for key in service("rwsstore")["environment"]}
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    assert {"HOST", "STORE", "STATE"} <= named


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    (user,) = instructions("USER", final_stage())
    assert int(user) >= 10_000
    assert f"--uid {user}" in DOCKERFILE


def test_the_last_stage_installs_nothing() -> None:
    commands = " ".join(instructions("RUN", final_stage()))
    assert not re.search(r"\b(pip|apt|apt-get|curl|wget|gcc)\b", commands)
    sources = instructions("COPY", final_stage())
    assert all(source.startswith("--from=application /opt/") for source in sources)


def test_how_the_image_starts_and_stops() -> None:
    assert instructions("CMD", final_stage())[-1] == '["rws", "serve"]'
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("EXPOSE") == ["8000"]
    assert instructions("VOLUME") == ["/data"]
    assert not instructions("ENTRYPOINT")


def test_versions_agree() -> None:
    version = PROJECT["version"]
    assert f"VERSION={version}" in instructions("ARG")
    assert service("rwsstore")["image"] == f"${{RWS_IMAGE:-rwsstore:{version}}}"


def test_code_comes_after_the_libraries() -> None:
    before, _, after = DOCKERFILE.partition("COPY rwsstore ")
    assert "-r torch.txt" in before
    assert "-r rest.txt" in before
    assert "COPY service" in after
    assert "-r rest.txt" not in after


def test_all_that_is_copied_is_in_the_build_context() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert all((ROOT / path).exists() for path in kept)
    for copied in instructions("COPY"):
        if not copied.startswith("--from"):
            for source in copied.split()[:-1]:
                assert any(source == path or fnmatch.fnmatch(source, f"{path}/*") for path in kept)


def requirements_script() -> ModuleType:
    path = ROOT / "deploy/image/requirements.py"
    spec = importlib.util.spec_from_file_location("image_requirements", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project_files() -> list[str]:
    places = ("pyproject.toml", "clients/python/pyproject.toml")
    return [(ROOT / place).read_text(encoding="utf-8") for place in places]


def test_the_layers_together_are_what_the_project_and_its_sdk_need() -> None:
    project, client = project_files()
    torch, rest = requirements_script().split(project, client, ["service"])
    assert [line.partition("==")[0] for line in torch] == ["torch", "torchvision"]
    sdk = tomllib.loads(client)["project"]
    itself = f"{sdk['name']}=={sdk['version']}"
    wanted = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["service"]}
    assert itself in wanted
    assert {*torch, *rest} == (wanted | {*sdk["dependencies"]}) - {itself}
    assert len({*torch, *rest}) == len(torch) + len(rest)


def test_the_image_has_both_distributions() -> None:
    (build,) = (one for one in instructions("RUN") if one.startswith("pip wheel"))
    assert "COPY clients/python ./client" in DOCKERFILE
    assert "--wheel-dir dist . ./client " in build


def test_an_extra_that_is_not_there_is_refused() -> None:
    project, client = project_files()
    with pytest.raises(KeyError, match="sevrice"):
        requirements_script().split(project, client, ["sevrice"])


def test_the_page_names_no_variable_that_is_not_there() -> None:
    page = (ROOT / "docs/operate/edge-box.md").read_text(encoding="utf-8")
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    known = {f"RWS_{name.upper()}" for name in Settings.model_fields} | {"RWS_URL", "RWS_TOKEN"}
    known |= set(re.findall(r"\$\{(\w+):", compose))
    named = set(re.findall(r"\b(?:RWS|GRAFANA|PROMETHEUS)_[A-Z_]+\b", page))
    assert named <= known
    assert set(re.findall(r"\$\{(\w+):", compose)) <= named
    assert set(re.findall(r"--build-arg (\w+)=", page)) <= {
        argument.partition("=")[0] for argument in instructions("ARG")
    }


def test_bodies_fit_into_memory() -> None:
    environment = service("rwsstore")["environment"]
    bodies = int(environment["RWS_MAX_REQUESTS"]) * int(environment["RWS_MAX_BODY_BYTES"])
    # A form is in memory twice while it is read: its body, and its parts.
    assert 2 * bodies <= 0.75 * 2 * 2**30
    assert int(environment["RWS_MAX_PATCH_BYTES"]) <= int(environment["RWS_MAX_BODY_BYTES"])
    assert service("rwsstore")["mem_limit"] == "${RWS_MEMORY:-2g}"
