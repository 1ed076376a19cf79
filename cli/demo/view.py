"""How the demo's numbers look: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tokentide.cli.demo.board import MINUTES, Board, IncidentRow
from tokentide.cli.terminal import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

HIGH_ERROR_RATE: Final = 0.1


def plain_line(board: Board, *, elapsed_s: float) -> str:
    """One line of numbers."""
    open_incidents = sum(incident.state == "open" for incident in board.incidents)
    parts = [
        f"[{clock(elapsed_s)}]",
        f"{board.stored_events:,} events stored",
        f"last {MINUTES} min: {counted(board.calls, 'call')}",
        f"errors {percent(board.error_rate)}",
        f"cost {usd(board.cost_usd)}",
        f"prompt cache {percent(board.cache_hit_rate)}",
        f"priced {percent(board.coverage)}",
        f"{counted(open_incidents, 'incident')} open",
    ]
    return "  ".join(parts)


def incident_line(incident: IncidentRow) -> str:
    """One line for a change of an incident."""
    return f"  {incident.state.upper()} {incident.severity} {incident.rule}: {incident.summary}"


def incident_lines(board: Board) -> list[str]:
    """The incidents as they stand at the end, under a heading."""
    if not board.incidents:
        return ["no incidents were noticed"]
    return ["incidents, as they stand now:", *map(incident_line, board.incidents)]


def live_view(board: Board, *, elapsed_s: float, note: str) -> RenderableType:
    """The whole screen, for `rich.live`."""
    from rich.console import Group  # noqa: PLC0415 - an extra
    from rich.table import Table  # noqa: PLC0415 - an extra
    from rich.text import Text  # noqa: PLC0415 - an extra

    head = Text.assemble(("tokentide demo", "bold"), f"  {clock(elapsed_s)}  ", (note, "dim"))
    totals = Text.assemble(
        (f"{board.stored_events:,}", "bold"),
        " events stored   ",
        f"last {MINUTES} minutes: ",
        (f"{board.calls:,}", "bold"),
        " calls, errors ",
        (percent(board.error_rate), "bold red" if board.error_rate > HIGH_ERROR_RATE else "bold"),
        ", cost ",
        (usd(board.cost_usd), "bold"),
        ", prompt cache ",
        (percent(board.cache_hit_rate), "bold"),
        ", priced ",
        (percent(board.coverage), "bold"),
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("service")
    for name in ("calls", "errors", "p95", "tokens", "cost"):
        table.add_column(name, justify="right")
    for row in board.services:
        table.add_row(
            row.service,
            f"{row.calls:,}",
            Text(percent(row.error_rate), style="red" if row.error_rate > HIGH_ERROR_RATE else ""),
            duration(row.duration_p95_ms),
            f"{row.tokens:,}",
            usd(row.cost_usd),
        )
    return Group(head, totals, Text(""), table, Text(""), *_incident_texts(board))


def _incident_texts(board: Board) -> list[RenderableType]:
    from rich.text import Text  # noqa: PLC0415 - an extra

    if not board.incidents:
        return [Text("no incidents", style="dim")]
    texts: list[RenderableType] = []
    for incident in board.incidents:
        style = (
            "green"
            if incident.state == "resolved"
            else "red"
            if incident.severity == "critical"
            else "yellow"
        )
        texts.append(
            Text.assemble(
                (f"● {incident.state:<8}", style),
                f" {incident.severity:<8} ",
                (incident.rule, "bold"),
                f"  {incident.summary}",
            )
        )
    return texts


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def percent(share: float | None) -> str:
    """A share with one decimal; `–` where it is unknown."""
    return "–" if share is None else f"{share:.1%}"


def usd(amount: Decimal) -> str:
    """Dollars: two decimals, four below a dollar."""
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def duration(duration_ms: float | None) -> str:
    """Milliseconds, or seconds from one second on."""
    if duration_ms is None:
        return "–"
    return f"{duration_ms:,.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:,.1f} s"
