"""What the reason of a verdict means to people. Its parameters are those of a record: exit_code, image, node …"""

from collections.abc import Mapping
from typing import Final

from merp_crds.reasons import Reason
from merp_crds.texts import Texts, texts

REASONS: Final[Mapping[Reason, Texts]] = {
    Reason.COMPLETED: texts("It did its work.", "", "运行已完成。", ""),
    Reason.EXIT_CODE: texts(
        "Its program failed[ with exit code {exit_code}].",
        "Read its error and its log; mend the task or its parameters, then retry the run.",
        "程序运行失败[，退出码 {exit_code}]。",
        "查看错误信息和日志；修正任务或参数后重试该次运行。",
    ),
    Reason.BAD_PARAMETERS: texts(
        "The task does not take these parameters, or there is no such task; a retry would not help.",
        "Correct func, args and kwargs of the job: GET /api/v1/tasks says what a task takes.",
        "任务不接受这些参数，或任务不存在；重试无济于事。",
        "修正任务的 func、args 和 kwargs：GET /api/v1/tasks 列出每个任务的参数。",
    ),
    Reason.NOT_RETRIED: texts(
        "Its program failed[ with exit code {exit_code}], and a rule of the job says not to retry that.",
        "Mend the cause, then retry the run; the rule is no_retry_exit_codes.",
        "程序运行失败[，退出码 {exit_code}]，按任务的规则不再重试。",
        "排除原因后重试该次运行；该规则由 no_retry_exit_codes 定义。",
    ),
    Reason.OUT_OF_MEMORY: texts(
        "It was killed because it used more memory than it may.",
        "Raise the memory limit in the job's template, or let the task work on less at once.",
        "内存用量超过限额，进程被终止。",
        "在任务模板中提高内存限额，或让任务分批处理数据。",
    ),
    Reason.SIGNAL: texts(
        "Its program was ended by a signal[ (exit code {exit_code})].",
        "Its log may say who sent it; on a crash of the program itself mend the task.",
        "程序被信号终止[（退出码 {exit_code}）]。",
        "查看日志以确定信号来源；若是程序自身崩溃，请修正任务。",
    ),
    Reason.EVICTED: texts(
        "Its pod was evicted[ from the node {node}]: the node ran short of something, or was being emptied.",
        "Retry the run; set resource requests in the job's template so that the node keeps room for it.",
        "Pod 被驱逐[出节点 {node}]：节点资源不足，或正在被腾空。",
        "重试该次运行；在任务模板中设置资源请求，使节点为其预留资源。",
    ),
    Reason.PREEMPTED: texts(
        "Its pod had to make room for one of a higher priority.",
        "Retry the run when there is room, or raise the job's priority.",
        "Pod 被更高优先级的 Pod 抢占。",
        "待资源充足后重试，或提高任务的优先级。",
    ),
    Reason.NODE_LOST: texts(
        "The node[ {node}] that it ran on was lost.",
        "Retry the run; have somebody look at the node.",
        "所在节点[ {node}]已失联。",
        "重试该次运行；请检查该节点。",
    ),
    Reason.POD_DELETED: texts(
        "Somebody deleted its pod.",
        "Retry the run; the cluster's audit log says who deleted the pod.",
        "Pod 被人为删除。",
        "重试该次运行；集群审计日志会记录是谁删除的。",
    ),
    Reason.IMAGE_PULL: texts(
        "Its image[ {image}] could not be pulled.",
        "Check the image's name and tag, and the pull secret in the job's template.",
        "镜像[ {image}]拉取失败。",
        "检查镜像名称和标签，以及任务模板中的拉取凭据。",
    ),
    Reason.CONFIG_ERROR: texts(
        "Its container could not be made: a Secret, a ConfigMap or a command that it needs is missing.",
        "Create what its error names in the job's namespace, or correct the job's template.",
        "容器无法创建：缺少所需的 Secret、ConfigMap 或命令。",
        "在任务所在命名空间创建错误信息中提到的对象，或修正任务模板。",
    ),
    Reason.UNSCHEDULABLE: texts(
        "No node had room for its pod, none fits, or the one that was chosen did not take it.",
        "Ask for less in the job's template, correct its node selector, or add nodes.",
        "没有节点能够容纳该 Pod，没有符合条件的节点，或选定的节点拒绝了它。",
        "降低任务模板中的资源请求，修正节点选择条件，或增加节点。",
    ),
    Reason.INIT_FAILED: texts(
        "A container that had to finish or to be up before the task failed.",
        "Read that container's log; correct initContainers of the job's template.",
        "任务之前必须完成或就绪的初始化容器失败。",
        "查看该容器的日志；修正任务模板中的 initContainers。",
    ),
    Reason.BACKOFF_EXHAUSTED: texts(
        "All its attempts[, {attempts} of them,] failed.",
        "Read the error of each attempt, mend the cause, then retry the run.",
        "所有尝试[（共 {attempts} 次）]均失败。",
        "查看每次尝试的错误，排除原因后重试该次运行。",
    ),
    Reason.START_REFUSED: texts(
        "The cluster refused to start it: a quota, a policy or a missing account.",
        "Its error has the cluster's own words; correct the job's template, or have the quota raised.",
        "集群拒绝启动：配额、策略限制，或缺少服务账户。",
        "错误信息中有集群的原话；修正任务模板，或申请提高配额。",
    ),
    Reason.UNKNOWN: texts(
        "It failed, and what happened is not known any more: its pod is gone.",
        "Retry the run; where this happens often, have somebody look at the nodes.",
        "运行失败，但其 Pod 已不存在，原因无从得知。",
        "重试该次运行；如果经常发生，请检查节点。",
    ),
    Reason.DEADLINE: texts(
        "It took longer than timeout_seconds, or the activeDeadlineSeconds of its pod, allows.",
        "Raise the one that its error names, or make the task faster; its error says how long it waited for its start.",
        "运行时间超过 timeout_seconds 或 Pod 自身 activeDeadlineSeconds 的限制。",
        "提高错误信息中指出的限制，或优化任务；错误信息中说明了启动前等待的时间。",
    ),
    Reason.NEVER_STARTED: texts(
        "timeout_seconds had passed before its container started.",
        "Find out what held its pod up (its error says how far it had come), or raise timeout_seconds.",
        "容器启动之前 timeout_seconds 就已用完。",
        "查明 Pod 未能启动的原因（错误信息说明进展到哪一步），或提高 timeout_seconds。",
    ),
    Reason.SIDECAR_RUNNING: texts(
        "The task had ended, but another container of its pod went on until the time was over.",
        "Declare that container as an init container with restartPolicy Always: it then ends with the task.",
        "任务已结束，但 Pod 中另一个容器一直运行到超时。",
        "将该容器声明为 restartPolicy 为 Always 的 init 容器，它就会随任务结束。",
    ),
    Reason.CANCELLED_BY_USER: texts(
        "Somebody cancelled it; its error says who and when.",
        "Retry the run if it is needed after all.",
        "运行被人取消；错误信息中有取消人和时间。",
        "如仍需要，可重试该次运行。",
    ),
    Reason.JOB_DELETED: texts(
        "Its Kubernetes Job was deleted by hand.",
        "Retry the run; to end one, cancel it: that leaves word of who did.",
        "其 Kubernetes Job 被手动删除。",
        "重试该次运行；如需终止运行，请使用取消操作，以便留下记录。",
    ),
    Reason.SCHEDULED_JOB_DELETED: texts(
        "Its job was deleted, and it ended with that.",
        "",
        "任务被删除，运行随之终止。",
        "",
    ),
    Reason.REPLACED: texts(
        "A newer run took its place: the job's concurrency_policy is Replace.",
        "Where each run has to end, choose Queue or Forbid.",
        "被更新的运行取代：任务的 concurrency_policy 为 Replace。",
        "如果每次运行都必须完成，请改用 Queue 或 Forbid。",
    ),
    Reason.OVERLAP: texts(
        "It was skipped, because an earlier run was unfinished and concurrency_policy is Forbid.",
        "Let it be due less often, make the task faster, or choose Queue, Replace or Allow.",
        "因上一次运行尚未结束且 concurrency_policy 为 Forbid，本次被跳过。",
        "降低执行频率，优化任务，或改用 Queue、Replace 或 Allow。",
    ),
    Reason.QUEUE_FULL: texts(
        "It was skipped, because max_queued runs were waiting already.",
        "Raise max_queued, let it be due less often, or make the task faster.",
        "等待的运行已达到 max_queued，本次被跳过。",
        "提高 max_queued，降低执行频率，或优化任务。",
    ),
    Reason.CALENDAR: texts(
        "It was skipped by the job's calendar: on a day off, or together with another due time.",
        "Choose on_holiday Next or Previous to run on a working day nearby, or correct the calendar.",
        "按任务的日历跳过：当天为休息日，或与另一到期时间合并。",
        "将 on_holiday 设为 Next 或 Previous 以在临近工作日运行，或修正日历。",
    ),
    Reason.NAME_TAKEN: texts(
        "It was skipped, because something else has the name of its Kubernetes Job.",
        "Delete or rename the Job that has the name, then retry the run.",
        "因其 Kubernetes Job 的名称已被占用，本次被跳过。",
        "删除或重命名占用该名称的 Job，然后重试该次运行。",
    ),
    Reason.GATE_TIMEOUT: texts(
        "The jobs that it depends on were not done in time.",
        "See why these did not run or failed, or raise timeout_seconds of dependency_policy.",
        "所依赖的任务未能按时完成。",
        "查明上游任务未运行或失败的原因，或提高 dependency_policy 的 timeout_seconds。",
    ),
    Reason.POOL_TIMEOUT: texts(
        "It had no room in its pool in time.",
        "Make the JobPool larger, give the job a higher priority, or raise timeout_seconds of pool.",
        "资源池在规定时间内没有空余槽位。",
        "扩大 JobPool，提高任务优先级，或提高 pool 的 timeout_seconds。",
    ),
    Reason.OUTAGE: texts(
        "[{count} due times: ]Nothing could start it when it was due: the cluster or the operator was away.",
        "Retry it if it is needed; the job's missed policy says what is caught up by itself.",
        "[共 {count} 个到期时间：]到期时集群或调度器不可用，未能启动。",
        "如有需要可重试；任务的 missed 策略决定自动补跑的范围。",
    ),
    Reason.TOO_LATE: texts(
        "[{count} due times: ]When it could have been started, it was older than the job's missed policy allows.",
        "Retry it if it is needed, or raise max_age of missed.",
        "[共 {count} 个到期时间：]可以启动时，已超出任务 missed 策略允许的时限。",
        "如有需要可重试，或提高 missed 的 max_age。",
    ),
}
