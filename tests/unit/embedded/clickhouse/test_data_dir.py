from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tokentide.embedded.clickhouse.data_dir import DataDir
from tokentide.embedded.clickhouse.engine_config import RIGHTS, config_xml, users_xml
from tokentide.embedded.clickhouse.errors import DataDirUnavailableError


def test_a_directory_is_held_by_one_at_a_time(tmp_path):
    held = DataDir.acquire(tmp_path / "new" / "data")
    with pytest.raises(DataDirUnavailableError, match=f"process {os.getpid()}"):
        DataDir.acquire(tmp_path / "new" / "data")
    held.release()
    DataDir.acquire(tmp_path / "new" / "data").release()


def test_the_lock_ends_with_its_process(tmp_path):
    program = (
        "import sys, os, pathlib\n"
        "from tokentide.embedded.clickhouse.data_dir import DataDir\n"
        "DataDir.acquire(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    DataDir.acquire(tmp_path).release()


@pytest.mark.parametrize("name", ["a?b", "a&b", "a%20b", "a#b"])
def test_paths_that_the_engine_misreads_are_refused(tmp_path, name):
    with pytest.raises(DataDirUnavailableError, match="cannot open"):
        DataDir.acquire(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_preparing_keeps_the_identity_of_the_default_database(tmp_path):
    data_dir = DataDir.acquire(tmp_path)
    data_dir.prepare(max_memory_bytes=1)
    declaration = data_dir.engine / "metadata" / "default.sql"
    first = declaration.read_text()
    assert first.startswith("ATTACH DATABASE _ UUID '")
    (data_dir.engine / "metadata" / "default").symlink_to("somewhere")
    (data_dir.incoming / "left").write_text("x")
    data_dir.prepare(max_memory_bytes=1)
    assert declaration.read_text() == first
    assert not (data_dir.engine / "metadata" / "default").is_symlink()
    assert list(data_dir.incoming.iterdir()) == []
    data_dir.release()


def test_a_directory_of_tables_is_not_taken_for_the_link(tmp_path):
    data_dir = DataDir.acquire(tmp_path)
    (data_dir.engine / "metadata" / "default").mkdir(parents=True)
    data_dir.prepare(max_memory_bytes=1)
    assert (data_dir.engine / "metadata" / "default").is_dir()
    data_dir.release()


def test_the_configuration_is_xml_with_any_path():
    config = ET.fromstring(config_xml(users_file="/a & <b>/users.xml", max_memory_bytes=5))
    assert config.findtext("users_config") == "/a & <b>/users.xml"
    assert config.findtext("max_server_memory_usage") == "5"
    users = ET.fromstring(users_xml())
    granted = [query.text for query in users.iter("query")]
    assert granted == list(RIGHTS)


@pytest.mark.parametrize(
    "right", ["SOURCES", "CREATE DICTIONARY", "SYSTEM SHUTDOWN", "CREATE USER", "ALL", "BACKUP"]
)
def test_rights_that_reach_out_are_not_granted(right):
    granted = {
        part.strip() for text in RIGHTS for part in text.removeprefix("GRANT ").split(" ON ")[0].split(",")
    }
    assert right not in granted
    assert "SELECT" in granted
