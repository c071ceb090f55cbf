# The one image: brokers, the operator and the command line are the same binary. `make image` builds it outside of the
# container and copies it in, so that the build context has two files.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY taffrail /usr/local/bin/taffrail
ENTRYPOINT ["/usr/local/bin/taffrail"]
