"""A live server, asked and judged: what `adapter conform URL` does.

    questions.py    what is asked, as a table: a name, a body, the laws that its answer must keep. A new question is a row
    case.py         what laws are asked about: a dialect, a request, its answer
    laws.py         the laws, each a function from a case to findings. Pure;  following.py  those of what follows an answer
    shapes.py       what an object must look like, written as an object
    dialect.py      what laws ask of a dialect;  chat.py, responses.py  their answers
    drawing.py      requests that Hypothesis draws and makes small (needs hypothesis, the extra `conform`)
    running.py      asks the table, then what is drawn, and reports
    patience.py     asks again where the answer is "not now"
    asking.py       the one module with a socket

The laws speak of the protocol and never of what a model says, since no two models say the same. What a server may lack it may
refuse by the name of the parameter: that is reported as not supported, not as broken.
"""
