"""A program at a terminal, which is its controlling one: Ctrl-C and Ctrl-Z are signals, and so is a new size."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from harness.waiting import wait_until

OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    def __init__(self, command: list, env: dict, lines: int = 40, columns: int = 100):
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns, told=False)
        self.first_local_flags = self.local_flags()  # read before there is a program that changes them
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env={key: value for key, value in env.items() if key != "COLUMNS"} | {"TERM": "xterm"})
        self.seen = ""

    def resize(self, lines: int, columns: int, told: bool = True) -> None:
        """What was seen before is forgotten."""
        if told:
            self.forget()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def look(self, within: float = 0.1) -> None:
        """Takes what the program has written."""
        while select.select([self.master], [], [], within)[0]:
            within = 0
            self.seen += os.read(self.master, 65536).decode(errors="replace")

    def forget(self) -> None:
        self.look(0)
        self.seen = ""

    def wait_for(self, text: str, limit: float = 15) -> None:
        def look():
            self.look()
            return text in self.seen
        wait_until(look, limit, f"the terminal shows {text!r} in {self.seen[-3000:]!r}")

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def local_flags(self) -> int:
        return termios.tcgetattr(self.slave)[3]

    def end(self) -> int:
        code = self.process.wait(10)
        self.look(0)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
