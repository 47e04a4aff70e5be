# SPDX-License-Identifier: LGPL-2.1-or-later
"""One scratch folder of a test, and files with names that were never used before.
stack.close() removes it."""
import contextlib
import os

from disk import make_image, tempdir

stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
counter = iter(range(10 ** 6))


def path_of(name):
    return os.path.join(folder, f"{name}-{next(counter)}")


def image(size, fs, end, **kw):
    path = path_of("image")
    make_image(path, size, fs, end, **kw)
    return path


def raw(size, *pieces):
    """An image of zeros with pieces (offset, bytes)."""
    path = path_of("raw")
    with open(path, "wb") as f:
        f.truncate(size)
        for at, what in pieces:
            f.seek(at)
            f.write(what)
    return path
