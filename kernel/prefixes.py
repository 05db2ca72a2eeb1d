"""Which stream or saved state holds which beginning of a prompt: a radix tree over blocks of tokens.

A *holder* (any hashable) holds a run of tokens from position 0, of which the first ``length`` may be shared. The tree
knows its whole blocks; what is beyond the last common block is compared token by token. Trees of different *roots*
(owner, adapter) share nothing. Who is going to compute a prompt *promises* it, so that others with the same beginning
can wait for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

H = TypeVar("H", bound=Hashable)  # a holder
P = TypeVar("P", bound=Hashable)  # who promises a prefix


@dataclass(eq=False)
class _Node(Generic[H, P]):
    """A block after the blocks of its parents; it lives as long as somebody holds it, or promises to."""

    parent: _Node[H, P] | None
    block: bytes
    below: dict[bytes, _Node[H, P]] = field(default_factory=dict)
    holders: set[H] = field(default_factory=set)  # whose tokens go through here
    promised: set[P] = field(default_factory=set)  # whose prompt does, once it is computed


@dataclass(eq=False)
class _Held(Generic[H, P]):
    tokens: Sequence[int]
    length: int
    path: list[_Node[H, P]]  # from the root's node, one for each whole block within ``length``


class Prefixes(Generic[H, P]):
    """The tree. Owned by the event loop's thread."""

    def __init__(self, block: int = 128) -> None:
        self._block = block
        self._roots: dict[Hashable, _Node[H, P]] = {}
        self._held: dict[H, _Held[H, P]] = {}
        self._promises: dict[P, tuple[Sequence[int], list[_Node[H, P]]]] = {}
        self.version = 0  # grows with every block that comes or goes: what was found before may no longer be all

    # -- what is held --

    def put(self, holder: H, root: Hashable, tokens: Sequence[int], length: int) -> None:
        """The holder holds these tokens now, and nothing else; ``tokens`` is kept and may grow, see `extend`."""
        self.drop(holder)
        self._held[holder] = _Held(tokens, 0, [self._root(root)])
        self.extend(holder, length)

    def extend(self, holder: H, length: int) -> None:
        """More of its tokens may be shared."""
        held = self._held[holder]
        held.length = length
        at = (len(held.path) - 1) * self._block
        while at + self._block <= length:
            node = self._below(held.path[-1], _key(held.tokens[at : at + self._block]))
            node.holders.add(holder)
            held.path.append(node)
            at += self._block
            self.version += 1

    def shorten(self, holder: H, length: int) -> None:
        """Fewer of its tokens are there."""
        held = self._held[holder]
        held.length = min(held.length, length)
        self._leave(held.path, 1 + held.length // self._block, lambda node: node.holders.discard(holder))
        self.version += 1

    def drop(self, holder: H) -> None:
        """The holder holds nothing any more."""
        held = self._held.pop(holder, None)
        if held is not None:
            self._leave(held.path, 0, lambda node: node.holders.discard(holder))
            self.version += 1

    def keys(self, prompt: Sequence[int]) -> list[bytes]:
        """The blocks of a prompt as the tree knows them: made once for one that is looked up often."""
        size = self._block
        return [_key(prompt[at : at + size]) for at in range(0, len(prompt) - size + 1, size)]

    def find(self, root: Hashable, prompt: Sequence[int], keys: Sequence[bytes], most: int) -> list[tuple[H, int]]:
        """Holders of the longest beginnings of a prompt, and how many of its tokens each can give, at most ``most``.

        Only those that share as many whole blocks as any; at least one. Longest first.
        """
        deepest, blocks = self._descend(root, keys, most, lambda node: bool(node.holders))
        if deepest is None or not blocks:
            return []
        at = blocks * self._block
        held = ((holder, self._held[holder]) for holder in deepest.holders)
        found = [(holder, self._common(one.tokens, prompt, at, min(one.length, most))) for holder, one in held]
        return sorted(found, key=lambda one: -one[1])

    # -- what will be held --

    def promise(self, who: P, root: Hashable, prompt: Sequence[int], keys: Sequence[bytes]) -> None:
        """Somebody computes this prompt, or is going to."""
        path = [self._root(root)]
        for key in keys:
            path.append(self._below(path[-1], key))
            path[-1].promised.add(who)
        self._promises[who] = prompt, path
        self.version += 1

    def fulfil(self, who: P) -> None:
        """The prompt is computed, or given up."""
        if (promise := self._promises.pop(who, None)) is not None:
            self._leave(promise[1], 0, lambda node: node.promised.discard(who))
            self.version += 1

    def promised(
        self, root: Hashable, prompt: Sequence[int], keys: Sequence[bytes], most: int, able: Callable[[P], bool]
    ) -> tuple[P, int] | None:
        """Who of those that are ``able`` computes the longest beginning of a prompt, and how long that will be."""
        deepest, blocks = self._descend(root, keys, most, lambda node: any(map(able, node.promised)))
        if deepest is None or not blocks:
            return None
        at = blocks * self._block
        found = [(who, self._common(self._promises[who][0], prompt, at, most)) for who in deepest.promised if able(who)]
        return max(found, key=lambda one: one[1])

    # -- nodes --

    def _root(self, root: Hashable) -> _Node[H, P]:
        if root not in self._roots:
            self._roots[root] = _Node(None, b"")
        return self._roots[root]

    def _below(self, node: _Node[H, P], key: bytes) -> _Node[H, P]:
        found = node.below.get(key)
        if found is None:
            found = node.below[key] = _Node(node, key)
        return found

    def _descend(
        self, root: Hashable, keys: Sequence[bytes], most: int, alive: Callable[[_Node[H, P]], bool]
    ) -> tuple[_Node[H, P] | None, int]:
        """The deepest node that lies on the prompt's way and is alive, and how many blocks that are."""
        node, blocks = self._roots.get(root), 0
        while node is not None and blocks < len(keys) and (blocks + 1) * self._block <= most:
            below = node.below.get(keys[blocks])
            if below is None or not alive(below):
                break
            node, blocks = below, blocks + 1
        return node, blocks

    def _leave(self, path: list[_Node[H, P]], keep: int, leave: Callable[[_Node[H, P]], None]) -> None:
        """Take a holder off the nodes of its path beyond the first ``keep``; nodes that nobody needs go."""
        while len(path) > keep:
            node = path.pop()
            leave(node)
            if not (node.holders or node.promised or node.below) and node.parent is not None:
                node.parent.below.pop(node.block, None)

    def _common(self, held: Sequence[int], prompt: Sequence[int], at: int, most: int) -> int:
        """How many leading tokens are the same, ``at`` being so already."""
        end = min(len(held), len(prompt), most)
        while at < end and held[at] == prompt[at]:
            at += 1
        return at


def _key(tokens: Sequence[int]) -> bytes:
    return array("i", tokens).tobytes()
