"""Speech and language engines that run on this machine, each in a process of its own.

A native engine may crash, hold the interpreter lock, print to standard output or carry a
licence that must not be mixed with ours; none of that reaches the media process, which only
exchanges framed messages with a worker over two pipes.

    wire.py        the messages and their framing, both directions
    worker.py      the parent's side: one worker process, restarted when it dies
    lanes.py       fair sharing of a worker between calls
    child.py       the worker's side: the loop that serves an engine
    *_worker.py    one engine each, run as ``python -m``
"""
