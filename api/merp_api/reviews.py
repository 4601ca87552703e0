"""Who somebody is and what they may do, asked of the API server: with the gateway's own rights, else with theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from merp_api import problems
from merp_api.problems import Problem
from merp_crds.names import GROUP
from merp_kube.client import ApiError, Client, Json

_AUTHENTICATION: Final = "authentication.k8s.io/v1"
_AUTHORIZATION: Final = "authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Subject:
    """What RBAC and every other authorizer judge by: all that the API server says of a token's owner."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, said: Json) -> "Subject":
        """From the user of a review."""
        extra = said.get("extra") or {}
        return cls(
            str(said.get("username") or ""),
            str(said.get("uid") or ""),
            tuple(said.get("groups") or ()),
            tuple(sorted((key, tuple(values)) for key, values in extra.items())),
        )


@dataclass(frozen=True, slots=True)
class Access:
    """A right that is asked for; a namespace of None is all of them, a name of None every object."""

    verb: str
    resource: str
    namespace: str | None = None
    name: str | None = None

    def attributes(self) -> dict[str, str]:
        """As a review has it."""
        asked = {"verb": self.verb, "group": GROUP, "resource": self.resource}
        return asked | {key: value for key, value in (("namespace", self.namespace), ("name", self.name)) if value}

    def refusal(self, user: str) -> str:
        """The API server's sentence for a user who has not the right."""
        named = "" if self.name is None else f' "{self.name}"'
        where = "at the cluster scope" if self.namespace is None else f'in the namespace "{self.namespace}"'
        return (
            f'{self.resource}.{GROUP}{named} is forbidden: User "{user}" cannot {self.verb} resource "{self.resource}" '
            f'in API group "{GROUP}" {where}'
        )


class Reviews(Protocol):
    """Asks the API server. Raises ApiError, Unreachable, and Problem 502 where the gateway lacks its own rights."""

    async def subject(self, token: str) -> Subject | None:
        """Whose token it is; None where the API server does not accept it."""

    async def allows(self, subject: Subject, token: str, access: Access) -> bool:
        """Whether that subject, who has that token, has the right."""


class SelfReviews:
    """With the caller's own token, for a gateway that has none."""

    def __init__(self, client: Client) -> None:
        """`client` must hold no credentials."""
        self._client = client

    async def subject(self, token: str) -> Subject | None:
        """Raises ApiError and Unreachable."""
        try:
            review = await _ask(self._client, _AUTHENTICATION, "SelfSubjectReview", token=token)
        except ApiError as error:
            if error.status != 401:
                raise
            return None
        return Subject.of((review.get("status") or {}).get("userInfo") or {})

    async def allows(self, subject: Subject, token: str, access: Access) -> bool:
        """Raises ApiError and Unreachable."""
        asked = {"resourceAttributes": access.attributes()}
        return _is_allowed(await _ask(self._client, _AUTHORIZATION, "SelfSubjectAccessReview", asked, token=token))


class OwnReviews:
    """With the gateway's own token: TokenReview and SubjectAccessReview. Callers' tokens are sent as what is judged."""

    def __init__(self, client: Client) -> None:
        """`client` holds the gateway's credentials."""
        self._client = client

    async def subject(self, token: str) -> Subject | None:
        """Raises ApiError, Unreachable and Problem 502."""
        status = (await self._review(_AUTHENTICATION, "TokenReview", {"token": token})).get("status") or {}
        return Subject.of(status.get("user") or {}) if status.get("authenticated") is True else None

    async def allows(self, subject: Subject, token: str, access: Access) -> bool:
        """Raises ApiError, Unreachable and Problem 502."""
        asked: Json = {"user": subject.user, "resourceAttributes": access.attributes()}
        if subject.uid:
            asked["uid"] = subject.uid
        if subject.groups:
            asked["groups"] = list(subject.groups)
        if subject.extra:
            asked["extra"] = {key: list(values) for key, values in subject.extra}
        return _is_allowed(await self._review(_AUTHORIZATION, "SubjectAccessReview", asked))

    async def _review(self, group: str, kind: str, asked: Json) -> Json:
        try:
            return await _ask(self._client, group, kind, asked)
        except ApiError as error:
            if error.status not in (401, 403):
                raise
            # Else the caller would read that refusal as one of their own.
            raise Problem(problems.CLUSTER_FAULT, f"the gateway may not make a {kind}: {error.message}") from error


async def _ask(
    client: Client, group: str, kind: str, spec: Mapping[str, Any] | None = None, *, token: str | None = None
) -> Json:
    body = {"apiVersion": group, "kind": kind} | ({"spec": spec} if spec is not None else {})
    return await client.call("POST", f"/apis/{group}/{kind.lower()}s", token=token, body=body)


def _is_allowed(review: Json) -> bool:
    """Only a plain yes, without a no of another authorizer beside it."""
    status = review.get("status") or {}
    return status.get("allowed") is True and not status.get("denied")
