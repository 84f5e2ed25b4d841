"""The lease store that a balancer keeps, as a client of etcd's JSON interface sees it."""
import base64
import json
import urllib.request

STORE_PASSWORD = "store-password"


def text64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Store:
    def __init__(self, port: int, password: str = STORE_PASSWORD):
        self.port = port
        self.password = password
        self.token = ""

    def ask(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method="POST", data=json.dumps(body).encode())
        if self.token:
            request.add_header("Authorization", self.token)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def log_in(self) -> None:
        self.token = self.ask("/v3/auth/authenticate", {"name": "pgbalancer", "password": self.password})["token"]

    def get(self, key: str) -> list[str]:
        found = self.ask("/v3/kv/range", {"key": text64(key)})["kvs"]
        return [base64.b64decode(kv["value"]).decode() for kv in found]

    def put(self, key: str, value: str) -> None:
        self.ask("/v3/kv/put", {"key": text64(key), "value": text64(value)})

    def remove(self, key: str) -> None:
        self.ask("/v3/kv/txn", {"success": [{"request_delete_range": {"key": text64(key)}}]})
