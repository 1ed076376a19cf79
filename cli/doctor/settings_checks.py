"""Checks of the settings beyond what makes them valid: what works and is not wise."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from tokentide.cli.doctor.findings import Finding, Reporter
from tokentide.config import Loaded
from tokentide.config.catalogue import settings_by_name


def settings_checks(loaded: Loaded) -> Iterator[Finding]:
    """Where the settings came from, and what about them may bite."""
    report = Reporter("settings")
    given = [name for name, origin in loaded.origins.items() if origin.kind != "default"]
    source = f"file {loaded.file}" if loaded.file else "no file"
    yield report.ok(
        "sources", f"{len(given)} of {len(loaded.origins)} are set ({source}); --settings shows all"
    )
    yield from _file_rights(report, loaded)
    settings = loaded.settings
    if settings.kafka.allow_plaintext_sasl and settings.kafka.security_protocol == "SASL_PLAINTEXT":
        yield report.warn(
            "kafka login", "the password travels unencrypted", "Use SASL_SSL outside of a trusted network."
        )
    if settings.kafka.uses_tls and not settings.kafka.tls_check_hostname:
        yield report.warn(
            "kafka TLS",
            "the broker's name is not checked",
            "Set kafka.tls_check_hostname to true once the certificates carry the right names.",
        )
    if not settings.clickhouse.url.is_secure and settings.clickhouse.url.password.get_secret_value():
        host = settings.clickhouse.url.host
        if host not in ("localhost", "127.0.0.1", "::1"):
            yield report.warn(
                "clickhouse login",
                f"the password travels unencrypted to {host}",
                "Use https:// in clickhouse.url.",
            )
    if settings.content.policy == "hash" and settings.content.hash_key is None:
        yield report.ok(
            "content",
            "of prompts and answers only lengths are stored, as these settings say (no content.hash_key); "
            "workers of `tokentide up` have a key of their own and store hashes, too",
        )
    elif settings.content.policy == "keep":
        yield report.ok("content", f"texts are kept for {', '.join(settings.content.keep_services)}")
    overrides = settings.prices.overrides_file
    if overrides is not None and not overrides.is_file():
        yield report.fail(
            "prices", f"{overrides} does not exist", "Create it, or unset prices.overrides_file."
        )


def _file_rights(report: Reporter, loaded: Loaded) -> Iterator[Finding]:
    """A file with a password in it should be its owner's alone."""
    secrets = [
        name
        for name, origin in loaded.origins.items()
        if origin.kind == "file" and (settings_by_name()[name].is_secret or name == "clickhouse.url")
    ]
    if not secrets or loaded.file is None or not loaded.file.is_file():
        return
    if loaded.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield report.warn(
            "file rights",
            f"{loaded.file} can be read by others and holds {', '.join(secrets)}",
            f"chmod 600 {loaded.file}",
        )
