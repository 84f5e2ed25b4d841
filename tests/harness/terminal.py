"""A program at a terminal."""
import fcntl
import os
import pty
import struct
import subprocess
import termios

from harness.waiting import wait_until


class Terminal:
    def __init__(self, command: list, env: dict, lines: int = 40):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 100, 0, 0))
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env=env | {"TERM": "xterm", "COLUMNS": "100"})
        os.close(slave)
        self.seen = ""

    def wait_for(self, text: str, limit: float = 15) -> None:
        def look():
            self.seen += os.read(self.master, 65536).decode(errors="replace")
            return text in self.seen
        wait_until(look, limit, f"the terminal shows {text!r}")

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        return self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
