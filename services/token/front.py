"""The application of the token service: Starlette's, with a shorter way to some paths.

What clients ask for all the time, with POST, is found by its path alone, before
Starlette looks through its middleware and routes: they would take a tenth of a token's
time. All else, other methods of the same paths too, is answered by Starlette.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request, Exception], Awaitable[Response]]


class Front(Starlette):
    """Answers POST at the paths of `posts` by these, and everything else by `routes`.

    `failed` answers an error that nobody foresaw, which is then raised as ever.
    """

    def __init__(
        self,
        posts: Mapping[str, ASGIApp],
        *,
        routes: list[Route],
        failed: Handler,
        **options: Any,
    ) -> None:
        named = [Route(path, app, methods=["POST"]) for path, app in posts.items()]
        options["exception_handlers"] = {
            **options.get("exception_handlers", {}),
            Exception: failed,
        }
        super().__init__(routes=[*named, *routes], **options)
        self._posts = {
            path: ServerErrorMiddleware(app, handler=failed)
            for path, app in posts.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app: ASGIApp = super().__call__
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._posts.get(scope["path"], app)
        await app(scope, receive, send)
