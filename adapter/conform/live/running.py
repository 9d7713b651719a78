"""One run: the table of a dialect is asked, then what Hypothesis draws, and a report is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from adapter.conform.laws import Findings, Name
from adapter.conform.live.dialect import Dialect
from adapter.conform.live.laws import (
    PLAIN,
    REFUSAL,
    STREAM,
    Answer,
    Case,
    ids_are_never_reused,
    judged,
    keeps_its_limit,
    named,
)
from adapter.conform.live.questions import Question, limits, questions
from adapter.conform.report import Report
from adapter.hub.grammar.violation import shown
from adapter.wire import jsonio

Ask: TypeAlias = Callable[[str, bytes], Answer]
"""Sends bytes to a path behind the base URL and returns what came back, whatever that is."""
DRAWN: Final = "any request is answered or refused"
_LIMIT: Final = "the limit of all other questions"


class NotUsable(Exception):
    """There is nothing to judge: no server, another one, or one that lets nobody in. The text says which."""


def run(ask: Ask, name: Name, model: str, *, examples: int, seed: int) -> Report:
    """Ask everything and judge it.

    Raises:
        NotUsable: the first question finds no server to ask.
    """
    dialect, table = questions(name)
    report, ids = Report(), list[tuple[str, Any]]()
    limit_key = _limit(ask, report, ids, dialect, model)
    for question in table:
        case = _asked(ask, dialect, question, model, limit_key)
        _report(report, ids, question, case)
        if question.results and isinstance(case.value, dict) and case.answer.status == 200:
            _send_results(ask, report, ids, question, case)
    law = ids_are_never_reused
    report.add(named(law), "all answers", law(ids), about=law.__doc__)
    if examples:
        _draw(ask, report, dialect, model, limit_key, examples, seed)
    return report


def _limit(ask: Ask, report: Report, ids: list[tuple[str, Any]], dialect: Dialect, model: str) -> str:
    """Under which name everything else says its limit: the first that the server takes. These are the first questions,
    which show whether there is a server at all.

    Raises:
        NotUsable: there is none.
    """
    taken: list[str] = []
    for key, question in limits(dialect):
        case = _asked(ask, dialect, question, model, key)
        _check_usable(case.answer, dialect, model)
        _report(report, ids, question, case)
        broken = [law for law, found in judged(case, question.laws) if found]
        if case.answer.status == 200 and keeps_its_limit not in broken:
            taken.append(key)
    keys = dialect.limit_keys
    others = [key for key in keys if key not in taken]
    if not taken:
        report.remark(_LIMIT, f"none that the server keeps ({', '.join(keys)}): answers may be long, and cost more")
    elif len(keys) > 1:
        report.remark(_LIMIT, "; ".join([taken[0], *(f"{key} is not taken" for key in others)]))
    return (*taken, *keys)[0]


def _asked(ask: Ask, dialect: Dialect, question: Question, model: str, limit_key: str) -> Case:
    if isinstance(question.body, bytes):
        body, raw = dict[str, Any](), question.body
    else:
        limit = {} if question.limit is None else {limit_key: question.limit}
        body = {"model": model, **question.body, **limit}
        raw = jsonio.dumps(body)
    return Case(dialect, body, ask(question.path or dialect.path, raw))


def _check_usable(answer: Answer, dialect: Dialect, model: str) -> None:
    if answer.fault:
        raise NotUsable(f"no answer: {answer.fault}")
    if answer.status in (401, 403):
        hint = "--key-env names the variable that holds one"
        raise NotUsable(
            f"it takes no request without a key that it knows ({hint}), status {answer.status}: {answer.excerpt}"
        )
    if answer.status == 404:
        hint = f"URL ends where {dialect.path} begins, and GET URL/models lists the models"
        raise NotUsable(f"this path or the model {model!r} is unknown, status 404 ({hint}): {answer.excerpt}")
    if 300 <= answer.status < 400:
        raise NotUsable(f"it is to be found at another URL, status {answer.status}")


def _report(report: Report, ids: list[tuple[str, Any]], question: Question, case: Case) -> None:
    refusal = _lacks(question, case)
    if refusal:
        report.remark(question.name, f"not supported: {refusal}")
        return
    for law, found in judged(case, question.laws):
        report.add(named(law), question.name, found, about=law.__doc__)
    if question.laws is not REFUSAL and isinstance(case.value, dict) and isinstance(case.value.get("id"), str):
        ids.append((question.name, case.value["id"]))


def _lacks(question: Question, case: Case) -> str:
    """The message of a lawful refusal that names what the server lacks; nothing for every other answer."""
    if not question.lacking or any(found for _, found in judged(case, REFUSAL)):
        return ""
    error = case.value["error"]
    told = f"{error.get('param')} {error['message']}"
    return shown(error["message"], 200) if any(word in told for word in question.lacking) else ""


def _send_results(ask: Ask, report: Report, ids: list[tuple[str, Any]], question: Question, case: Case) -> None:
    if any(found for _, found in judged(case, question.laws)) or not case.dialect.calls(case.value):
        return
    if case.dialect.cut(case.value):
        return
    body = case.dialect.with_results(case.body, case.value)
    second = Question(name=f"{question.name}, then results", body=body, laws=PLAIN)
    _report(report, ids, second, Case(case.dialect, body, ask(case.dialect.path, jsonio.dumps(body))))


def _draw(ask: Ask, report: Report, dialect: Dialect, model: str, limit_key: str, examples: int, seed: int) -> None:
    try:
        from adapter.conform.live import drawing
    except ModuleNotFoundError as missing:
        if missing.name != "hypothesis":
            raise
        report.remark(DRAWN, "not asked: this needs hypothesis, pip install 'responses-chat-adapter[conform]'")
        return
    refused = 0

    def judge(body: dict[str, Any]) -> Findings:
        nonlocal refused
        case = Case(dialect, body, ask(dialect.path, jsonio.dumps(body)))
        refused += 400 <= case.answer.status < 500
        return drawn_findings(case)

    asked, smallest = drawing.search(judge, dialect.name, model, limit_key, examples=examples, seed=seed)
    shown_request = "" if smallest is None else jsonio.dumps(smallest.body).decode()
    found = [] if smallest is None else [f"{'; '.join(smallest.findings)}; the smallest request: {shown_request}"]
    report.add(DRAWN, f"--seed {seed}", found, count=asked)
    report.remark(DRAWN, f"{asked} requests from --seed {seed}, which asks the same again; {refused} were refused")


def drawn_findings(case: Case) -> Findings:
    """What an answer to a drawn request breaks: it is a refusal, or it keeps the laws of answers."""
    if 400 <= case.answer.status < 500:
        laws = REFUSAL
    else:
        laws = STREAM if case.body.get("stream") is True else PLAIN
    return [f"{named(law)}: {finding}" for law, found in judged(case, laws) for finding in found]
