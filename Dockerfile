# rnp on a CPU, for a user without rights:
#
#   docker build --tag rnp .
#   docker run --rm --network none --volume "$PWD:/work" rnp detect model.pt --clean-dir data/
#
# pip's default index gives Linux a torch with the libraries of GPUs; an index of builds
# for CPUs makes the image much smaller: --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.12-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY rnp_cli rnp_cli
RUN python -m venv /opt/rnp \
    && /opt/rnp/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/rnp /opt/rnp
RUN useradd --uid 10001 --create-home rnp
ENV PATH="/opt/rnp/bin:$PATH"
USER 10001
WORKDIR /work
ENTRYPOINT ["rnp"]
CMD ["--help"]
