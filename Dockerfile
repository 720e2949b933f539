# Breakwater in a container: one static binary on an empty image, no shell, no
# root, nothing to write but /data.
#
#   docker build --build-arg VERSION="$(git describe --tags --always --dirty)" -t breakwater .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -p 8080:8080 -v breakwater:/data -e SENTRY_DSN=… breakwater
#
# The private listener (metrics, console, health) is on 127.0.0.1:8081 inside
# the container. To reach it from a neighbour, such as Prometheus, set
# BREAKWATER_ADMIN_LISTEN=:8081 and server.admin_token in a mounted file; the
# gateway does not start with one and without the other. Give --stop-timeout a
# little more than server.shutdown_timeout (30s).

FROM golang:1.26 AS build
WORKDIR /src

# Modules first: they change seldom, and so stay in the cache.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY cmd cmd
COPY ingest ingest
COPY relay relay
COPY schemas schemas
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
# CGO_ENABLED=0 and -trimpath: the same source makes the same binary, which
# needs no C library and names no path of the machine that built it.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/breakwater ./cmd/breakwater

# What an empty image lacks: a user, a folder that user may write, certificate
# authorities to trust.
RUN mkdir -p /out/etc/ssl/certs /out/data \
 && echo 'breakwater:x:65532:65532:breakwater:/data:/sbin/nologin' > /out/etc/passwd \
 && echo 'breakwater:x:65532:' > /out/etc/group \
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
 && chmod 0750 /out/data

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="breakwater" \
      org.opencontainers.image.description="A self-hosted error and metrics ingest gateway" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/etc /etc
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/breakwater /breakwater

USER 65532:65532
WORKDIR /data
# The spool and the first key live here. Without a volume of your own every
# container begins with an empty one: what 200 promised is then only as durable
# as the container.
VOLUME /data
ENV BREAKWATER_DATA_DIR=/data

# 8080 takes reports from the world; 8081 is private, see above.
EXPOSE 8080 8081

# The binary asks itself: there is no shell and no curl in here. It must ask
# the address that admin_listen says.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/breakwater", "health", "--url", "http://127.0.0.1:8081/-/healthy"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["/breakwater"]
