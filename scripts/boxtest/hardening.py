"""What the box may do, seen from outside and tried from inside."""

__all__ = ["check_hardening", "check_other_user", "check_refuses_without_token"]

import json
from typing import Any

from scripts.boxtest.box import Box
from scripts.boxtest.checks import expect
from scripts.boxtest.engine import Failed, docker, run

_MIB = 2**20

# Tries to write where it must not, and tells what it is.
_INSIDE = """
import json, os, pathlib, shutil
def writable(path):
    try:
        probe = pathlib.Path(path, "probe"); probe.write_text("x"); probe.unlink(); return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no new privileges": status["NoNewPrivs"].strip(),
    "writable": [p for p in ("/", "/opt/rwsstore", "/opt/venv", "/etc", "/var", "/data", "/tmp")
                 if writable(p)],
    "build tools": [t for t in ("gcc", "cc", "g++", "make") if shutil.which(t)],
}))
"""

# The container's own health check, asked until it says yes.
_WAIT = """
for _ in $(seq 300); do python -m rwsstore_service.healthcheck && exit 0; sleep 0.2; done; exit 1
"""


def check_hardening(box: Box) -> None:
    """Compare what the engine enforces with what docker-compose.yml promises.

    Raises:
        Failed: something is laxer.
    """
    found = box.inspect()
    host: dict[str, Any] = found["HostConfig"]
    expect("user", found["Config"]["User"], "10001")
    expect("read-only root", host["ReadonlyRootfs"], True)
    expect("dropped capabilities", host["CapDrop"], ["ALL"])
    expect("security options", host["SecurityOpt"], ["no-new-privileges:true"])
    expect("privileged", host["Privileged"], False)
    expect("memory", host["Memory"], 2048 * _MIB)
    expect("cores", host["NanoCpus"], 2_000_000_000)
    expect("processes", host["PidsLimit"], 256)
    expect("restart", host["RestartPolicy"]["Name"], "unless-stopped")
    expect("log", host["LogConfig"]["Type"], "json-file")
    expect("rotation", host["LogConfig"]["Config"], {"max-size": "10m", "max-file": "3"})
    bound = [{"HostIp": "127.0.0.1", "HostPort": str(box.port)}]
    expect("ports", host["PortBindings"], {"8000/tcp": bound})
    inside = json.loads(box.run_inside("python", "-c", _INSIDE))
    expect("uid", inside["uid"], 10001)
    expect("capabilities", inside["capabilities"], 0)
    expect("no new privileges", inside["no new privileges"], "1")
    expect("writable", inside["writable"], ["/data", "/tmp"])
    expect("build tools", inside["build tools"], [])


def check_other_user(image: str) -> None:
    """Start the image under some other user id, as some platforms do.

    Raises:
        Failed: it does not get ready.
    """
    container = docker(
        *("run", "--detach", "--user", "23456", "--read-only", "--tmpfs", "/tmp", "--cap-drop"),
        *("ALL", "--env", f"RWS_ADMIN_TOKENS=box-test:{'0' * 32}", image),
    )
    try:
        done = run(["docker", "exec", container, "sh", "-c", _WAIT], check=False)
        if done.returncode != 0:
            raise Failed(f"not ready as user 23456:\n{docker('logs', container, check=False)}")
    finally:
        docker("rm", "--force", "--volumes", container)


def check_refuses_without_token(image: str) -> None:
    """Start the image with no admin token: it listens for others, so it must refuse.

    Raises:
        Failed: it started, or did not say what is missing.
    """
    done = run(["docker", "run", "--rm", image], check=False, seconds=60)
    said = done.stdout + done.stderr
    if done.returncode == 0 or "RWS_ADMIN_TOKENS" not in said:
        raise Failed(f"without a token it ended with {done.returncode} and said:\n{said}")
