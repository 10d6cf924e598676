# One image for the three processes: `api`, `worker` and `agent` (docker-compose.yml gives the command).
# The Python is the one the locked dependencies were resolved and tested with.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md CHANGELOG.md hybridci_command.py ./
COPY workflows ./workflows
COPY activities ./activities
COPY api ./api
COPY agent ./agent
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# git, ssh and bash: what an agent checks out and runs steps with. Jobs that need more build FROM this image.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /bin/bash hybridci \
    && install -d -o hybridci -g hybridci -m 0700 /var/lib/hybridci
COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.lock && rm /tmp/requirements.lock
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl && rm -r /tmp/wheels
ENV PYTHONDONTWRITEBYTECODE=1 HYBRIDCI_AGENT_DIR=/var/lib/hybridci/agent
USER hybridci
WORKDIR /var/lib/hybridci
EXPOSE 8000
ENTRYPOINT ["hybridci"]
CMD ["api", "--host", "0.0.0.0"]
# For the API, which is the default command; the compose file has the worker's and the agent's own checks.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
