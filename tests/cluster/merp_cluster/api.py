"""The cluster's API server and health ports, asked from the host by HTTP, and kubectl for what is to be applied."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from merp_cluster.commands import output
from merp_cluster.layout import Layout

# A server that is busy with others answers late, and nothing is wrong with it.
ANSWER_SECONDS = 60.0
# A probe is asked again; what does not answer for so long is no use at that moment.
_PROBE_SECONDS = 5.0


class Api:
    """Requests as the cluster's administrator."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # The certificates may not exist yet when this object is made.
        self._tls: ssl.SSLContext | None = None

    def get(self, path: str, seconds: float = ANSWER_SECONDS) -> Any:
        """Parsed JSON of `path`. URLError (an OSError) if the server cannot be reached or refuses."""
        return json.loads(self._request(f"{self._layout.api_url}{path}", seconds))

    def ready(self) -> bool:
        return self._answers(f"{self._layout.api_url}/readyz")

    def healthy(self, port: int, scheme: str = "https", path: str = "/healthz") -> bool:
        """Whether a component's own health port says so."""
        return self._answers(f"{scheme}://{self._layout.node_ip}:{port}{path}")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of kubectl. ClusterError with what it complains of."""
        program = str(self._layout.bin / "kubectl")
        return output([program, f"--kubeconfig={self._layout.kubeconfig}", *arguments], stdin=stdin)

    def apply(self, manifests: str) -> None:
        """Server-side apply of YAML or JSON documents."""
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=merp-cluster", "-f", "-", stdin=manifests
        )

    def _answers(self, url: str) -> bool:
        try:
            self._request(url, _PROBE_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _request(self, url: str, seconds: float) -> bytes:
        # The machine's proxy settings are for the world outside.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context())
        )
        with opener.open(url, timeout=seconds) as answer:
            body: bytes = answer.read()
        return body

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            pki: Path = self._layout.pki
            self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
            self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return self._tls
