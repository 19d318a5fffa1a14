# The service with its bundled model on CPU: docker build -t rwsstore:0.1.0 .
# See docs/operate/edge-box.md. For BuildKit and the classic builder, for amd64 and arm64.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS requirements
# service,tracing adds OpenTelemetry
ARG EXTRAS=service
WORKDIR /build
COPY pyproject.toml deploy/image/requirements.py ./
COPY clients/python/pyproject.toml ./client.toml
RUN python requirements.py pyproject.toml client.toml $(echo "$EXTRAS" | tr , ' ')

FROM ${PYTHON_IMAGE} AS dependencies
# Where the wheels of torch and torchvision for CPU are. Empty: wherever pip is configured to look.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/venv
COPY --from=requirements /build/torch.txt ./
RUN pip --python /opt/venv/bin/python install --no-compile --no-deps \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt
COPY constraints.txt ./
COPY --from=requirements /build/rest.txt ./
RUN pip --python /opt/venv/bin/python install --no-compile -c constraints.txt \
        -r torch.txt -r rest.txt
# What only those need who build C++ extensions or test the libraries themselves.
RUN cd /opt/venv/lib/python3.11/site-packages \
    && rm -rf torch/include torch/share torch/test torch/bin/protoc* torch/bin/*[Tt]est* \
        torch/bin/upgrader_models torch/lib/*.a torch/lib/*_test.so \
    && find numpy sympy networkx mpmath -type d -name tests -prune -exec rm -rf {} +

FROM dependencies AS application
RUN pip install -c constraints.txt "hatchling>=1.27,<2"
COPY LICENSE README.md pyproject.toml ./
COPY rwsstore ./rwsstore
COPY service ./service
COPY clients/python ./client
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . ./client \
    && pip --python /opt/venv/bin/python install --no-compile --no-deps --target /opt/rwsstore \
        dist/*.whl
# Compiles what a start imports, and no more: the rest is 70 MB, and later nothing can be written.
RUN PYTHONPATH=/opt/rwsstore /opt/venv/bin/python -c \
        "import rwsstore_service.app; from rwsstore.bundled import bundled_model; bundled_model()"

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rwsstore" \
    org.opencontainers.image.description="An image classifier whose robustness patches are put on and taken off over REST" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# /data belongs to group 0 too, which a container with an arbitrary user id is in.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rws \
    && install -d -o 10001 -g 0 -m 2770 /data
COPY --from=application /opt/venv /opt/venv
COPY --from=application /opt/rwsstore /opt/rwsstore
# Idle threads sleep instead of spinning through the quota; two arenas keep memory flat.
ENV PATH=/opt/rwsstore/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/rwsstore \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    OMP_WAIT_POLICY=PASSIVE \
    MALLOC_ARENA_MAX=2 \
    RWS_HOST=0.0.0.0 \
    RWS_PORT=8000 \
    RWS_STORE=/data/store \
    RWS_STATE=/data/state
WORKDIR /tmp
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "rwsstore_service.healthcheck"]
CMD ["rws", "serve"]
