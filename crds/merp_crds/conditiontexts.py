"""What the reason of a ScheduledJob's condition means to people. The condition's own message has the particulars."""

from collections.abc import Mapping
from typing import Final

from merp_crds.reasons import ConditionReason
from merp_crds.texts import Texts, texts

CONDITIONS: Final[Mapping[ConditionReason, Texts]] = {
    ConditionReason.VALID: texts("The definition can be carried out.", "", "定义有效。", ""),
    ConditionReason.INVALID_SPEC: texts(
        "The definition has fields that do not go together, or that this version does not know.",
        "Correct the fields that the message names.",
        "定义中有互相矛盾的字段，或本版本不支持的字段。",
        "修正消息中指出的字段。",
    ),
    ConditionReason.INVALID_SCHEDULE: texts(
        "The schedule cannot be carried out.",
        "Correct the schedule; POST /api/v1/jobs/preview shows what one means.",
        "调度时间设置无效。",
        "修正调度时间；可用 POST /api/v1/jobs/preview 预览。",
    ),
    ConditionReason.INVALID_TIME_ZONE: texts(
        "There is no such time zone.",
        "Write an IANA name such as Asia/Shanghai.",
        "时区不存在。",
        "请使用 IANA 时区名称，例如 Asia/Shanghai。",
    ),
    ConditionReason.INVALID_CALENDAR: texts(
        "The job's calendar is missing or cannot be used.",
        "Create or correct the BusinessCalendar that the message names, or choose another one.",
        "任务使用的日历不存在或无法使用。",
        "创建或修正消息中指出的 BusinessCalendar，或改用其他日历。",
    ),
    ConditionReason.NEVER_FIRES: texts(
        "The schedule matches no moment: the job would never run.",
        "Correct the cron expression or the calendar.",
        "调度时间不匹配任何时刻：任务永远不会运行。",
        "修正 cron 表达式或日历。",
    ),
    ConditionReason.UNKNOWN_TASK: texts(
        "The image has no task of that name.",
        "Choose one that GET /api/v1/tasks lists, or name the image that has it.",
        "镜像中没有该名称的任务。",
        "选择 GET /api/v1/tasks 列出的任务，或指定包含该任务的镜像。",
    ),
    ConditionReason.INVALID_PARAMETERS: texts(
        "The task does not take the parameters that the job gives it.",
        "Correct the parameters that the message names; GET /api/v1/tasks/{name} shows what the task takes.",
        "任务函数不接受所给的参数。",
        "修正消息中指出的参数；GET /api/v1/tasks/{name} 说明该函数接受的参数。",
    ),
    ConditionReason.DEPENDENCY_CYCLE: texts(
        "The job waits for itself, through the jobs that it depends on.",
        "Take one of the dependencies away that the message names.",
        "任务通过依赖关系等待自身，形成循环。",
        "删除消息中指出的某个依赖。",
    ),
    ConditionReason.INVALID_TEMPLATE: texts(
        "The cluster takes no pod of this template.",
        "Correct the field of the template that the message names.",
        "集群不接受由该模板生成的 Pod。",
        "修正消息中指出的模板字段。",
    ),
    ConditionReason.RESERVED_NAME: texts(
        "The job's name is a word of the REST API.",
        "Create it under another name and delete this one.",
        "任务名称是 REST API 的保留字。",
        "换一个名称重新创建，并删除此任务。",
    ),
    ConditionReason.CRONJOB_EXISTS: texts(
        "A CronJob of that name belongs to somebody else.",
        "Delete or rename that CronJob, or give the job another name.",
        "同名的 CronJob 属于其他所有者。",
        "删除或重命名该 CronJob，或为任务换一个名称。",
    ),
    ConditionReason.CANNOT_APPLY: texts(
        "The cluster refused what the operator made of the definition.",
        "The message has the cluster's own words: mostly a policy or a quota that somebody has to change.",
        "集群拒绝了根据定义生成的对象。",
        "消息中有集群的原话：通常是需要调整的策略或配额。",
    ),
    ConditionReason.FORBIDDEN_LABEL: texts(
        "The template has a label that is not supported.",
        "Take the label away that the message names.",
        "模板中有不受支持的标签。",
        "删除消息中指出的标签。",
    ),
    ConditionReason.SUSPENDED: texts(
        "The manifest says suspend: true, so nothing becomes due.",
        "Set spec.suspend to false where the manifest is kept.",
        "清单中设置了 suspend: true，任务不会到期。",
        "在维护清单的地方将 spec.suspend 设为 false。",
    ),
    ConditionReason.PAUSED_BY_ANNOTATION: texts(
        "Somebody paused the job, so nothing becomes due.",
        "Resume it: POST /api/v1/jobs/{id}/resume.",
        "任务被人暂停，不会到期。",
        "恢复任务：POST /api/v1/jobs/{id}/resume。",
    ),
    ConditionReason.NOT_PAUSED: texts("The job is not paused.", "", "任务未暂停。", ""),
    ConditionReason.NO_RUN_YET: texts("The job has not run yet.", "", "任务尚未运行过。", ""),
    ConditionReason.ON_SCHEDULE: texts("Everything that was due has started.", "", "所有到期的运行均已按时启动。", ""),
    ConditionReason.MISSED: texts(
        "A due time was missed.",
        "See its reason in the history; retry it if it is needed.",
        "错过了一个到期时间。",
        "在历史记录中查看原因；如有需要可重试。",
    ),
    ConditionReason.CANNOT_START: texts(
        "A run that was due could not be started.",
        "The message has the cluster's own words; it is tried again until it is too late.",
        "到期的运行无法启动。",
        "消息中有集群的原话；系统会在时限内不断重试。",
    ),
    ConditionReason.CLOCK_SET_BACK: texts(
        "The cluster's clock was ahead, and the due times that passed by it are not started again.",
        "Wait until the moment that the message names, or have somebody do what it says.",
        "集群时钟曾经超前，当时已经过去的到期时间不会再次启动。",
        "等到消息中的时刻，或按消息中的方法处理。",
    ),
    ConditionReason.ZONE_RULES_DIFFER: texts(
        "The cluster's clock and the operator have other rules for the job's time zone, and it may run by both.",
        "Have the older zone database (tzdata) brought up to date, or give the job another time zone until then.",
        "集群时钟与调度器使用的时区规则不同，任务可能按两种时间各运行一次。",
        "请管理员更新较旧的时区数据库（tzdata），或在此之前为任务改用其他时区。",
    ),
    ConditionReason.POOL_NOT_FOUND: texts(
        "There is no JobPool of the name that the job asks for.",
        "Create the JobPool in the job's namespace, or correct its name.",
        "任务所需的 JobPool 不存在。",
        "在任务所在命名空间创建该 JobPool，或修正其名称。",
    ),
    ConditionReason.POOL_TOO_SMALL: texts(
        "A run asks for more slots than its JobPool has.",
        "Ask for fewer slots, or make the JobPool larger.",
        "运行所需的槽位多于 JobPool 的总数。",
        "减少所需槽位，或扩大 JobPool。",
    ),
    ConditionReason.UPSTREAM_CANNOT_RUN: texts(
        "A job that it depends on cannot run any more: it is paused, deleted, over or unknown.",
        "Resume or create the job that the message names, or take the dependency away.",
        "所依赖的任务已无法运行：已暂停、已删除、已结束或不存在。",
        "恢复或创建消息中指出的任务，或删除该依赖。",
    ),
    ConditionReason.CALENDAR_UNKNOWN: texts(
        "The calendar does not know the days to come: only weekends count there.",
        "Renew the BusinessCalendar that the message names.",
        "日历不包含未来的日期：届时只按周末计算。",
        "更新消息中指出的 BusinessCalendar。",
    ),
    ConditionReason.COMPLETED: texts("Nothing will become due any more.", "", "不会再有到期时间。", ""),
    ConditionReason.PAUSED: texts("Nothing becomes due while the job is paused.", "", "任务暂停期间不会到期。", ""),
}
