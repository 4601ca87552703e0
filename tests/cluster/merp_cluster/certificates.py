"""Keys, certificates and kubeconfigs of a cluster, made by openssl."""

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from merp_cluster.commands import output
from merp_cluster.files import write
from merp_cluster.layout import Layout

# A test cluster lives for hours; a forgotten one should still not fail by an expired certificate.
DAYS = "3650"
# Elliptic curve keys take a millisecond each; RSA keys would take half of the start.
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
ADMIN = "admin"
USERS = (ADMIN, "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")


@dataclass(frozen=True)
class Certificate:
    name: str
    subject: str
    alternative_names: tuple[str, ...] = ()


def certificates(layout: Layout) -> list[Certificate]:
    """Every certificate that the authority signs, with the subject that RBAC and Node authorization know it by."""
    node = (f"IP:{layout.node_ip}", "IP:127.0.0.1", "DNS:localhost", f"DNS:{layout.name}")
    api = (*node, f"IP:{layout.api_service_ip}", *_service_names("kubernetes", "default"))
    return [
        Certificate("kube-apiserver", "/CN=kube-apiserver", api),
        Certificate("kube-apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate(ADMIN, f"/O=system:masters/CN={ADMIN}"),
        # These two also serve their health and metrics with it.
        Certificate("kube-controller-manager", "/CN=system:kube-controller-manager", node),
        Certificate("kube-scheduler", "/CN=system:kube-scheduler", node),
        Certificate("kube-proxy", "/CN=system:kube-proxy"),
        Certificate("kubelet", f"/O=system:nodes/CN=system:node:{layout.name}", node),
    ]


def ensure(layout: Layout) -> None:
    """Makes all keys and certificates, and the kubeconfigs from them. The folder appears as a whole, by rename."""
    if not layout.pki.is_dir():
        unfinished = layout.pki.with_name("pki.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        _make_authority(unfinished)
        for certificate in certificates(layout):
            _make_certificate(unfinished, certificate)
        for file in unfinished.iterdir():
            if file.suffix in (".csr", ".ext", ".cnf", ".srl"):
                file.unlink()
            else:
                file.chmod(0o600)
        unfinished.rename(layout.pki)
    for user in USERS:
        write(layout.kubeconfig_of(user), kubeconfig(layout, user), mode=0o600)


def kubeconfig(layout: Layout, user: str) -> str:
    """A kubeconfig (JSON, which is YAML) that carries its certificates, so that the one file is enough anywhere."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": layout.name,
        "contexts": [{"name": layout.name, "context": {"cluster": layout.name, "user": user}}],
        "clusters": [
            {
                "name": layout.name,
                "cluster": {"server": layout.api_url, "certificate-authority-data": _encoded(layout.pki / "ca.crt")},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _encoded(layout.pki / f"{user}.crt"),
                    "client-key-data": _encoded(layout.pki / f"{user}.key"),
                },
            }
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _service_names(service: str, namespace: str) -> tuple[str, ...]:
    long = f"{service}.{namespace}.svc"
    return tuple(f"DNS:{name}" for name in (service, f"{service}.{namespace}", long, f"{long}.cluster.local"))


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _make_authority(folder: Path) -> None:
    configuration = folder / "ca.cnf"
    configuration.write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n"
        "[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature\n"
        "subjectKeyIdentifier=hash\n"
    )
    key, certificate = folder / "ca.key", folder / "ca.crt"
    request = ["openssl", "req", "-x509", *NEW_KEY, "-days", DAYS, "-subj", "/CN=kubernetes-ca"]
    output([*request, "-config", str(configuration), "-keyout", str(key), "-out", str(certificate)])
    signing = folder / "service-account.key"
    output(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(signing)])
    output(["openssl", "pkey", "-in", str(signing), "-pubout", "-out", str(folder / "service-account.pub")])


def _make_certificate(folder: Path, wanted: Certificate) -> None:
    request, extensions = folder / f"{wanted.name}.csr", folder / f"{wanted.name}.ext"
    key, certificate = folder / f"{wanted.name}.key", folder / f"{wanted.name}.crt"
    lines = ["extendedKeyUsage=serverAuth,clientAuth", "keyUsage=digitalSignature"]
    if wanted.alternative_names:
        lines.append(f"subjectAltName={','.join(wanted.alternative_names)}")
    extensions.write_text("\n".join(lines) + "\n")
    output(["openssl", "req", *NEW_KEY, "-subj", wanted.subject, "-keyout", str(key), "-out", str(request)])
    authority = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial"]
    sign = ["openssl", "x509", "-req", "-in", str(request), *authority, "-days", DAYS, "-extfile", str(extensions)]
    output([*sign, "-out", str(certificate)])
