"""Completions, embeddings, models, health, metrics, and conversations that outgrow the context."""

import asyncio
import base64

import numpy as np
import pytest


async def test_a_completion_has_no_template(serve):
    prompts = []
    served = await serve(lambda prompt: prompts.append(prompt) or " and more")
    body = (await served.client.post("/v1/completions", json={"prompt": "Once <|im_end|>", "temperature": 0})).json()
    assert body["object"] == "text_completion"
    assert body["choices"] == [{"index": 0, "text": " and more", "logprobs": None, "finish_reason": "stop"}]
    assert prompts == ["Once <|im_end|>"]
    assert body["usage"]["prompt_tokens"] == len("Once <|im_end|>")  # bytes: no control token was made of it


async def test_completions_of_several_prompts_echoed_and_streamed(serve):
    served = await serve(lambda prompt: prompt.upper())
    asked = {"prompt": ["ab", "cd"], "echo": True, "n": 2, "max_tokens": 50}
    body = (await served.client.post("/v1/completions", json=asked)).json()
    assert [choice["text"] for choice in body["choices"]] == ["abAB", "abAB", "cdCD", "cdCD"]
    told = served.events((await served.client.post("/v1/completions", json={**asked, "stream": True})).text)
    texts = [""] * 4
    for event in told:
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert texts == ["abAB", "abAB", "cdCD", "cdCD"]
    for process in served.processes():
        await asyncio.wait_for(process.ended.wait(), 5)
        assert process.exit_code == 0


async def test_ignore_eos(served):
    body = (await served.chat("word", ignore_eos=True, max_tokens=4)).json()
    assert body["choices"][0]["finish_reason"] == "length"


async def test_embeddings(served):
    asked = {"input": ["a kettle", "a parcel"], "model": "default"}
    plain = (await served.client.post("/v1/embeddings", json=asked)).json()
    packed = (await served.client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"})).json()
    for one, other in zip(plain["data"], packed["data"], strict=True):
        vector = np.frombuffer(base64.b64decode(other["embedding"]), "<f4")
        assert np.allclose(vector, one["embedding"], atol=1e-6)
        assert np.isclose(np.linalg.norm(vector), 1, atol=1e-3)
    assert plain["usage"]["prompt_tokens"] == len("a kettlea parcel")
    assert plain["model"] == served.bench.machine.parts.embedder.name
    one = (await served.client.post("/v1/embeddings", json={"input": "a kettle"})).json()
    assert one["data"][0]["embedding"] == plain["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": []}, "input"), ({"input": [1, 2]}, "input.0"), ({"input": "x", "dimensions": 7}, "dimensions"),
        ({}, "input"),
    ],
)  # fmt: skip
async def test_embeddings_that_cannot_be(served, more, param):
    answer = await served.client.post("/v1/embeddings", json=more)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_models_and_health(served):
    listed = (await served.client.get("/v1/models")).json()
    assert [card["id"] for card in listed["data"]] == ["scripted", served.bench.machine.parts.embedder.name]
    assert (await served.client.get("/v1/models/scripted")).json()["context_length"] == 4096
    assert (await served.client.get("/healthz")).json() == {"status": "ok", "model": "scripted", "requests": 0}


async def test_metrics(served):
    await served.text("abc")
    await served.text("abc", "abc", "abc")
    await served.chat("x", nonsense=1)
    text = (await served.client.get("/metrics")).text
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    assert found['llmos_requests_total{path="/v1/chat/completions",status="200"}'] == 2
    assert found['llmos_requests_total{path="/v1/chat/completions",status="400"}'] == 1
    assert found["llmos_answer_tokens_total"] == 6
    assert found["llmos_prompt_tokens_total"] == served.processes()[0].usage.tokens_in
    assert found["llmos_first_token_seconds_count"] == 2
    assert found["llmos_turns_continued"] == 1
    assert found["llmos_conversations"] == 1
    assert found["llmos_requests_now"] == 0
    assert found["llmos_steps"] > 6


async def test_a_conversation_outgrows_the_context_and_is_paged(serve):
    prompts = []
    served = await serve(lambda prompt: prompts.append(prompt) or f"answer {len(prompts)}", window=1024)
    messages = [{"role": "system", "content": "Be brief."}]
    for i in range(12):
        messages.append({"role": "user", "content": f"message {i}: " + "x" * 150})
        answer = await served.text(*messages, overflow="page", max_tokens=50)
        messages.append({"role": "assistant", "content": answer})
        assert len(prompts[-1].encode()) < 1024 + 500  # control tokens are one token, and longer as text
        assert "Be brief." in prompts[-1]
        assert f"message {i}: " in prompts[-1]
    assert len(served.processes()) == 1
    context = served.processes()[0].context
    assert context.out > 5
    assert "message 0: xxxx" not in prompts[-1]
    refused = await served.chat(*messages, "more", max_tokens=50)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


async def test_a_paged_conversation_that_was_rewritten(serve):
    prompts = []
    served = await serve(lambda prompt: prompts.append(prompt) or "ok")
    name = {"X-LLMOS-Session": "mine"}
    await served.text("one", "ok", "two", "ok", "three", overflow="page", headers=name)
    await served.text("one", "ok", "TWO", "ok", "three", overflow="page", headers=name)
    assert "two" not in prompts[-1]
    assert "TWO" in prompts[-1]
    assert served.processes()[0].context.window == 4096
    assert len(served.processes()) == 1


async def test_a_message_that_no_paging_can_fit(served):
    answer = await served.chat("x" * 5000, overflow="page")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
