"""The report as a page: one file without scripts or links, in English or Chinese."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Final, Literal

from merp_tasks.figures import VERDICTS, Figures

Language = Literal["en", "zh"]

_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "title": "Scheduled jobs",
        "from_to": "{first} to {last}, {zone}",
        "none": "Nothing was due.",
        "namespace": "Namespace",
        "job": "Job",
        "due": "Due",
        "success": "Success",
        "failed": "Failed",
        "timeout": "Timeout",
        "cancelled": "Cancelled",
        "skipped": "Skipped",
        "missed": "Missed",
        "open": "Open",
        "late": "Late",
        "rate": "Success rate",
        "mean": "Mean time",
        "longest": "Longest",
        "last": "Last failure",
        "all": "All",
    },
    "zh": {
        "title": "计划任务报告",
        "from_to": "{first} 至 {last}，{zone}",
        "none": "该期间没有到期的任务。",
        "namespace": "命名空间",
        "job": "任务",
        "due": "到期",
        "success": "成功",
        "failed": "失败",
        "timeout": "超时",
        "cancelled": "已取消",
        "skipped": "已跳过",
        "missed": "错过",
        "open": "未结束",
        "late": "延迟",
        "rate": "成功率",
        "mean": "平均耗时",
        "longest": "最长耗时",
        "last": "最近一次失败",
        "all": "合计",
    },
}
_STYLE: Final = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#1b1f24}table{border-collapse:collapse}"
    "th,td{padding:.3em .8em;border-bottom:1px solid #d5d9de;text-align:right;white-space:nowrap}"
    "th.t,td.t{text-align:left}tfoot td{font-weight:600}td.bad{color:#b42318;font-weight:600}p{color:#57606a}"
)


def page(
    figures: Sequence[Figures], total: Figures, first: str, last: str, zone: tzinfo, zone_name: str, language: Language
) -> str:
    """The whole page; `first` and `last` are days, both included."""
    words = _WORDS[language]
    when = escape(words["from_to"].format(first=first, last=last, zone=zone_name))
    head = (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{words["title"]}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{words['title']}</h1><p>{when}</p>\n"
    )
    if not figures:
        return f"{head}<p>{words['none']}</p></body></html>\n"
    columns = ["namespace", "job", "due", *VERDICTS, "open", "late", "rate", "mean", "longest", "last"]
    header = "".join(
        f'<th class="t">{words[name]}</th>' if name in ("namespace", "job", "last") else f"<th>{words[name]}</th>"
        for name in columns
    )
    rows = "\n".join(_row(job, zone) for job in figures)
    foot = f'<td class="t">{words["all"]}</td><td></td>{_numbers(total)}<td></td>'
    table = f"<table><thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody><tfoot><tr>{foot}</tr></tfoot></table>"
    return f"{head}{table}</body></html>\n"


def _row(job: Figures, zone: tzinfo) -> str:
    name = escape(job.job_name)
    if job.display_name != job.job_name:
        name += f"<br>{escape(job.display_name)}"
    last = "" if job.last_failure is None else f"{_local(job.last_failure, zone)} {escape(job.last_reason)}"
    return (
        f'<tr><td class="t">{escape(job.namespace)}</td><td class="t">{name}</td>{_numbers(job)}'
        f'<td class="t">{last}</td></tr>'
    )


def _numbers(job: Figures) -> str:
    cells = [f"<td>{job.due}</td>"]
    for verdict in VERDICTS:
        bad = ' class="bad"' if verdict in ("failed", "timeout", "missed") and job.verdicts[verdict] else ""
        cells.append(f"<td{bad}>{job.verdicts[verdict]}</td>")
    cells += [f"<td>{job.open}</td>", f"<td>{job.late}</td>", f"<td>{_percent(job.success_rate)}</td>"]
    cells += [f"<td>{_seconds(job.mean_seconds)}</td>", f"<td>{_seconds(job.longest if job.ran else None)}</td>"]
    return "".join(cells)


def _percent(rate: float | None) -> str:
    # Cut, not rounded: what is not all is never shown as 100 %.
    return "–" if rate is None else f"{int(rate * 1000) / 10:.1f} %"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.1f} s"


def _local(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.replace(tzinfo=UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"
