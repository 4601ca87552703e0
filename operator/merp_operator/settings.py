"""The operator's settings: from the environment, or a `.env` file."""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from merp_crds.zones import find_zone
from merp_records.settings import DatabaseSettings


class OperatorSettings(DatabaseSettings):
    """What an installation decides."""

    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="What is logged. Default: INFO.")
    ] = "INFO"
    log_file: Annotated[Path | None, Field(description="A log file beside stdout. Default: none.")] = None
    merp_watch_namespace: Annotated[
        str, Field(description="The one namespace to serve. Default: empty, which means all.")
    ] = ""
    merp_default_time_zone: Annotated[str, Field(description="Zone of schedules that name none. Default: UTC.")] = "UTC"
    merp_default_image: Annotated[
        str, Field(description="Image of jobs that name none. No default: such a job is then refused.")
    ] = ""
    merp_default_env: Annotated[
        list[dict[str, Any]],
        Field(
            default_factory=list,
            description="JSON: environment of jobs on the default image, as in a container. Default: none.",
        ),
    ]
    merp_catalogue: Annotated[
        Path | None, Field(description="File with the default image's catalogue of tasks. Default: none, no check.")
    ] = None
    merp_catalogues: Annotated[
        Path | None,
        Field(description="Folder with a folder for the catalogue of each further image. Default: none, no check."),
    ] = None
    merp_published_catalogues: Annotated[
        bool, Field(description="Whether ConfigMaps in the jobs' namespaces are catalogues too. Default: false.")
    ] = False
    merp_health_port: Annotated[
        int, Field(ge=1, le=65_535, description="Port of /healthz, /readyz and /metrics. Default: 8080.")
    ] = 8080
    merp_lease_namespace: Annotated[
        str, Field(description="Namespace of the Lease. Default: empty: no election, for the only operator there is.")
    ] = ""
    merp_lease_name: Annotated[
        str,
        Field(min_length=1, description="The Lease that operators of one installation share. Default: merp-operator."),
    ] = "merp-operator"
    merp_pod_name: Annotated[
        str, Field(default_factory=socket.gethostname, description="Who holds the Lease. Default: the host's name.")
    ]
    merp_log_tails: Annotated[
        bool, Field(description="Whether the end of a failed attempt's log is kept with its record. Default: true.")
    ] = True
    merp_kubeconfig: Annotated[
        Path | None, Field(description="A kubeconfig, outside a cluster. Default: the pod's own account.")
    ] = None

    @field_validator("merp_default_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        find_zone(value)
        return value
