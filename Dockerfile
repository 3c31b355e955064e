# One image for every role: `serve` (the default), `engine stt`, `engine tts`, `engine llm`.
#
#   docker build -t visavis .
#   docker run --rm -p 127.0.0.1:8080:8080 -p 127.0.0.1:8443:8443/udp -e VISAVIS_PUBLIC_IP=127.0.0.1 visavis
#
# Three stages: the program, the models, and what runs. Build it on the kind of processor that it will run on (x86-64 with
# AVX2). The first build compiles for a quarter of an hour on two cores; the caches below make the next ones short.

FROM rust:1.95-bookworm AS program
WORKDIR /src
# The system packages alone first: they change more rarely than the sources. The script is the one that a checkout uses.
COPY Cargo.toml ./
COPY script/bootstrap script/bootstrap
COPY script/lib/place.sh script/lib/place.sh
RUN script/bootstrap
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --locked --release --bin visavis \
    && cp /target/release/visavis /usr/local/bin/visavis

# Every file is checked against models.toml. Nothing here depends on the sources: a change of them fetches nothing.
FROM debian:bookworm-slim AS models
RUN apt-get update \
    && apt-get install --no-install-recommends --yes ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY models.toml ./
COPY script/models script/convert.txt script/
COPY script/convert script/convert
COPY script/lib script/lib
RUN VISAVIS_CACHE=/cache script/models && chmod -R a+rX /cache/models

FROM debian:bookworm-slim
# espeak-ng makes phonemes for the voice, as a program of its own; curl is for the health checks.
RUN apt-get update \
    && apt-get install --no-install-recommends --yes ca-certificates curl espeak-ng libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home visavis
COPY --from=program /usr/local/bin/visavis /usr/local/bin/visavis
COPY --from=models /cache/models /models
# The licences of what is inside travel with it.
COPY LICENSE-MIT LICENSE-APACHE THIRD-PARTY.md ASSET-LICENSES.md /usr/share/doc/visavis/
ENV VISAVIS_MODELS=/models
USER visavis
WORKDIR /home/visavis
EXPOSE 8080/tcp 8443/udp 8090/tcp 8089/tcp 8091/tcp
# Of the default role. An engine answers /health on its own port: docker-compose.yml says so for each.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["visavis"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--rtc", "0.0.0.0:8443"]
