"""The words of configuration documents: texts of a form, refused if of another."""

from typing import Annotated

from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]
Url = Annotated[str, Meta(pattern=r"^https://[^\s?#]+\Z")]
HttpUrl = Annotated[
    str, Meta(pattern=r"^http://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._-]+)*\Z")
]
Scope = Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+\Z")]  # RFC 6749, 3.3
Scopes = Annotated[list[Scope], Meta(min_length=1)]
