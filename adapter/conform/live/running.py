"""One run: the table of a dialect is asked, then what Hypothesis draws, and a report is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from adapter.conform.laws import Findings, Name
from adapter.conform.live.case import Answer, Case, named
from adapter.conform.live.dialect import Dialect
from adapter.conform.live.laws import (
    PLAIN,
    REFUSAL,
    STREAM,
    comes_whole,
    ids_are_never_reused,
    is_grammatical,
    judged,
    keeps_its_limit,
    repeats_its_request,
)
from adapter.conform.live.question import Question
from adapter.conform.live.questions import laws_of, limits, questions
from adapter.conform.report import Known, Report, mark
from adapter.hub.grammar.violation import shown
from adapter.wire import jsonio

Ask: TypeAlias = Callable[[str, str, bytes], Answer]
"""Sends bytes by a method to a path behind the base URL and returns what came back, whatever that is."""
DRAWN: Final = "any-request-is-answered-or-refused"
_ABOUT_DRAWN: Final = """Requests that Hypothesis draws get an answer or a refusal that keeps the laws above. What other answers
broke is not told again."""
_GOES_ON: Final = {named(is_grammatical), named(repeats_its_request)}
"""What an answer may break and be gone on from."""
_ABSENT: Final = (404, 405, 501)
"""How a server says that it has no such path."""
_LIMIT: Final = "the limit of all other questions"


class NotUsable(Exception):
    """There is nothing to judge: no server, another one, or one that lets nobody in. The text says which."""


def names() -> list[str]:
    """The laws that a run asks about, as they are called in reports; in one of the dialects, or in both."""
    every = dict.fromkeys(named(law) for law in (*laws_of("chat"), *laws_of("responses")))
    return [*every, named(ids_are_never_reused), DRAWN]


def run(
    ask: Ask,
    name: Name,
    model: str,
    *,
    examples: int,
    seed: int,
    known: Sequence[Known] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Ask everything and judge it. `tell` is given a line for each answer, as it is judged.

    Raises:
        NotUsable: the first question finds no server to ask.
    """
    running = _Run(ask, questions(name)[0], model, Report(known=known), tell)
    running.find_the_limit()
    for question in questions(name)[1]:
        running.put(question)
    running.end_the_table()
    if examples:
        running.draw(examples, seed)
    for outlived in running.report.outlived():
        running.report.remark(f"--except '{outlived}'", "nothing of it was found")
    return running.report


