"""The real zygote and sandbox, with handlers that do what models must not. Started in place of the converter's own."""

import os
import sys
import threading
import time
from pathlib import Path

from skerry_converter.zygote import serve


def say(request, events):
    print("said in Python", flush=True)
    os.system("echo said by a child")
    events.emit("said", text=request["text"])


def many(request, events):
    for number in range(request["count"]):
        events.emit("numbered", text=request["text"], number=number, filler="x" * 3000)
        print(request["text"], number, flush=True)


def wait(_request, events):
    # What a model could start, in a session of its own, so that no signal to a group reaches it.
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    events.emit("waiting")
    time.sleep(600)


def loop(_request, events):
    while True:
        pass


def allocate(_request, _events):
    blocks = []
    while True:
        blocks.append(bytearray(64 << 20))


def fill(request, events):
    number = 0
    while True:
        number += 1
        Path(request["workDir"], f"file-{number}").write_bytes(b"x" * (1 << 20))
        events.emit("written", number=number)


def write_one(request, _events):
    with open(Path(request["workDir"], "one"), "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))


def forge(_request, events):
    # As native code that took over would: other requests' ids, ends that are none, and what is no event.
    descriptor = events._stream.fileno()
    for line in (b'{"event":"cancelled","id":1}', b'{"event":"log","id":1,"line":"forged"}', b"[1]", b"{", b'{"event":7}'):
        os.write(descriptor, line + b"\n")
    os.write(descriptor, b'{"event":"said","id":99,"text":"forged"}\n')


def flood(_request, _events):
    while True:
        os.write(1, b"x" * (1 << 16) + b"\n")


def crash(_request, _events):
    print("about to crash", flush=True)
    os.abort()


def show(request, events):
    Path(request["workDir"], "left").write_text("mine")
    events.emit("shown", environment=dict(os.environ), folder=os.getcwd(), open=len(os.listdir("/proc/self/fd")))


HANDLERS = {
    each.__name__: each for each in (say, many, wait, loop, allocate, fill, write_one, forge, flood, crash, show)
}


def load():
    if "two-threads" in sys.argv:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return HANDLERS


serve(load)
