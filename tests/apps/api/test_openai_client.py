"""The real model behind the real `openai` client, which knows nothing of llmos."""

import json

import openai
import pytest
from llmos.apps.system.api.place import Place
from llmos.apps.system.api.server import serving
from llmos.apps.system.boot import boot
from llmos.apps.system.home import Home

pytestmark = pytest.mark.model

MESSAGES = [{"role": "user", "content": "Name a colour."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
SCHEMA |= {"required": ["city", "days"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "weather", "parameters": SCHEMA}}]


@pytest.fixture
async def client(tmp_path, load_engine):
    async with (
        boot(Home(tmp_path / "home"), engine=load_engine(streams=8, way="exact")) as running,
        serving(running, Place(port=0)) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


async def test_chat_and_stream_say_the_same(client):
    asked = {"model": "default", "messages": MESSAGES, "temperature": 0, "max_tokens": 24}
    whole = await client.chat.completions.create(**asked)
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens <= 24
    text, usage = "", None
    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    async for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        usage = chunk.usage or usage
    assert text == whole.choices[0].message.content
    assert usage.completion_tokens == whole.usage.completion_tokens


async def test_a_schema_holds(client):
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
    answer = await client.chat.completions.create(
        model="default", messages=MESSAGES, response_format=form, max_tokens=200, seed=3
    )
    found = json.loads(answer.choices[0].message.content)
    assert isinstance(found["city"], str)
    assert isinstance(found["days"], int)
    free = await client.chat.completions.create(
        model="default", messages=MESSAGES, response_format={"type": "json_object"}, max_tokens=300, temperature=0
    )
    assert isinstance(json.loads(free.choices[0].message.content), dict)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_with_arguments_of_its_schema(client, stream):
    asked = {"model": "default", "messages": MESSAGES, "tools": TOOLS, "tool_choice": "required", "max_tokens": 200}
    if stream:
        async with client.chat.completions.stream(**asked) as events:
            async for _ in events:
                pass
            answer = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(**asked)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["days"], int)
    told = [*MESSAGES, choice.message.model_dump(exclude_none=True)]
    told.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    after = await client.chat.completions.create(model="default", messages=told, tools=TOOLS, max_tokens=16)
    assert after.choices[0].finish_reason in ("stop", "length", "tool_calls")


async def test_logprobs(client):
    answer = await client.chat.completions.create(
        model="default", messages=MESSAGES, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    told = answer.choices[0].logprobs.content
    assert len(told) == answer.usage.completion_tokens
    for one in told:
        assert one.logprob <= 0
        assert [other.logprob for other in one.top_logprobs] == sorted(
            (other.logprob for other in one.top_logprobs), reverse=True
        )
        assert one.token == one.top_logprobs[0].token  # the likeliest was taken
    assert "".join(one.token for one in told).startswith(answer.choices[0].message.content)
    plain = await client.completions.create(model="default", prompt="Once upon a", max_tokens=4, logprobs=2)
    assert len(plain.choices[0].logprobs.tokens) == 4


async def test_seeds_and_choices(client):
    asked = {"model": "default", "messages": MESSAGES, "temperature": 1.5, "max_tokens": 24, "n": 3}
    one = await client.chat.completions.create(**asked, seed=11)
    two = await client.chat.completions.create(**asked, seed=11)
    texts = [choice.message.content for choice in one.choices]
    assert texts == [choice.message.content for choice in two.choices]
    assert len(set(texts)) > 1


async def test_ignore_eos(client):
    answer = await client.chat.completions.create(
        model="default", messages=MESSAGES, temperature=0, max_tokens=64, extra_body={"ignore_eos": True}
    )
    assert answer.usage.completion_tokens == 64
    assert answer.choices[0].finish_reason == "length"


async def test_embeddings_and_models(client):
    found = await client.embeddings.create(model="default", input=["a kettle", "a boiler", "a poem"])
    kettle, boiler, poem = (row.embedding for row in found.data)

    def likeness(one, other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(kettle, boiler) > likeness(kettle, poem)
    names = [card.id async for card in client.models.list()]
    assert (await client.models.retrieve(names[0])).id == names[0]


async def test_errors_have_the_clients_own_classes(client):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await client.chat.completions.create(model="default", messages=[{"role": "user", "content": "word " * 3000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(model="default", messages=MESSAGES, temperature=9)
    assert wrong.value.param == "temperature"


async def test_a_later_turn_finds_what_was_computed(client):
    messages = [{"role": "system", "content": "You are brief. " * 60}, *MESSAGES]
    first = await client.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=12)
    messages += [{"role": "assistant", "content": first.choices[0].message.content}]
    messages += [{"role": "user", "content": "Another one."}]
    second = await client.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=12)
    assert second.usage.prompt_tokens_details.cached_tokens >= 128
