# A worker, and every other command: `docker run tokentide worker`.
FROM python:3.13-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir uv
COPY pyproject.toml uv.lock README.md LICENSE NOTICE ./
# The dependencies are a layer of their own, which stays while only our code changes.
RUN uv export --locked --no-dev --extra stream --no-emit-project --output-file requirements.txt \
    && uv pip install --target /app --requirement requirements.txt
COPY tokentide tokentide
COPY cli cli
COPY embedded embedded
COPY producers producers
COPY schemas schemas
COPY sinks sinks
COPY sql sql
COPY stream stream
RUN uv pip install --target /app --no-deps .

FROM python:3.13-slim
RUN useradd --system --create-home --uid 10001 tokentide
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER tokentide
ENTRYPOINT ["python", "-m", "tokentide"]
CMD ["worker"]
