"""The application of the token service: Starlette's, with a shorter way to some paths.

What clients ask for all the time, with POST, is found by its path alone, before
Starlette looks through its middleware and routes: they would take a tenth of a token's
time. All else, other methods of the same paths too, is answered by Starlette.
"""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Front(Starlette):
    """Answers POST at the paths of `posts` by these, and everything else by `routes`.

    What is in `posts` answers also what nobody foresaw, as Starlette's middleware does.
    """

    def __init__(
        self, posts: Mapping[str, ASGIApp], *, routes: list[Route], **options: Any
    ) -> None:
        named = [Route(path, app, methods=["POST"]) for path, app in posts.items()]
        super().__init__(routes=[*named, *routes], **options)
        self._posts = posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._posts.get(scope["path"])
            if app is not None:
                await app(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
