# One container runs one experiment, the one that EXPERIMENT names:
#   docker run -e EXPERIMENT=experiments/quickstart.yaml hps
#
# The newest torch with CUDA 12.8: newer images begin at CUDA 13, whose drivers not every node has,
# and older CUDA does not know the newest GPUs. Any base will do that has Python 3.11 or newer, and
# pip or venv; its own torch is the one that is used.
ARG BASE=pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime

FROM ${BASE} AS dependencies
SHELL ["/bin/sh", "-eu", "-c"]
# git fetches experiments named by git+https://; the certificates are for rclone and git.
RUN if ! command -v git || [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update; \
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git; \
      apt-get clean; \
      rm -rf /var/lib/apt/lists/*; \
    fi
# An environment of its own, for distributions guard theirs; one that sees the base's packages.
RUN python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed")'; \
    if python3 -m pip --version; then bare=--without-pip; fi; \
    python3 -m venv --system-site-packages ${bare:+"$bare"} /opt/hps
WORKDIR /app
COPY constraints.txt pyproject.toml ./
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > requirements.txt; \
    /opt/hps/bin/python -m pip install --no-cache-dir \
      --constraint constraints.txt --requirement requirements.txt; \
    rm requirements.txt

FROM dependencies AS program
WORKDIR /tmp/program
COPY LICENSE README.md pyproject.toml ./
COPY schemas schemas
COPY hps hps
RUN /opt/hps/bin/python -m pip install --no-cache-dir --no-deps --prefix /program .

FROM dependencies
COPY --from=program /program /opt/hps
COPY schemas schemas
COPY experiments experiments
# Root is the user, as in the base, so that results can be written to any folder that is mounted;
# with --user another one will do.
RUN mkdir -m 1777 /results
ENV PATH=/opt/hps/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EXPERIMENT=experiments/salad-r2-benchmark.yaml \
    HPS_OUTPUT=/results
ENTRYPOINT ["hps"]
CMD ["run"]
# What changes with each commit comes last.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hps" \
      org.opencontainers.image.description="Declarative experiments on moving data between GPU nodes and object storage" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
