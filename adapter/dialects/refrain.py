"""What the text events of one stream have in common, so that only the text in them needs to be looked at.

A server sends the same head (id, time, model, …) and the same end with every token. Once that is known, a read that holds
nothing else is taken apart by comparing bytes, and no event of it is decoded: a delta costs 0.3 µs where decoding, parsing
and looking through it take 3 µs.

    event = head "text" end            the text is a JSON string; in front of or behind it may stand
    "sequence_number": 7               a number that counts up with every event
    "obfuscation": "xK3"               letters and digits that mean nothing

That this is the form of an event is not guessed but proven: another text, number and noise are put in their places, and
what results must say that text and nothing else. What does not fit the form exactly is for the general way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from operator import itemgetter
from typing import Any, Final, TypeAlias

import orjson

from adapter.wire.counting import counted
from adapter.wire.jsonio import dumps
from adapter.wire.sse import framed

Place: TypeAlias = str | int | tuple[Any, ...]
"""What text belongs to, in the words of a dialect."""
Sole: TypeAlias = tuple[Place, str]
"""A text and its place."""

_PROBE: Final = "\x00probe"
_PROBE_BODY: Final = orjson.dumps(_PROBE)[1:-1]
_PROBE_NOISE: Final = b"n0"
_FREE_LESSONS: Final = 4
_WORTH: Final = 8
"""Texts that a lesson must have brought before another is taken: some servers change something in every event."""
_NUMBER: Final = re.compile(rb'"sequence_number": ?(0|[1-9]\d{0,17})(?=[,}])')
_NOISE: Final = re.compile(rb'"obfuscation": ?"([0-9A-Za-z]*)"')
_LONGEST: Final = 16 * 1024
"""Bytes of a run: a few hundred texts at most, so that whoever writes them can give others their turn in between."""
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C


class Refrain:
    """Listens to one stream."""

    __slots__ = (
        "_before_noise",
        "_counts_first",
        "_credit",
        "_cut",
        "_digits",
        "_end",
        "_event",
        "_head",
        "_joint",
        "_limit",
        "_named",
        "_number",
        "_numbered",
        "_short",
        "_template",
        "_text",
        "_text_at",
        "place",
    )

    def __init__(self) -> None:
        self.place: Place = ""
        """What the texts belong to."""
        self._head = b""
        """From the beginning of an event to its text; nothing while the form is not known. With `%d` for the number."""
        self._before_noise = b""
        """From the text to the noise, where there is any."""
        self._end = b""
        """From there (without noise: from the text) to the end of the event."""
        self._joint = b""
        """The end of one event and the head of the next."""
        self._numbered = False
        self._counts_first = False
        """The number stands in the head, so that a joint has the one of the event to come."""
        self._number = 0
        """Of the next event."""
        self._short = 0
        """Bytes that two events would have at least; 0 where `run` does not know the form."""
        self._event: list[bytes] = []
        """An event in pieces, those for its text and its number empty."""
        self._text_at = 0
        self._named = False
        """It has a line in front of the one with the text."""
        self._cut: Callable[[bytes], bytes] = bytes
        """From that line to the text, where the number has so many digits."""
        self._digits = 0
        self._text = slice(0)
        """Where in a read of one event the text stands, for numbers of so many digits: below `_limit`."""
        self._limit = 0
        self._template = b""
        """A numbered event, with places for number and text."""
        self._credit = _FREE_LESSONS * _WORTH

    def texts(self, whole: bytes, at: int = 0) -> tuple[list[str], int] | None:
        """The texts of the events from there on that are the refrain with other texts, as many as 16 KiB hold, and where they
        end; None where not even the first one is."""
        if not at and (ran := self.run(whole)) is not None:
            (joined, bodies), end = ran, len(whole)
        elif (found := self.bodies(whole, at)) is not None:
            bodies, end = found
            joined = b'","'.join(bodies)
        else:
            return None
        try:
            if len(bodies) == 1:
                return [orjson.loads(b'"%b"' % joined)], end
            if _BACKSLASH not in joined or joined.count(_QUOTE) == 2 * len(bodies) - 2:
                # one parse for all: as many strings as there are pairs of quotes, so no body borrows from another
                texts = orjson.loads(b'["' + joined + b'"]')
            else:
                texts = [orjson.loads(b'"%b"' % body) for body in bodies]
        except orjson.JSONDecodeError:
            texts = []
        if len(texts) != len(bodies):
            self._forget()  # as in `_heard`
            return None
        return texts, end

    def run(self, whole: bytes) -> tuple[bytes, list[bytes]] | None:
        """The `bodies` of a read that is nothing else, as most are: joined by `","`, and each. None where it is not, or may
        not be.

        In a read of one event, as it is where a model is slow, the text is cut out as if all was well, and the event that it
        would make is compared with what was read: a tenth of it. In a longer one the texts are cut out of their lines so, and
        the events that they would make are compared with it: a fifth of a read of five, two fifths of one of fifty, because
        nobody looks for the end of each text.
        """
        number, numbered = self._number, self._numbered
        if len(whole) < self._short:
            if number >= self._limit:
                self._fit(len(f"{number}"))
            body = whole[self._text]
            if numbered:
                event: bytes = self._template % ((number, body) if self._counts_first else (body, number))
            else:
                event = self._head + body + self._end
            if event != whole or _QUOTE in body:
                return None
            self._number = number + 1
            self._credit += 1
            return body, [body]
        if not self._short or len(whole) > _LONGEST:
            return None
        lines = BytesIO(whole).readlines()
        lines = lines[1::3] if self._named else lines[::2]
        count, pattern = len(lines), self._event
        if not count or count * self._short > 2 * len(whole):  # more lines than such events have
            return None
        pieces = pattern * count
        if numbered:
            numbers = counted(number, count)
            if len(numbers[0]) != self._digits:
                self._fit(len(numbers[0]))
            pieces[1 if self._counts_first else 3 :: 5] = numbers
        bodies = list(map(self._cut, lines))
        pieces[self._text_at :: len(pattern)] = bodies
        if b"".join(pieces) != whole:
            return None
        joined = b'","'.join(bodies)
        quotes = joined.count(_QUOTE) - 2 * count + 2
        # one is bare; not counted in `joined`, where the last backslash of a text has a quote behind it
        if quotes and quotes != b" ".join(bodies).count(b'\\"'):
            return None
        self._number = number + count
        self._credit += count
        return joined, bodies

    def bodies(self, whole: bytes, at: int = 0) -> tuple[list[bytes], int] | None:
        """As `texts`, but what stands between the quotes of each, as it is; no quote in it is bare."""
        if not self._head:
            return None
        if len(whole) - at > _LONGEST:
            found = self.bodies(whole[at : at + _LONGEST])
            return found and (found[0], found[1] + at)
        head, template, noisy = self._head, self._joint, self._before_noise
        number, numbered = self._number, self._numbered
        if self._counts_first:
            head = head % number
            number += 1
        start = at + len(head)
        if whole[at:start] != head:
            return None
        find = whole.find
        joint = template % number if numbered else template
        bodies: list[bytes] = []
        separator = noisy or joint
        size = len(separator)
        while True:
            stop = find(_QUOTE, start)
            after = stop + size
            while whole[stop:after] != separator:
                if separator is joint:
                    end = self._end % number if numbered and not self._counts_first else self._end
                    if whole[stop : (after := stop + len(end))] == end:
                        bodies.append(whole[start:stop])
                        return self._heard(bodies, after)
                if stop < 1 or whole[stop - 1] != _BACKSLASH:  # this event is another one, at its end
                    if noisy and separator is joint:
                        start -= len(bodies.pop()) + len(noisy)
                    head_size = len(self._head % (number - 1) if self._counts_first else head)
                    return self._heard(bodies, start - head_size) if bodies else None
                stop = find(_QUOTE, stop + 1)  # a quote in the text
                after = stop + size
            bodies.append(whole[start:stop])
            start = after
            if noisy and separator is noisy:
                separator = joint
                size = len(separator)
                continue
            if numbered:
                number += 1
                separator = joint = template % number
                size = len(separator)
            if noisy:
                separator = noisy
                size = len(separator)

    def _heard(self, bodies: list[bytes], end: int) -> tuple[list[bytes], int] | None:
        """What was found, without the noise."""
        if self._before_noise:
            noise = b"".join(bodies[1::2])
            if noise and not noise.isalnum():
                self._forget()  # or every event of a long read would be looked at again and again
                return None
            bodies = bodies[::2]
        self._number += len(bodies)
        self._credit += len(bodies)
        return bodies, end

    @property
    def willing(self) -> bool:
        """It may be worth while to `learn`."""
        return self._credit >= _WORTH or self._head != b""

    def learn(self, name: str | None, data: bytes, sole: Sole | None, says: Callable[[Any], Sole | None]) -> None:
        """An event came on the general way that may bring one text and nothing else: `sole` is what `says` finds in it."""
        event = framed(name, data)
        number = _NUMBER.search(event)
        self._number, self._limit = int(number[1]) if number is not None else 0, 0
        if self.texts(event) is not None:  # it fits: only its number was not the one that was due
            return
        if sole is None or self._credit < _WORTH:
            self._credit -= 1
            if self._credit < _WORTH:
                self._forget()
        else:
            self._credit -= _WORTH
            self._forget()
            self.place, text = sole
            self._take(event, text, number)
            if self._head and not self._proven(says, len(event) - len(data) - 2):
                self._forget()
        self._number += 1

    def _forget(self) -> None:
        """The form is not known."""
        self._head = b""
        self._short = 0

    def _take(self, event: bytes, text: str, number: re.Match[bytes] | None) -> None:
        """Takes the event as the form, its last string that is `text` as the text."""
        token = dumps(text)
        start = event.rfind(token) + 1
        stop = end_at = start + len(token) - 2
        if start == 0 or text == _PROBE:
            return
        noise = _NOISE.search(event, stop)
        if noise is not None:
            end_at = noise.end(1)
        self._before_noise = b"" if noise is None else event[stop : noise.start(1)]
        head, end = event[:start], event[end_at:]
        self._counts_first = number is not None and number.end(1) < start
        self._numbered = self._counts_first or (number is not None and number.start(1) > end_at)
        if number is None or not self._numbered:
            self._head, self._end, self._joint = head, end, end + head
            self._event, self._text_at = [head, b"", end], 1
        elif self._counts_first:
            before, behind = event[: number.start(1)], event[number.end(1) : start]
            self._head = _counting(before, behind)
            self._end, self._joint = end, end.replace(b"%", b"%%") + self._head
            self._template = self._head + b"%b" + end.replace(b"%", b"%%")
            self._event, self._text_at = [before, b"", behind, b"", end], 3
        else:
            before, behind = event[end_at : number.start(1)], event[number.end(1) :]
            self._end = _counting(before, behind)
            self._head, self._joint = head, self._end + head.replace(b"%", b"%%")
            self._template = head.replace(b"%", b"%%") + b"%b" + self._end
            self._event, self._text_at = [head, b"", before, b"", behind], 1
        self._fit(len(number[1]) if number is not None and self._numbered else 0)
        self._short = 0 if noise is not None else len(head) + len(event) - (stop - start)

    def _fit(self, digits: int) -> None:
        """Say where the text stands, in an event and in its line, when the number has so many digits; 0 where there is none."""
        event, text_at = self._event, self._text_at
        start, stop = len(event[0]), len(event[-1])
        if text_at == 3:
            start += digits + len(event[2])
        elif len(event) == 5:
            stop += digits + len(event[2])
        line = event[0].find(b"\n") + 1
        self._named, self._digits = line > 0, digits
        self._cut = itemgetter(slice(start - line, 1 - stop))
        self._text, self._limit = slice(start, -stop), 10 ** (digits or 18)

    def _proven(self, says: Callable[[Any], Sole | None], data_at: int) -> bool:
        """Whether any text, number and noise may stand in their places."""
        number = self._number + 1
        head = self._head % number if self._counts_first else self._head
        end = self._end % number if self._numbered and not self._counts_first else self._end
        middle = self._before_noise + _PROBE_NOISE if self._before_noise else b""
        probe = head + _PROBE_BODY + middle + end
        try:
            return says(orjson.loads(probe[data_at:-2])) == (self.place, _PROBE)
        except orjson.JSONDecodeError:
            return False


def _counting(before: bytes, behind: bytes) -> bytes:
    """A template that takes the number between two pieces."""
    return before.replace(b"%", b"%%") + b"%d" + behind.replace(b"%", b"%%")
