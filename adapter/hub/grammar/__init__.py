"""Three grammars and their checkers: public, incremental, and free of any opinion about who made the stream.

    HubChecker          the events of `adapter.hub.events`
    ResponsesChecker    the events of a Responses stream
    ChatChecker         the chunks of a Chat Completions stream

Each takes one event at a time: `feed(event)` returns the violations that this event shows, `end()` those that only the end
of the stream can show (no terminal event, an item never closed). A violation names the rule (`code`), the place (`where`)
and what was seen (`message`); a stream is grammatical exactly when there is none. Checkers never raise, whatever they are
fed, and go on after a violation as if the event had been meant as it came.

    violations = check_responses(raw_bytes)         # or a list of frames, or of parsed events
    violations = check_chat(raw_bytes, include_usage=True)
    violations = check_hub(events)

The Responses grammar, i being the output index, k the part's index:

    stream      = created , { queued } , [ in_progress ] , { item } , ( completed | incomplete | failed )
                | [ created , … ] , error , [ failed ]
    item        = output_item.added(i) , body , output_item.done(i)                   i = 0, 1, 2 … in order of added
    body        = { part(k) }  for a message or a reasoning item;   { delta } , done  for calls;   progress events, and new
                  ones that are named after their item's type
    part        = content_part.added(k) , { delta | annotation.added } , text done , content_part.done(k)

with `sequence_number` rising by one from zero, ids and `created_at` constant, `item_id` that of the item at `output_index`, the
concatenated deltas equal to the text of every done event, and the terminal output equal to the items as they were done.

The Chat grammar:

    stream      = { chunk } , [ usage chunk ] , [DONE]   |   { chunk } , error frame
    choice      = delta with role , { content | refusal | tool fragments } , finish_reason ; nothing after it
    tool        = first fragment with id, type and name at the next index ; later ones with arguments only

The hub's grammar stands in `adapter.hub.events`. Where a real service bends a rule without harm (overlapping items, a
finish chunk that carries text) there is no violation: this is the grammar that clients rely on, not a style guide.
"""

from adapter.hub.grammar.chat import ChatChecker, check_chat
from adapter.hub.grammar.hub import HubChecker, check_hub
from adapter.hub.grammar.responses import ResponsesChecker, check_responses
from adapter.hub.grammar.violation import Violation

__all__ = [
    "ChatChecker",
    "HubChecker",
    "ResponsesChecker",
    "Violation",
    "check_chat",
    "check_hub",
    "check_responses",
]
