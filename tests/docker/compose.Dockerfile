# `docker compose` 2 from the distribution, for hosts that have none: run it with the engine's socket
# and the tree mounted.

ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker-cli docker-compose \
    && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["docker", "compose"]
