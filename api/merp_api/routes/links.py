"""Where things are, as headers say it: without a host, because a proxy in front has another."""

from urllib.parse import quote

from fastapi import Request, Response

from merp_api.deps import Services


def location(services: Services, path: str, namespace: str) -> str:
    """A path of this API; it names the namespace unless that is the default one."""
    return path if namespace == services.settings.merp_namespace else f"{path}?namespace={quote(namespace)}"


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Point at the next page, if there is one."""
    if cursor is not None:
        following = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
