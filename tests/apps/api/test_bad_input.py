"""What cannot be done is refused in OpenAI's form, naming the field; the server goes on unharmed."""

import asyncio
import json
import tracemalloc

import httpx
import pytest
from llmos.apps.system.api.errors import refusal
from llmos.kernel import errors

MESSAGES = [{"role": "user", "content": "x"}]
PATH = "/v1/chat/completions"


def error(answer: httpx.Response) -> dict:
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["message"]
    return found


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stop": 7}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"seed": 2**70}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"priority": "first"}, "priority"),
        ({"overflow": "drop"}, "overflow"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [], "tool_choice": "sometimes"}, "tool_choice"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"nonsense": 1}, "nonsense"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
        ),
    ],
)
async def test_impossible_fields_are_named(served, more, param):
    answer = await served.client.post(PATH, json={"messages": MESSAGES, **more})
    assert answer.status_code == 400
    assert error(answer)["param"] == param
    assert error(answer)["type"] == "invalid_request_error"
    assert served.processes() == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 100_000, b'{"messages": NaN}']
)
async def test_what_is_no_json(served, body):
    answer = await served.client.post(PATH, content=body)
    assert answer.status_code == 400
    assert error(answer)["code"] == "invalid_json"


async def test_neutral_and_harmless_fields_pass(served):
    more = {
        "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": None, "store": False, "metadata": {"a": "b"},
        "parallel_tool_calls": True, "service_tier": "auto", "stop": None, "tools": None, "seed": None, "user": None,
        "response_format": {"type": "text"}, "top_logprobs": None, "logprobs": False,
    }  # fmt: skip
    assert await served.text("x", **more) == "x"


async def test_an_unknown_model_says_which_there_are(served):
    answer = await served.chat("x", model="gpt-9")
    assert answer.status_code == 404
    assert error(answer)["code"] == "model_not_found"
    assert "scripted" in error(answer)["message"]
    assert (await served.client.get("/v1/models/gpt-9")).status_code == 404
    for name in ("scripted", "default", ""):
        assert await served.text("x", model=name) == "x"


@pytest.mark.parametrize("stream", [False, True])
async def test_too_long_a_prompt_says_by_how_much(served, stream):
    answer = await served.chat("x" * 5000, stream=stream)
    assert answer.status_code == 400
    found = error(answer)
    assert found["code"] == "context_length_exceeded"
    tokens = 5000 + len("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n") - 2 * 12 - 10 + 3
    assert f"{tokens:,} tokens" in found["message"]
    assert f"{tokens - 4096 + 1:,} too many" in found["message"]


async def test_a_schema_that_cannot_be_followed(served):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "a+"}}}
    answer = await served.chat("x", response_format=form)
    assert answer.status_code == 400
    assert "pattern" in error(answer)["message"]


async def test_paths_and_methods(served):
    answer = await served.client.get("/v2/nothing")
    assert answer.status_code == 404
    assert "/v2/nothing" in error(answer)["message"]
    answer = await served.client.get(PATH)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert error(answer)


async def test_a_hundred_megabytes_are_refused_and_never_held(served):
    async def endless():
        for _ in range(100):
            yield b" " * 2**20
            await asyncio.sleep(0)

    tracemalloc.start()
    try:
        for headers in ({}, {"Content-Length": str(100 * 2**20)}):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            answer = await served.client.post(PATH, content=endless(), headers=headers)
            _, peak = tracemalloc.get_traced_memory()
            assert answer.status_code == 413
            assert "8,388,608" in error(answer)["message"]
            assert peak - before < 40 * 2**20
    finally:
        tracemalloc.stop()
    assert await served.text("x") == "x"


async def test_who_asks_for_leave_to_send_is_refused_at_once(served):
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {2**30}\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode())
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_too_many_at_a_time(serve):
    served = await serve(delay=0.02, place={"requests": 2})
    answers = await asyncio.gather(*(served.chat("some words") for _ in range(5)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 3
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert error(answer)["type"] == "rate_limit_error"
    assert await served.text("x") == "x"


def test_every_error_of_llmos_has_an_answer():
    for code, kind in errors.BY_CODE.items():
        told = refusal(kind("what is wrong", hint="what to do"))
        assert 400 <= told.status < 600, code
        assert told.body["error"]["message"] == "what is wrong (what to do)"
    assert refusal(errors.NotFound("x")).status == 404
    assert json.dumps(refusal(KeyError("secret")).body).count("secret") == 0
