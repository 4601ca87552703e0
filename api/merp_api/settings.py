"""The gateway's settings: from the environment, or a `.env` file."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from merp_crds.zones import find_zone
from merp_records.settings import DatabaseSettings

# Where a pod finds the certificate of its cluster's authority, and beside it the token of its account.
_POD_CA: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
_POD_TOKEN: Final = _POD_CA.with_name("token")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(DatabaseSettings):
    """What an installation decides. Of credentials of the cluster there is the name of a file."""

    service_port: Annotated[int, Field(ge=1, le=65_535, description="Port that is listened on. Default: 8005.")] = 8005
    merp_listen: Annotated[
        str, Field(description="Address that is listened on. Default: every IPv4 address of the pod.")
    ] = "0.0.0.0"  # noqa: S104  # the pod's network is the boundary, and its Service decides who gets there
    merp_metrics_port: Annotated[
        Annotated[int, Field(ge=1, le=65_535)] | None,
        Field(description="Port of /metrics, for which no token is needed. Default: none, no metrics."),
    ] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="What is logged. Default: INFO.")
    ] = "INFO"
    log_file: Annotated[Path | None, Field(description="A log file beside stdout. Default: none.")] = None
    merp_namespace: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            max_length=63,
            description="Namespace of requests that name none. Default: default.",
        ),
    ] = "default"
    merp_template_namespace: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
            max_length=63,
            description="Namespace with approved templates for every other. Default: none.",
        ),
    ] = ""
    merp_default_time_zone: Annotated[str, Field(description="Zone of schedules that name none. Default: UTC.")] = "UTC"
    merp_default_image: Annotated[
        str, Field(description="Image of jobs that name none: the one the catalogue is of. Default: empty.")
    ] = ""
    merp_catalogue: Annotated[
        Path | None, Field(description="File with the default image's catalogue of tasks. Default: none, no check.")
    ] = None
    merp_catalogues: Annotated[
        Path | None,
        Field(description="Folder with a folder for the catalogue of each further image. Default: none, no check."),
    ] = None
    merp_default_env: Annotated[
        list[dict[str, Any]],
        Field(
            default_factory=list,
            description="JSON: environment of jobs on the default image, as in a container: which connections it "
            "gives. Default: none.",
        ),
    ]
    merp_privileged_tasks: Annotated[
        frozenset[str],
        NoDecode,
        Field(description="Names of privileged tasks, with commas between them; only shown. Default: none."),
    ] = frozenset()
    merp_requests_per_second: Annotated[
        float, Field(ge=0, le=10_000, description="Requests a second of one user. Default: 50. 0: any number.")
    ] = 50.0
    merp_request_burst: Annotated[
        int, Field(ge=1, le=100_000, description="Requests of one user at once, after a silence. Default: 200.")
    ] = 200
    merp_pause_seconds: Annotated[
        float,
        Field(ge=0, le=60, description="Seconds that pause and resume wait until they are in force. Default: 3."),
    ] = 3.0
    merp_streams_per_user: Annotated[
        int, Field(ge=1, le=10_000, description="Logs and events that one user follows at the same time. Default: 10.")
    ] = 10
    merp_streams: Annotated[
        int, Field(ge=1, le=10_000, description="Logs and events that all users follow at the same time. Default: 100.")
    ] = 100
    merp_api_server: Annotated[
        str, Field(description="URL of the API server. Default: that of the pod's own cluster.")
    ] = ""
    merp_api_server_ca: Annotated[
        Path | None, Field(description="File with the API server's authority. Default: the pod's, if it has one.")
    ] = None

    merp_token_file: Annotated[
        Path | None,
        Field(
            description="File with the gateway's own token, which it watches with. Default: the pod's, if it has one."
        ),
    ] = None
    merp_watch_namespace: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
            max_length=63,
            description="Namespace that is watched. Default: all.",
        ),
    ] = ""

    @field_validator("merp_default_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        find_zone(value)
        return value

    @field_validator("merp_privileged_tasks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("merp_api_server_ca", "merp_token_file")
    @classmethod
    def _existing_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file")
        return value

    def api_server(self) -> str:
        """The API server's URL. Raises ValueError that names the variable."""
        if not self.merp_api_server:
            host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            if not host:
                raise ValueError("MERP_API_SERVER: needed outside a cluster, for example https://10.0.0.1:6443")
            return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        parts = urlsplit(self.merp_api_server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("MERP_API_SERVER: write a URL without user and password, such as https://10.0.0.1:6443")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("MERP_API_SERVER: callers' tokens go there, so it must be https")
        return self.merp_api_server.rstrip("/")

    def api_server_ca(self) -> str | None:
        """The file of the API server's authority; None means the system's own."""
        if self.merp_api_server_ca is not None:
            return str(self.merp_api_server_ca)
        return str(_POD_CA) if _POD_CA.is_file() else None

    def token_file(self) -> Path | None:
        """The file with the gateway's own token, None where there is none: then every read is live."""
        if self.merp_token_file is not None:
            return self.merp_token_file
        return _POD_TOKEN if not self.merp_api_server and _POD_TOKEN.is_file() else None
