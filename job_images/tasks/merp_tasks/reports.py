"""The report: how the scheduled jobs of a period went, from the scheduler's records."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from merp_runner import Connection, Context, ParameterError, task
from merp_tasks.figures import VERDICTS, Figures, Period, days_of, figures_of, totals
from merp_tasks.outputs import output_path, whole_file, write_csv

# A termination message holds about this many.
_MAX_JOBS: Final = 10
_HEADER: Final = (
    "namespace", "job", "name", "due", *VERDICTS, "open", "late", "reruns", "success_rate", "mean_seconds",
    "longest_seconds", "last_failure", "last_reason",
)  # fmt: skip


@task(
    title={"en": "Report of scheduled jobs", "zh": "计划任务报告"},
    description={"zh": "按任务统计一日、一周或一月内成功、失败、延迟和错过的运行，输出 CSV 和 HTML。"},
)
def report(
    context: Context,
    connection: Annotated[Connection, "Database of the scheduler's records"],
    period: Annotated[Period, "The last whole one before the business date; weeks begin on Monday"] = "day",
    *,
    namespace: Annotated[str, "One namespace; without it all"] = "",
    late_seconds: Annotated[float, "A run is late if it starts so long after its due time"] = 60,
    formats: Annotated[list[Literal["csv", "html"]] | None, "Files to write; without it both"] = None,
    name: Annotated[str, "Their name, without .csv and .html; {date} stands for the business date"] = "report-{date}",
    language: Annotated[Literal["en", "zh"], "Of the page"] = "en",
) -> dict[str, Any]:
    """Report success, failed, late and missed runs of a day, week or month, by job, as CSV and HTML.

    The result has the totals and the jobs that went worst.
    """
    if late_seconds < 0:
        raise ParameterError(f"late_seconds: {late_seconds:g} is below 0")
    wanted = ["csv", "html"] if formats is None else formats
    paths = {kind: output_path(f"{name}.{kind}", "name", context) for kind in dict.fromkeys(wanted)}
    # Here: it takes a quarter of a second, which every other task of the image would wait for too.
    from zoneinfo import ZoneInfo

    from merp_tasks.databases import database
    from merp_tasks.history import executions
    from merp_tasks.pages import page

    zone = ZoneInfo(context.time_zone)
    first, after = days_of(period, context.business_date)
    start, end = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, after))
    with database(connection) as engine:
        figures = figures_of(executions(engine, start, end, namespace), late_seconds)
    total = totals(figures)
    last = after - timedelta(days=1)
    if "csv" in paths:
        write_csv(paths["csv"], _HEADER, [_cells(job) for job in figures])
    if "html" in paths:
        text = page(figures, total, str(first), str(last), zone, context.time_zone, language)
        with whole_file(paths["html"]) as file:
            file.write(text.encode())
    return _result(figures, total, first, last) | {"files": [path.name for path in paths.values()]}


def _result(figures: list[Figures], total: Figures, first: date, last: date) -> dict[str, Any]:
    trouble = [job for job in figures if job.success_rate not in (None, 1.0) or job.late]
    worst = sorted(trouble, key=lambda job: (1.0 if job.success_rate is None else job.success_rate, -job.late))
    return {
        "from": first,
        "until": last,
        "jobs": len(figures),
        "due": total.due,
        **total.verdicts,
        "open": total.open,
        "late": total.late,
        "success_rate": _rate(total),
        "worst": [
            {
                "job": f"{job.namespace}/{job.job_name}",
                "success_rate": _rate(job),
                "failed": job.verdicts["failed"] + job.verdicts["timeout"],
                "missed": job.verdicts["missed"],
                "late": job.late,
                "reason": job.last_reason,
            }
            for job in worst[:_MAX_JOBS]
        ],
    }


def _rate(job: Figures) -> float | None:
    return None if job.success_rate is None else round(job.success_rate, 4)


def _cells(job: Figures) -> list[Any]:
    counts = [job.due, *(job.verdicts[verdict] for verdict in VERDICTS), job.open, job.late, job.reruns]
    mean = "" if job.mean_seconds is None else round(job.mean_seconds, 3)
    longest = round(job.longest, 3) if job.ran else ""
    failure = "" if job.last_failure is None else job.last_failure.replace(tzinfo=UTC).isoformat()
    rate = "" if job.success_rate is None else _rate(job)
    return [job.namespace, job.job_name, job.display_name, *counts, rate, mean, longest, failure, job.last_reason]
