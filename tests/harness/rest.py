"""A client of the REST interface that holds every answer against the interface's own description (/api/v1/openapi.json)."""
import http.client
import json
import re

import jsonschema

from harness import openapi


class Answer:
    def __init__(self, status: int, headers: dict, body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.headers}\n{self.body[:2000].decode(errors='replace')}"


def exchange(port: int, method: str, target: str, headers: dict | None = None, body: bytes | None = None, limit: float = 60) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        fields = {key.lower(): value for key, value in answer.getheaders()}
        endless = fields.get("content-type") == "text/event-stream"
        return Answer(answer.status, fields, answer.read1() if endless else answer.read())
    finally:
        connection.close()


class Rest:
    def __init__(self, port: int, token: str | None = None):
        self.port, self.token = port, token
        self.description = exchange(port, "GET", "/api/v1/openapi.json").json()
        self.done: set[tuple[str, str]] = set()  # routes that have answered with a success
        openapi.check(self.description)
        self.resolver = jsonschema.RefResolver("", self.description)

    def with_token(self, token: str | None) -> "Rest":
        other = object.__new__(Rest)
        other.__dict__ = self.__dict__ | {"token": token}
        return other

    def routes(self) -> list[tuple[str, str]]:
        return [(method.upper(), path) for path, methods in self.description["paths"].items() for method in methods]

    def route_of(self, method: str, target: str) -> tuple[str, str] | None:
        """The most exact one; nothing if it is not described."""
        path = target.partition("?")[0]
        fitting = [(m, p) for m, p in self.routes() if m == ("GET" if method in ("HEAD", "OPTIONS") else method)
                   and re.fullmatch(re.sub(r"\\?\{[^}]*\\?\}", "[^/]+", re.escape(p)), path)]
        return min(fitting, key=lambda route: route[1].count("{"), default=None)

    def responses(self, route) -> dict:
        return self.description["paths"][route[1]][route[0].lower()]["responses"]

    def check(self, method: str, route, answer: Answer) -> None:
        responses = self.responses(route) if route else {"default": {"$ref": "#/components/responses/Problem"}}
        described = responses.get(str(answer.status), responses["default"])
        if "$ref" in described:
            described = self.description["components"]["responses"][described["$ref"].rpartition("/")[2]]
        [(media, content)] = described["content"].items()
        assert answer.headers["content-type"].partition(";")[0] == media, f"{method} {route}: {answer}"
        if method != "HEAD" and "json" in media:
            jsonschema.Draft202012Validator(content["schema"], resolver=self.resolver).validate(answer.json())
            if media.endswith("problem+json"):
                assert answer.json()["status"] == answer.status and answer.json()["detail"], answer

    def ask(self, method: str, target: str, body=None, headers: dict | None = None, expect: int | None = 200) -> Answer:
        headers = ({"Authorization": f"Bearer {self.token}"} if self.token else {}) | (headers or {})
        text = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = exchange(self.port, method, target, headers, text)
        route = self.route_of(method, target)
        assert expect is None or answer.status == expect, f"{method} {target}: {answer}"
        if not (method == "OPTIONS" and answer.status == 204):
            self.check(method, route, answer)
        if route and answer.status < 300 and method != "OPTIONS":
            self.done.add(route)
        return answer

    def get(self, target: str, expect: int | None = 200, **options):
        return self.ask("GET", target, expect=expect, **options).json()

    def post(self, target: str, body=None, expect: int | None = 200, **options):
        return self.ask("POST", target, body, expect=expect, **options).json()
