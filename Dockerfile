# One image for the flows, the workers and both servers.
#   docker build --tag lopt:cpu .
#   docker build --tag lopt:cuda --build-arg ACCELERATOR=cuda .
# PIP_INDEX_URL and UV_DEFAULT_INDEX are the build arguments for another package index.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG ACCELERATOR=cpu
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
WORKDIR /src

# uv and hatchling as the lock has them, in an environment that stays in this stage.
COPY requirements.lock ./
RUN python -m venv /build \
 && sed -n '/^uv==/,/[^\\]$/p' requirements.lock > uv.lock \
 && /build/bin/pip install --no-cache-dir --require-hashes --requirement uv.lock \
 && /build/bin/uv pip install --python /build/bin/python --no-cache \
      --constraint requirements.lock hatchling

# What the flows need and no tools for development: names from pyproject.toml, versions and hashes
# from the lock. CUDA's own packages come with the locked JAX; the host brings only the driver.
COPY pyproject.toml ./
RUN case "$ACCELERATOR" in cpu) set -- ;; cuda) set -- --extra cuda ;; \
      *) echo "ACCELERATOR is cpu or cuda, not $ACCELERATOR" >&2; exit 1 ;; esac \
 && python -m venv --without-pip /app/.venv \
 && /build/bin/uv pip install --python /app/.venv/bin/python --no-cache --link-mode copy \
      --compile-bytecode --constraint requirements.lock \
      --requirements pyproject.toml --extra mlflow "$@" --group pipeline --group team

# The library last: it changes most. What uv locks an environment by may be written to by everybody.
COPY README.md ./
COPY components components
RUN /build/bin/python -m hatchling build --target wheel --directory /dist \
 && /build/bin/uv pip install --python /app/.venv/bin/python --no-cache --no-deps /dist/*.whl \
 && rm -f /app/.venv/.lock

FROM python:${PYTHON}-slim
# Nothing is installed here any more: what the base image would do that with goes (p?p*: its scripts).
RUN useradd --uid 1000 --create-home lopt && install --directory --owner lopt /data \
 && rm -rf /usr/local/lib/python*/site-packages/* /usr/local/lib/python*/ensurepip \
      /usr/local/bin/p?p* /usr/local/bin/wheel
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY requirements.lock ./
COPY flows flows
COPY tasks tasks
COPY conf conf
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 LOPT_HOME=/data
# By its number, which a cluster can tell from root's.
USER 1000
VOLUME /data
# Of a server or worker whether LOPT_HEALTH_URL answers, otherwise whether /data takes files.
HEALTHCHECK --interval=10s --timeout=10s --retries=12 --start-period=60s \
  CMD ["python", "-m", "tasks.servers.health"]
CMD ["python", "-m", "flows.full_cycle", "--conf", "conf/quick.yaml"]