class _Run:
    """One server, and what is known of it by now."""

    def __init__(self, ask: Ask, dialect: Dialect, model: str, report: Report, tell: Callable[[str], None]) -> None:
        self.report = report
        self._ask, self._dialect, self._model, self._tell = ask, dialect, model, tell
        self._limit_key = dialect.limit_keys[0]
        self._ids: list[tuple[str, Any]] = []
        self._found: set[tuple[bool, str, str]] = set()
        """(streamed, law, the mark of what was found)."""

    def find_the_limit(self) -> None:
        """Under which name everything else says its limit: the first that the server takes. These are the first questions,
        which show whether there is a server at all.

        Raises:
            NotUsable: there is none, or it answers none of them.
        """
        asked = [(key, question, self._asked(question)) for key, question in limits(self._dialect)]
        # a server that takes no notice of a limit may not finish in time, and answer all other questions
        answers = [case.answer for _, _, case in asked]
        _check_usable(next((answer for answer in answers if not answer.fault), answers[0]), self._dialect, self._model)
        taken: list[str] = []
        for key, question, case in asked:
            broken = self._report(question, case)
            if case.answer.status == 200 and not {named(comes_whole), named(keeps_its_limit)} & set(broken):
                taken.append(key)
        keys = self._dialect.limit_keys
        others = [key for key in keys if key not in taken]
        if not taken:
            text = f"none that the server keeps ({', '.join(keys)}): answers may be long, and cost more"
            self.report.remark(_LIMIT, text)
        elif len(keys) > 1:
            self.report.remark(_LIMIT, "; ".join([taken[0], *(f"{key} is not taken" for key in others)]))
        self._limit_key = (*taken, *keys)[0]

    def put(self, question: Question, before: Case | None = None) -> bool:
        """Ask one question of the table, and what follows from its answer; false where that was not as it should be."""
        case = self._asked(question, before)
        if {*self._report(question, case)} - _GOES_ON:
            return False
        if _lacks(question, case) or not isinstance(case.value, dict):
            return False
        for following in question.then:
            asked = following.question(question.name, case)
            if asked is not None and not self.put(asked, case) and following.gate:
                break
        return True

    def end_the_table(self) -> None:
        """What only all answers together can break."""
        law = ids_are_never_reused
        self.report.add(named(law), "all answers", law(self._ids), about=law.__doc__)

    def draw(self, examples: int, seed: int) -> None:
        """Ask what Hypothesis draws, and report the smallest request whose answer breaks what no other answer broke."""
        try:
            from adapter.conform.live import drawing
        except ModuleNotFoundError as missing:
            if missing.name != "hypothesis":
                raise
            text = "not asked: this needs hypothesis, pip install 'responses-chat-adapter[conform]'"
            self.report.remark(DRAWN, text)
            return
        refused = old = 0
        name = "a drawn request"

        def judge(body: dict[str, Any]) -> Findings:
            nonlocal refused, old
            case = self._sent(body, self._dialect.path)
            refused += 400 <= case.answer.status < 500
            found = _drawn_findings(case)
            new = [
                (law, what)
                for law, what in found
                if _mark(case, law, what) not in self._found and not self.report.is_known((law, name, what))
            ]
            old += bool(found) and not new
            told = [f"{law}: {what}" for law, what in new]
            self._told(name, [(DRAWN, f"--seed {seed}", what) for what in told])
            return told

        asked, smallest = drawing.search(
            judge, self._dialect.name, self._model, self._limit_key, examples=examples, seed=seed
        )
        shown_request = "" if smallest is None else jsonio.dumps(smallest.body).decode()
        found = [] if smallest is None else [f"{'; '.join(smallest.findings)}; the smallest request: {shown_request}"]
        self.report.add(DRAWN, f"--seed {seed}", found, count=asked, about=_ABOUT_DRAWN)
        counted = f"{asked} requests from --seed {seed}, which asks the same again; {refused} were refused"
        self.report.remark(
            DRAWN, f"{counted}, {old} answered with faults that are told above or known" if old else counted
        )

    def _asked(self, question: Question, before: Case | None = None) -> Case:
        path = question.path or self._dialect.path
        if isinstance(question.body, bytes):
            return Case(self._dialect, {}, self._ask(question.method, path, question.body), before)
        limit = {} if question.limit is None else {self._limit_key: question.limit}
        return self._sent({"model": self._model, **question.body, **limit}, path, before)

    def _sent(self, body: dict[str, Any], path: str, before: Case | None = None) -> Case:
        return Case(self._dialect, body, self._ask("POST", path, jsonio.dumps(body)), before)

    def _report(self, question: Question, case: Case) -> list[str]:
        """The names of the laws that the answer breaks."""
        refusal = _lacks(question, case)
        if refusal:
            self.report.remark(question.name, f"not supported: {refusal}")
            self._tell(f"ok    {question.name}: not supported")
            return []
        every = []
        for law, found in judged(case, question.laws):
            self.report.add(named(law), question.name, found, about=law.__doc__)
            self._found |= {_mark(case, named(law), what) for what in found}
            every += [(named(law), question.name, what) for what in found]
        if every:
            raw = question.body if isinstance(question.body, bytes) else jsonio.dumps(case.body)
            self.report.asked[question.name] = question.method, question.path or self._dialect.path, raw.decode()
        answered = question.laws is not REFUSAL and question.method == "POST" and isinstance(case.value, dict)
        if answered and isinstance(case.value.get("id"), str):
            self._ids.append((question.name, case.value["id"]))
        return self._told(question.name, every)

    def _told(self, name: str, findings: Sequence[tuple[str, str, str]]) -> list[str]:
        broken = list(dict.fromkeys(law for law, _, _ in findings))
        self._tell(f"{self.report.word(findings)} {name}{': ' if broken else ''}{', '.join(broken)}")
        return broken


def _check_usable(answer: Answer, dialect: Dialect, model: str) -> None:
    if answer.fault:
        hint = " (SSL_CERT_FILE names certificates to trust)" if "CERTIFICATE_VERIFY_FAILED" in answer.fault else ""
        raise NotUsable(f"no answer{hint}: {answer.fault}")
    if answer.status in (401, 403):
        hint = "--key-env names the variable that holds one"
        raise NotUsable(
            f"it takes no request without a key that it knows ({hint}), status {answer.status}: {answer.excerpt}"
        )
    if answer.status in (404, 405):
        hint = f"URL ends where {dialect.path} begins, and GET URL/models lists the models"
        raise NotUsable(
            f"this path or the model {model!r} is unknown, status {answer.status} ({hint}): {answer.excerpt}"
        )
    if answer.status in (429, 503):
        hint = "--timeout says how long it is waited for"
        raise NotUsable(f"it is loading or has no room, status {answer.status} ({hint}): {answer.excerpt}")
    if 300 <= answer.status < 400:
        raise NotUsable(f"it is to be found at another URL, status {answer.status}")


def _lacks(question: Question, case: Case) -> str:
    """The message of a lawful refusal that names what the server lacks; nothing for every other answer."""
    if question.absent and case.answer.status in _ABSENT:
        return f"status {case.answer.status}"
    if not question.lacking or any(found for _, found in judged(case, REFUSAL)):
        return ""
    error = case.value["error"]
    told = f"'{error.get('param')}' {error['message']}"
    return shown(error["message"], 200) if any(word in told for word in question.lacking) else ""


def _mark(case: Case, law: str, what: str) -> tuple[bool, str, str]:
    """A fault of streams may be another one than that of plain answers."""
    return case.body.get("stream") is True, law, mark(what)


def _drawn_findings(case: Case) -> list[tuple[str, str]]:
    """What an answer to a drawn request breaks: it is a refusal, or it keeps the laws of answers."""
    if 400 <= case.answer.status < 500:
        laws = REFUSAL
    else:
        laws = STREAM if case.body.get("stream") is True else PLAIN
    return [(named(law), finding) for law, found in judged(case, laws) for finding in found]
