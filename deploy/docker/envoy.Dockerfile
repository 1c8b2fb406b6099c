# The official Envoy with an entry that lets running requests end. From the root of a checkout:
#   docker build -f deploy/docker/envoy.Dockerfile -t warmpath-envoy:0.1.0 deploy/docker

FROM envoyproxy/envoy:v1.40.0
COPY --chmod=0755 envoy-entry.sh /usr/local/bin/warmpath-envoy
USER 10001:10001
EXPOSE 11434
ENTRYPOINT ["/usr/local/bin/warmpath-envoy"]
CMD ["-c", "/var/lib/warmpath/envoy.yaml"]
