"""Dockerfile and package without an engine: what the build sees, the wheel that comes of it, and what the wheel needs.

The wheel is built from exactly the files that the Dockerfile copies, and runs outside the checkout with the
dependencies of this environment.
"""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.compose_file import read_compose_file
from tests.support.docker_build import Ignore, Stage, copy_context, read_dockerfile
from tests.support.documents import parse_command
from tests.support.waiting import HANGING_S

FOLDERS = ("cli", "embedded", "producers", "schemas", "sinks", "sql", "stream")
BASE_PACKAGES = {
    "kafka",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}
"""What the base install brings: kafka-python, pydantic and what pydantic needs."""


@pytest.fixture(scope="module")
def stages(repository: Path) -> list[Stage]:
    return read_dockerfile((repository / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def build(stages: list[Stage]) -> Stage:
    """The stage that makes what the image runs."""
    (found,) = (stage for stage in stages if stage.name == "build")
    return found


def copied_from_the_clone(stage: Stage) -> list[list[str]]:
    """The words of each `COPY` that takes something of the clone."""
    return [copy.words for copy in stage.all("COPY") if not copy.words[0].startswith("--from=")]


@pytest.fixture(scope="module")
def ignore(repository: Path) -> Ignore:
    return Ignore((repository / ".dockerignore").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def context(repository: Path, ignore: Ignore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build sees."""
    folder = tmp_path_factory.mktemp("docker") / "context"
    copy_context(repository, folder, ignore)
    return folder


@pytest.fixture(scope="module")
def source(build: Stage, context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the stage that builds when all is copied."""
    folder = tmp_path_factory.mktemp("docker") / "src"
    folder.mkdir()
    for *names, target in copied_from_the_clone(build):
        for name in names:
            if (context / name).is_dir():
                shutil.copytree(context / name, folder / target, symlinks=True)
            else:
                shutil.copy(context / name, folder / target)
    return folder


@pytest.fixture(scope="module")
def wheel(repository: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of these files."""
    uv = shutil.which("uv", path=repository / ".tools" / "bin") or shutil.which("uv")
    if uv is None:
        pytest.skip("no uv to build the wheel with: `make install` brings it")
    folder = tmp_path_factory.mktemp("docker") / "dist"
    command = [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", folder, source]
    subprocess.run(command, check=True, timeout=HANGING_S)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, beside nothing else."""
    folder = tmp_path_factory.mktemp("docker") / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(*arguments: str, path: Sequence[Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Python with this path and no other: no site-packages, no checkout (`-S -P`)."""
    return subprocess.run(
        [sys.executable, "-S", "-P", *arguments],
        env={"PYTHONPATH": ":".join(map(str, path)), "HOME": str(folder)},
        cwd=folder, capture_output=True, text=True, timeout=HANGING_S, check=False,
    )  # fmt: skip


def product_files(repository: Path) -> set[str]:
    """Paths under `tokentide/` of everything that belongs into the package."""
    found = {f"tokentide/{path.name}" for path in (repository / "tokentide").glob("*") if path.is_file()}
    for folder in (*(repository / name for name in FOLDERS), repository / "tokentide" / "config"):
        found |= {
            f"tokentide/{folder.name}/{path.relative_to(folder).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "README.md"
        }
    return found


class TestContext:
    def test_what_is_copied_is_seen(self, stages, context):
        copies = [words for stage in stages for words in copied_from_the_clone(stage)]
        assert copies
        for words in copies:
            for name in words[:-1]:
                assert (context / name).exists(), f"{name} is left out by .dockerignore, or is not there"

    def test_all_that_is_seen_is_copied(self, stages, context):
        """Else a file would change layers without being in them."""
        copied = {name for stage in stages for words in copied_from_the_clone(stage) for name in words[:-1]}
        assert {path.name for path in context.iterdir()} == copied

    @pytest.mark.parametrize(
        "path",
        [
            ".git/config", ".venv/bin/python", ".env", "tests/conftest.py", "tokentide-data/clickhouse/x",
            "native/target/release/x", "native/dist/x.whl", "stream/__pycache__/worker.cpython-313.pyc", "tokentide/__pycache__/x.pyc", "tokentide.toml", "Dockerfile",
        ],
    )  # fmt: skip
    def test_what_is_not_of_the_product_is_not_seen(self, ignore, path):
        assert ignore.excludes(path)

    def test_the_last_pattern_that_matches_decides(self):
        ignore = Ignore("*\n!a\n**/b\n!a/c/b\n")
        assert [path for path in ("a/x", "a/b", "a/c/b", "d", "d/x") if not ignore.excludes(path)] == [
            "a/x", "a/c/b",
        ]  # fmt: skip


class TestStages:
    def test_all_have_the_same_python_which_is_one_of_the_project(self, stages, repository):
        """The packages are compiled for it."""
        (base,) = {stage.base for stage in stages}
        found = re.fullmatch(r"python:(3\.\d+)-slim", base)
        assert found is not None
        project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]

    def test_the_dependencies_are_those_of_the_lock_file_without_what_development_needs(
        self, build, repository
    ):
        install = build.all("RUN")[1].rest
        assert "--locked" in install
        assert "--no-dev" in install
        (extra,) = re.findall(r"--extra (\w+)", install)
        project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert extra in project["optional-dependencies"]

    def test_the_builder_is_pinned(self, build):
        assert re.search(r"\buv==\d+\.\d+\.\d+$", build.all("RUN")[0].rest)

    def test_code_comes_after_the_dependencies(self, build):
        """Else every change of code would install them again."""
        names = [instruction.name for instruction in build.instructions]
        first_code = next(i for i, inst in enumerate(build.instructions) if inst.words[0] == "tokentide")
        assert names[:first_code].count("RUN") == 2
        assert names[first_code:].count("RUN") == 1

    def test_the_image_has_a_user_who_may_write_in_the_working_folder(self, stages):
        """A command's output or a spool can be kept there; a worker writes nothing."""
        last = stages[-1]
        (add,), (user,), (folder,) = last.all("RUN"), last.all("USER"), last.all("WORKDIR")
        found = re.fullmatch(r"useradd --create-home --uid (\d+) (\w+)", add.rest)
        assert found is not None
        assert int(found[1]) >= 1000
        assert user.rest == f"{found[1]}:{found[1]}"
        assert folder.rest == f"/home/{found[2]}"
        order = [instruction.name for instruction in last.instructions]
        assert order.index("RUN") < order.index("USER") < order.index("WORKDIR")

    def test_the_native_decoder_is_built_from_the_clone_and_installed(self, stages, build):
        (native,) = (stage for stage in stages if stage.name == "native")
        assert copied_from_the_clone(native) == [["native", "native"]]
        wheels = "/wheels"
        assert f"--wheel-dir {wheels} ./native" in native.all("RUN")[-1].rest
        assert ["--from=native", wheels, wheels] in [copy.words for copy in build.all("COPY")]
        assert f"{wheels}/*.whl" in build.all("RUN")[-1].rest

    def test_the_image_runs_what_compose_gives_it(self, stages, repository):
        last = stages[-1]
        (entry,), (default,) = last.all("ENTRYPOINT"), last.all("CMD")
        assert entry.words == ["python", "-m", "tokentide"]
        parse_command(["tokentide", *default.words])
        for service in read_compose_file(repository / "docker-compose.yml").services.values():
            if service.build:
                assert (repository / service.build / "Dockerfile").is_file()

    def test_what_is_built_is_what_is_run(self, stages, build):
        (copy,) = stages[-1].all("COPY")
        assert copy.words == [f"--from={build.name}", "/app", "/app"]
        assert all("--target /app" in run.rest for run in build.all("RUN")[1:])
        assert "PYTHONPATH=/app" in stages[-1].all("ENV")[0].words


class TestWheel:
    def test_it_has_every_file_of_the_product_and_no_other(self, wheel, repository):
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert packed == product_files(repository)

    def test_it_states_its_licence_its_command_and_its_extras(self, installed, repository):
        project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (info,) = installed.glob("*.dist-info")
        metadata = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
        assert metadata["License-Expression"] == "Apache-2.0"
        assert metadata.get_all("Provides-Extra") == list(project["optional-dependencies"])
        base = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
        assert [re.split(r"[<>=]", need)[0] for need in base] == ["kafka-python", "pydantic"]
        assert "tokentide = tokentide.cli.main:main" in (info / "entry_points.txt").read_text(
            encoding="utf-8"
        )
        assert {path.name for path in (info / "licenses").iterdir()} == {"LICENSE", "NOTICE"}

    @pytest.fixture
    def base_only(self, tmp_path: Path) -> Path:
        """A folder with the packages of the base install."""
        folder = tmp_path / "base"
        folder.mkdir()
        packages = Path(sysconfig.get_path("purelib"))
        for name in BASE_PACKAGES:
            found = packages / name
            target = found if found.exists() else packages / f"{name}.py"
            (folder / target.name).symlink_to(target)
        return folder

    def test_the_sdk_needs_kafka_python_and_pydantic_only(self, installed, base_only, tmp_path):
        program = (
            "from tokentide import MemoryTransport\n"
            "from tokentide.producers import Producer\n"
            "broker = MemoryTransport()\n"
            "with Producer(service='shop', transport=broker, strict=True) as producer:\n"
            "    with producer.call(provider='openai', model='gpt-4o-mini') as call:\n"
            "        call.openai_usage({'usage': {'prompt_tokens': 3, 'completion_tokens': 1}})\n"
            "print(broker.events[0]['input_tokens'])\n"
        )
        answer = run("-c", program, path=[installed, base_only], folder=tmp_path)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "3\n", "")

    def test_without_the_extras_the_commands_that_need_none_work_and_the_others_say_what_they_need(
        self, installed, base_only, tmp_path
    ):
        event = {"event_id": "a", "timestamp": "2026-01-31T12:00:00Z", "service": "shop"}
        (tmp_path / "calls.ndjson").write_text(json.dumps(event), encoding="utf-8")
        arguments = ("-m", "tokentide", "ship", "--stdout", "--quiet", "calls.ndjson")
        shipped = run(*arguments, path=[installed, base_only], folder=tmp_path)
        assert (shipped.returncode, json.loads(shipped.stdout)) == (0, event)
        worker = run("-m", "tokentide", "worker", path=[installed, base_only], folder=tmp_path)
        assert worker.returncode == 4
        assert "tokentide[stream]" in worker.stderr

    def test_with_the_extra_prices_and_the_worker_run_outside_the_checkout(self, installed, tmp_path):
        path = [installed, Path(sysconfig.get_path("purelib"))]
        priced = run("-m", "tokentide", "prices", "gpt-4o-mini", "--json", path=path, folder=tmp_path)
        assert priced.returncode == 0
        assert json.loads(priced.stdout)["model"] == "gpt-4o-mini"
        program = (
            "import tokentide.stream.worker\n"
            "from tokentide.stream.tokens.encodings import encoding\n"
            "print(tokentide.stream.worker.__file__, len(encoding('o200k_base').encode('hello world')))\n"
        )
        loaded = run("-c", program, path=path, folder=tmp_path)
        assert loaded.stdout == f"{installed}/tokentide/stream/worker.py 2\n", loaded.stderr


def test_the_image_and_make_install_with_the_same_uv() -> None:
    found = {
        name: re.findall(r"\buv==([0-9.]+)", (Path(__file__).parents[2] / name).read_text())
        for name in ("Dockerfile", "Makefile")
    }
    assert found["Dockerfile"] == found["Makefile"] != []


def test_a_clone_beside_an_application_does_not_hide_the_package(tmp_path: Path) -> None:
    """An application's folder is searched first, and a clone in it is a folder of the package's name."""
    (tmp_path / "tokentide").mkdir()
    (tmp_path / "app.py").write_text("from tokentide import Producer\nprint(Producer.__name__)\n")
    found = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.stdout == "Producer\n", found.stderr
