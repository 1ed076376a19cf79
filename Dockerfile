# A worker, and every other command: `docker run --rm tokentide:local doctor`.
# The decoder in native code, in a stage of its own: the compiler stays out of the image.
FROM python:3.13-slim AS native
RUN apt-get update && apt-get install --yes --no-install-recommends cargo gcc libc6-dev
WORKDIR /src
COPY native native
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./native

FROM python:3.13-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.8
# The dependencies are a layer of their own, which stays while only our code changes.
COPY pyproject.toml uv.lock ./
RUN uv export --quiet --locked --no-dev --extra stream --no-emit-project --output-file requirements.txt \
    && uv pip install --system --no-cache --compile-bytecode --target /app --requirement requirements.txt
# `tokentide/` holds links to the folders beside it; the wheel holds files.
COPY README.md LICENSE NOTICE ./
COPY tokentide tokentide
COPY cli cli
COPY embedded embedded
COPY producers producers
COPY schemas schemas
COPY sinks sinks
COPY sql sql
COPY stream stream
COPY --from=native /wheels /wheels
RUN uv pip install --system --no-cache --compile-bytecode --target /app --no-deps /wheels/*.whl .

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 tokentide
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PATH=/app/bin:$PATH
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# ./tokentide.toml is read from here.
WORKDIR /home/tokentide
ENTRYPOINT ["python", "-m", "tokentide"]
CMD ["worker"]
