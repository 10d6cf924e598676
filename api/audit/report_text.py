"""A report as Markdown and as HTML. Whatever others wrote is text in both: no link, no markup, no script.

Deliberately not here: what is in it (``report``).
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from api.audit.report_model import CoveringSeal, ReportedDeployment, ReportLine, ServiceReport
from workflows.contracts.fields import without_misleading

_LAST_MILLIS: Final = 253_402_300_799_000
_Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to write: each part from plain text."""

    heading: Callable[[int, str], str]
    paragraph: Callable[[str], str]
    table: Callable[[_Row, Sequence[_Row]], str]


def as_markdown(report: ServiceReport) -> str:
    """GitHub's Markdown: foreign text stands in code spans."""
    return "\n".join(_parts(report, _Form(_md_heading, lambda text: f"{_md(text)}\n", _md_table)))


def as_html(report: ServiceReport) -> str:
    """One page without style and script."""
    form = _Form(
        lambda level, text: f"<h{level}>{html.escape(text)}</h{level}>",
        lambda text: f"<p>{html.escape(text)}</p>",
        _html_table,
    )
    title = html.escape(f"Report on {report.service}")
    body = "\n".join(_parts(report, form))
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _parts(report: ServiceReport, form: _Form) -> list[str]:
    parts = [
        form.heading(1, f"Report on {report.service}"),
        form.paragraph(f"From {moment(report.since)} to {moment(report.until)}, made of {report.events} events of the"
                       f" audit trail on {moment(report.made_at)} for {report.made_by}."),
        form.paragraph(_seal_words(report.seal)),
        *(form.paragraph(f"Left out: {text}") for text in report.left_out),
        form.heading(2, f"Deployments ({len(report.deployments)})"),
    ]  # fmt: skip
    for each in report.deployments:
        parts += _deployment(each, form)
    for title, lines in (
        ("Exceptions", report.exceptions),
        ("Rollbacks", report.rollbacks),
        ("Changes of policy", report.policy),
        ("Changes of access", report.access),
    ):
        parts.append(form.heading(2, f"{title} ({len(lines)})"))
        parts.append(_lines(lines, form) if lines else form.paragraph("None."))
    return parts


def _deployment(each: ReportedDeployment, form: _Form) -> list[str]:
    started = f"started by {each.started_by or 'nobody knows whom'}"
    started += f" on {moment(each.started_at)}" if each.started_at is not None else ""
    started += f" by way of {each.started_via}" if each.started_via else ""
    commit = f"commit {each.git_commit_sha}" if each.git_commit_sha else "its commit is not recorded any more"
    commit += f" of {each.git_ref}" if each.git_ref else ""
    commit += f", by {each.git_author}" if each.git_author else ""
    facts = f"{each.deployment_id}: {started}; {commit}; now {each.status or 'unknown, its record is gone'}."
    parts = [form.heading(3, f"Version {each.version or '?'}"), form.paragraph(facts)]
    parts += [form.paragraph(f"To be known: {', '.join(each.remarks)}.")] if each.remarks else []
    if each.stages:
        rows = [
            (stage.environment, stage.status, moment(stage.deployed_at) if stage.deployed_at else "",
             "; ".join(stage.checks) or "none asked for")
            for stage in each.stages
        ]  # fmt: skip
        parts.append(form.table(("environment", "status", "deployed at", "checks"), rows))
    for title, lines in (("Came to", each.came_to), ("Approvals", each.approvals), ("Checks", each.checks)):
        if lines:
            parts += [form.heading(4, title), _lines(lines, form)]
    if each.metrics:
        parts += [form.heading(4, "Metrics"), form.table(("sample",), [(text,) for text in each.metrics])]
    return parts


def _lines(lines: Sequence[ReportLine], form: _Form) -> str:
    titles = ("when", "what", "by", "where", "says", "to be known")
    rows = [
        (
            moment(line.at),
            line.what,
            line.by,
            " ".join(filter(None, (line.environment, line.version))),
            " ".join(filter(None, (line.message, f"Reason: {line.reason}" if line.reason else ""))),
            ", ".join(line.marks),
        )
        for line in lines
    ]
    return form.table(titles, rows)


def _seal_words(seal: CoveringSeal | None) -> str:
    if seal is None:
        return "It is made of no event, so no seal covers it."
    if seal.number is None or seal.sealed_at is None:
        return f"Its newest event ({seal.event_id}) is not sealed yet."
    return (
        f"Its newest event ({seal.event_id}) is covered by seal {seal.number} of {moment(seal.sealed_at)}, key"
        f" {seal.key_id}, hash {seal.hash}. Whether the trail still is what was sealed says: hybridci audit verify."
    )


def moment(millis: int) -> str:
    """A time in UTC; one that no calendar has, which somebody else wrote, is the last that one has."""
    return datetime.fromtimestamp(min(max(millis, 0), _LAST_MILLIS) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _md_heading(level: int, text: str) -> str:
    return f"{'#' * level} {_md(text)}\n"


def _md_table(titles: _Row, rows: Sequence[_Row]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(_span(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _span(text: str) -> str:
    line = _one_line(text).replace("`", "'")
    return f"`{line}`" if line else ""


def _md(text: str) -> str:
    """Text between our own words: every sign that could be Markdown or HTML is itself."""
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in _one_line(text))


_MARKUP: Final = frozenset("\\`*_{}[]<>#|~&")


def _html_table(titles: _Row, rows: Sequence[_Row]) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "\n".join(f"<tr>{''.join(f'<td>{html.escape(_one_line(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _one_line(text: str) -> str:
    return " ".join(without_misleading(text, lines=True).split())
