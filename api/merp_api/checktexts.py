"""What a check of an explanation means to people when it does not let the job run."""

from collections.abc import Mapping
from typing import Final

from merp_api.outlooks import Check
from merp_crds.texts import Texts, texts

CHECKS: Final[Mapping[Check, Texts]] = {
    Check.DEFINITION: texts(
        "The definition cannot be carried out.",
        "Correct what the detail names.",
        "任务定义无法执行。",
        "修正 detail 中指出的内容。",
    ),
    Check.OPERATOR: texts(
        "The operator is not up to date with the job.",
        "Look at the operator's pod and its log.",
        "调度器尚未处理该任务的最新状态。",
        "检查调度器（operator）的 Pod 及其日志。",
    ),
    Check.PAUSED: texts(
        "The job is paused, so nothing becomes due.",
        "Resume it, or set suspend to false where its manifest is kept.",
        "任务已暂停，不会到期。",
        "恢复任务，或在维护清单的地方将 suspend 设为 false。",
    ),
    Check.SCHEDULE: texts(
        "Its schedule has no due time now.",
        "Change its schedule if it is to run again, or sooner.",
        "调度目前没有到期时间。",
        "如需再次运行或提前运行，请修改调度时间。",
    ),
    Check.CALENDAR: texts(
        "Its calendar takes due times away, or does not know the days to come.",
        "Choose on_holiday Next or Previous, or renew the BusinessCalendar.",
        "日历取消了到期时间，或不包含未来的日期。",
        "将 on_holiday 设为 Next 或 Previous，或更新 BusinessCalendar。",
    ),
    Check.MISSED: texts(
        "Its last due time was missed.",
        "Retry it if it is needed.",
        "上一个到期时间被错过。",
        "如有需要可重试。",
    ),
    Check.OVERLAP: texts(
        "An earlier run is unfinished, and concurrency_policy is Forbid.",
        "Wait for that run, cancel it, or choose another concurrency_policy.",
        "上一次运行尚未结束，且 concurrency_policy 为 Forbid。",
        "等待或取消该运行，或更改 concurrency_policy。",
    ),
    Check.DEPENDENCY: texts(
        "A job that it depends on holds it up.",
        "See what the detail says of that job: explain it too.",
        "所依赖的任务阻碍了运行。",
        "查看 detail 中关于该任务的说明，并对其执行 explain。",
    ),
    Check.POOL: texts(
        "Its JobPool has no room for it.",
        "Wait for its turn, make the JobPool larger, or ask for fewer slots.",
        "JobPool 没有可用的槽位。",
        "等待轮到它，扩大 JobPool，或减少所需槽位。",
    ),
    Check.WAITING: texts(
        "A run of it waits.",
        "The detail says for what.",
        "有一次运行正在等待。",
        "detail 说明了等待的内容。",
    ),
    Check.POD: texts(
        "The pod of its last run could not start.",
        "Correct what the detail names: the image, a Secret, the resources that are asked for.",
        "上一次运行的 Pod 无法启动。",
        "修正 detail 中指出的内容：镜像、Secret 或所请求的资源。",
    ),
}
