"""The radix tree against a naive model: lists of tokens, compared one by one."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from llmos.kernel.prefixes import Prefixes

BLOCK = 3
HOLDERS = st.integers(0, 4)
ROOTS = st.sampled_from(["ann", "bob"])
TOKENS = st.lists(st.integers(0, 1), max_size=14)


def common(one, other):
    """How many leading tokens are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class AgainstLists(RuleBasedStateMachine):
    """``held``: holder -> root, tokens, length; ``promises``: who -> root, prompt."""

    def __init__(self):
        super().__init__()
        self.tree = Prefixes(BLOCK)
        self.held = {}
        self.promises = {}

    @rule(holder=HOLDERS, root=ROOTS, tokens=TOKENS, data=st.data())
    def put(self, holder, root, tokens, data):
        length = data.draw(st.integers(0, len(tokens)))
        self.held[holder] = [root, list(tokens), length]
        self.tree.put(holder, root, self.held[holder][1], length)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), more=TOKENS)
    def extend(self, data, more):
        holder = data.draw(st.sampled_from(sorted(self.held)))
        entry = self.held[holder]
        entry[1] += more
        entry[2] = data.draw(st.integers(entry[2], len(entry[1])))
        self.tree.extend(holder, entry[2])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def shorten(self, data):
        holder = data.draw(st.sampled_from(sorted(self.held)))
        entry = self.held[holder]
        entry[2] = data.draw(st.integers(0, entry[2]))
        del entry[1][entry[2] :]
        self.tree.shorten(holder, entry[2])

    @rule(holder=HOLDERS)
    def drop(self, holder):
        self.held.pop(holder, None)
        self.tree.drop(holder)

    @rule(who=HOLDERS, root=ROOTS, prompt=TOKENS)
    def promise(self, who, root, prompt):
        self.tree.fulfil(who)
        self.promises[who] = (root, prompt)
        self.tree.promise(who, root, prompt, self.tree.keys(prompt))

    @rule(who=HOLDERS)
    def fulfil(self, who):
        self.promises.pop(who, None)
        self.tree.fulfil(who)

    @rule(root=ROOTS, prompt=TOKENS, most=st.integers(0, 15))
    def find(self, root, prompt, most):
        shared = {
            holder: min(common(tokens[:length], prompt), most)
            for holder, (its, tokens, length) in self.held.items()
            if its == root
        }
        found = self.tree.find(root, prompt, self.tree.keys(prompt), most)
        blocks = max(shared.values(), default=0) // BLOCK
        deepest = {holder: length for holder, length in shared.items() if blocks and length // BLOCK == blocks}
        assert dict(found) == deepest
        assert [length for _, length in found] == sorted(deepest.values(), reverse=True)

    @rule(root=ROOTS, prompt=TOKENS, most=st.integers(0, 15), able=st.sets(HOLDERS))
    def promised(self, root, prompt, most, able):
        shared = {
            who: min(common(its, prompt), most)
            for who, (where, its) in self.promises.items()
            if where == root and who in able
        }
        found = self.tree.promised(root, prompt, self.tree.keys(prompt), most, able.__contains__)
        longest = max(shared.values(), default=0)
        if longest < BLOCK:
            assert found is None
        else:
            assert found is not None
            assert found[1] == longest == shared[found[0]]

    @invariant()
    def no_node_without_use(self):
        waiting = list(self.tree._roots.values())
        nodes = set()
        while waiting:
            for node in waiting.pop().below.values():
                assert node.holders or node.promised, "a node outlived its last holder"
                nodes.add(node)
                waiting.append(node)
        paths = [(root, tuple(tokens[:length])) for root, tokens, length in self.held.values()]
        paths += [(root, tuple(prompt)) for root, prompt in self.promises.values()]
        expected = {(root, run[:end]) for root, run in paths for end in range(BLOCK, len(run) + 1, BLOCK)}
        assert len(nodes) == len(expected)


TestAgainstLists = AgainstLists.TestCase
TestAgainstLists.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
