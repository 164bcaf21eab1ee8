# One image, three roles: docker build --target webserver . (or daemon, or cli). The roles share DAGSTER_HOME and DATA_DIR.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The locked packages first: this layer is built anew only when the locks change.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /app/venv \
    && /app/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.lock \
    && python -m venv tools \
    && tools/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY serving_assets serving_assets
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /app/venv/bin/pip install --no-deps dist/*.whl \
    && /app/venv/bin/pip uninstall --yes pip

FROM python:${PYTHON}-slim AS runtime
# HOME is for the caches of libraries; nothing of worth is written there.
ENV PATH=/app/venv/bin:$PATH \
    HOME=/tmp \
    DAGSTER_HOME=/app/dagster_home \
    DATA_DIR=/app/data \
    DO_NOT_TRACK=true \
    PYTHONUNBUFFERED=1
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin serving \
    && install --directory --owner=serving --group=serving /app/dagster_home /app/data
WORKDIR /app
COPY --from=builder /app/venv venv
COPY workspace.yaml ./
COPY --chown=serving:serving dagster_home/dagster.yaml dagster_home/
USER serving
VOLUME ["/app/dagster_home", "/app/data"]

FROM runtime AS cli
ENTRYPOINT ["serving-assets"]
CMD ["--help"]

FROM runtime AS daemon
HEALTHCHECK --interval=60s --timeout=30s --start-period=120s CMD ["dagster-daemon", "liveness-check"]
CMD ["dagster-daemon", "run", "--workspace", "workspace.yaml"]

FROM runtime AS webserver
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/server_info', timeout=5)"]
# Dagster's UI has no login: publish the port only behind something that has one.
CMD ["dagster-webserver", "--workspace", "workspace.yaml", "--host", "0.0.0.0", "--port", "3000"]
